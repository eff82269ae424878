/**
 * A node that serves an OCI image-layout folder seeds a cluster that has no registry.
 *
 * @module
 */
import assert from "node:assert/strict";
import { configure, TestCluster } from "./harness/cluster.ts";
import { type ImageLayout, LAYOUT_TAG } from "./harness/images.ts";
import { MirrorProcess } from "./harness/mirror_process.ts";
import { run } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

/** Copies an image into a layout, under the reference or tag that it is to have there. */
async function copyInto(folder: string, image: ImageLayout, name: string): Promise<void> {
  const skopeo = ["copy", "--all", "--insecure-policy"];
  await run("skopeo", ...skopeo, `oci:${image.path}:${LAYOUT_TAG}`, `oci:${folder}:${name}`);
}

/** There is no such registry. */
const REGISTRY = "registry.example";

for (const [families, ipv6Only] of [["IPv4 and IPv6", false], ["IPv6 alone", true]] as const) {
  Deno.test({
    name: `a layout that skopeo wrote seeds nodes without any registry, over ${families}`,
    ...REQUIRES_TEST_BED,
    async fn(t) {
      await using cluster = await TestCluster.start({ nodes: 2, ipv6Only });
      await cluster.upstream.stop();
      for (const { containerd } of cluster.nodes) {
        await configure(containerd, [`http://${REGISTRY}`]);
      }
      const folder = await Deno.makeTempDir({ prefix: "kagami-layout-" });
      await using stack = new AsyncDisposableStack();
      stack.defer(() => Deno.remove(folder, { recursive: true }));
      const [one, two] = [cluster.node(1), cluster.node(2)];
      const layout = `${folder}/layout`;
      const sizes = { layers: [3_000_000, 40_000], platforms: ["amd64", "arm64"] };
      const full = await cluster.makeImage(sizes);
      const bare = await cluster.makeImage(sizes);
      const later = await cluster.makeImage(sizes);
      await copyInto(layout, full, `${REGISTRY}/team/full:v1`);
      await copyInto(layout, bare, "v2");

      const seed = stack.use(
        await MirrorProcess.start(await cluster.network.addNode("seed"), folder, {
          bootstrap: [one.mirror.node],
          env: {
            STORE: "oci-layout",
            OCI_LAYOUT_PATH: layout,
            OCI_LAYOUT_REPOSITORY: `${REGISTRY}/team/bare`,
          },
        }),
      );
      await seed.ready();
      const isSeeded = async (repository: string, tag: string) =>
        await one.mirror.answersFrom([seed], `/v2/${repository}/manifests/${tag}?ns=${REGISTRY}`);

      await t.step("an image that the layout names in full", async () => {
        await isSeeded("team/full", "v1");
        assert.equal(await one.cri.pullImage(`${REGISTRY}/team/full:v1`), full.config);
      });

      await t.step("an image that the layout names by its tag alone", async () => {
        await isSeeded("team/bare", "v2");
        assert.equal(await one.cri.pullImage(`${REGISTRY}/team/bare:v2`), bare.config);
      });

      await t.step("an image that comes while the node runs", async () => {
        await assert.rejects(one.cri.pullImage(`${REGISTRY}/team/bare:v3`));
        await copyInto(layout, later, "v3");
        await isSeeded("team/bare", "v3");
        assert.equal(await one.cri.pullImage(`${REGISTRY}/team/bare:v3`), later.config);
      });

      await t.step("what nodes have pulled spreads without the seed", async () => {
        await two.mirror.answersFrom(
          [one.mirror],
          `/v2/team/bare/manifests/v3?ns=${REGISTRY}`,
        );
        await seed.stop();
        for (
          const [name, image] of Object.entries({
            "full:v1": full,
            "bare:v2": bare,
            "bare:v3": later,
          })
        ) {
          assert.equal(await two.cri.pullImage(`${REGISTRY}/team/${name}`), image.config);
        }
      });
    },
  });
}
