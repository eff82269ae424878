/**
 * What changes in containerd's store is known in the cluster.
 *
 * @module
 */
import assert from "node:assert/strict";
import { TestCluster } from "./harness/cluster.ts";
import { LAYOUT_TAG } from "./harness/images.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";
import { run } from "./harness/process.ts";

Deno.test({
  name: "images imported, tagged and deleted are followed",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using cluster = await TestCluster.start({ nodes: 2 });
    const [one, two] = [cluster.node(1), cluster.node(2)];
    const image = await cluster.makeImage({ layers: [500_000] });
    const registry = "registry.example";
    const tagPath = (tag: string) => `/v2/team/imported/manifests/${tag}?ns=${registry}`;
    const blobPath = `/v2/team/imported/blobs/${image.layers[0]}?ns=${registry}`;

    await t.step(
      "an imported image can be pulled elsewhere, and was never in a registry",
      async () => {
        const archive = `${image.path}.tar`;
        await run("tar", "-C", image.path, "-cf", archive, ".");
        const name = `${registry}/team/imported:v1`;
        await one.containerd.ctr("image", "import", "--index-name", name, "--no-unpack", archive);
        const names = await one.containerd.images();
        for (const other of names.filter((found) => found !== name)) {
          await one.containerd.ctr("image", "tag", "--force", other, name);
        }
        await two.mirror.answers(200, tagPath("v1"));
        await two.mirror.answers(200, blobPath);
        assert.equal(LAYOUT_TAG.length > 0, true);
      },
    );

    await t.step("a new tag is found", async () => {
      await one.containerd.ctr(
        ...[
          "image",
          "tag",
          `${registry}/team/imported:v1`,
          `${registry}/team/imported:v2`,
        ] as const,
      );
      await two.mirror.answers(200, tagPath("v2"));
    });

    await t.step("a removed tag is no longer found", async () => {
      await one.containerd.ctr("image", "rm", `${registry}/team/imported:v2`);
      await two.mirror.answers(404, tagPath("v2"));
      await two.mirror.answers(200, tagPath("v1"));
    });

    await t.step("deleted content is no longer found", async () => {
      await one.containerd.removeEverything();
      await two.mirror.answers(404, tagPath("v1"));
      await two.mirror.answers(404, blobPath);
    });

    await t.step("the counts follow", async () => {
      assert.equal(await one.mirror.metric("spegel_advertised_image_tags"), 0);
      assert.equal(await one.mirror.metric("spegel_advertised_content_digests"), 0);
    });
  },
});
