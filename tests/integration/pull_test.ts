/**
 * The main path: images travel from node to node.
 *
 * @module
 */
import assert from "node:assert/strict";
import { TestCluster } from "./harness/cluster.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

Deno.test({
  name: "an image is pulled upstream once, and from neighbours by all others",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using cluster = await TestCluster.start({ nodes: 4 });
    const image = await cluster.push({
      layers: [3_000_000, 5_000_000, 20_000, 1_000_000],
      platforms: ["amd64", "arm64"],
    });

    await t.step("the first node falls back to upstream, since nobody has it", async () => {
      assert.equal(await cluster.node(1).cri.pullImage(image.reference), image.config);
      const paths = (await cluster.upstream.requests()).map(({ path }) => path);
      for (const layer of image.layers) {
        assert(paths.some((path) => path.includes(layer)), `${layer} came from upstream`);
      }
      const asked = await cluster.node(1).mirror.requests();
      assert(asked.some(({ status }) => status === 404), "the mirror was asked first");
    });

    for (const number of [2, 3]) {
      await t.step(`node ${number} pulls from neighbours only`, async () => {
        const { cri, mirror } = cluster.node(number);
        await mirror.answers(
          200,
          `/v2/${image.repository}/manifests/v1?ns=${cluster.upstream.host}`,
        );
        await cluster.forget();
        assert.equal(await cri.pullImage(image.reference), image.config);
        assert.deepEqual(await cluster.upstream.requests(), []);
        const requests = await mirror.requests();
        const served = new Map(
          requests.map(({ path, source }) => [path.split("/").at(-1), source]),
        );
        for (const digest of [...image.layers, image.config]) {
          assert.match(served.get(digest) ?? "none", /^peer /, `${digest} came from a peer`);
        }
      });
    }

    await t.step("a pull works while upstream is down", async () => {
      await cluster.upstream.stop();
      assert.equal(await cluster.node(4).cri.pullImage(image.reference), image.config);
    });

    await t.step("an image that nobody has is upstream's to deliver", async () => {
      await cluster.upstream.startAgain();
      const other = await cluster.push({ layers: [100_000] });
      assert.equal(await cluster.node(4).cri.pullImage(other.reference), other.config);
      assert((await cluster.upstream.blobRequests()).length > 0);
    });
  },
});
