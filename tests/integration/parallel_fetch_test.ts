/**
 * containerd 2 can fetch a layer in parts at the same time. A part that fails then fails the pull, so that the mirror
 * does not let it begin.
 *
 * @module
 */
import assert from "node:assert/strict";
import { blobPath, TestCluster } from "./harness/cluster.ts";
import { CONTAINERD_MAJOR } from "./harness/containerd_program.ts";
import { partOfLayer } from "./harness/part_of_layer.ts";
import { MISSING } from "./harness/requirements.ts";

const REQUIRES_CONTAINERD_2 = { ignore: MISSING.length > 0 || CONTAINERD_MAJOR < 2 } as const;

const PART = 2_000_000;

Deno.test({
  name: "containerd 2 that is set to fetch layers in parallel parts gets them through the mirror",
  ...REQUIRES_CONTAINERD_2,
  async fn(t) {
    await using cluster = await TestCluster.start({
      nodes: 3,
      containerd: { layerFetchBuffer: PART },
    });
    const [one, two, three] = [cluster.node(1), cluster.node(2), cluster.node(3)];
    const image = await cluster.push({ layers: [25_000_000, 100_000] });
    await one.cri.pullImage(image.reference);

    await t.step("all of it from a peer, in one piece", async () => {
      await two.mirror.answers(200, blobPath(cluster, image));
      await cluster.forget();
      assert.equal(await two.cri.pullImage(image.reference), image.config);
      assert.deepEqual(await cluster.upstream.blobRequests(), []);
      const blobs = (await two.mirror.requests()).filter(({ path }) => path.includes("/blobs/"));
      // The layers and the config.
      assert.deepEqual(blobs.map(({ status }) => status), [200, 200, 200]);
    });

    await t.step("the rest from upstream when the last peer dies in the middle", async () => {
      const large = await cluster.push({ layers: [200_000_000] });
      await one.cri.pullImage(large.reference);
      await three.mirror.answers(200, blobPath(cluster, large));
      await cluster.forget();
      const pull = three.cri.pullImage(large.reference);
      await partOfLayer(three.containerd.contentPath, 5 * PART);
      await one.mirror.kill();
      assert.equal(await pull, large.config);
      const statuses = (await cluster.upstream.blobRequests()).map(({ status }) => status);
      assert(statuses.length > 0, "upstream had to help");
      assert(statuses.every((status) => status === 206), "nothing was fetched twice");
    });
  },
});
