/**
 * Nodes come, go and lose sight of one another.
 *
 * @module
 */
import assert from "node:assert/strict";
import { blobPath, TestCluster } from "./harness/cluster.ts";
import { eventually } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

Deno.test({
  name: "a restarted node is found again even if the node it starts from is away",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await TestCluster.start({ nodes: 3 });
    const [one, two, three] = [cluster.node(1), cluster.node(2), cluster.node(3)];
    const image = await cluster.push({ layers: [300_000] });
    await two.cri.pullImage(image.reference);
    const path = blobPath(cluster, image);
    await three.mirror.answersFrom([two.mirror], path);
    await one.mirror.kill();
    await two.mirror.kill();
    await three.mirror.answers(404, path);
    await two.mirror.startAgain();
    await three.mirror.answersFrom([two.mirror], path);
    await two.mirror.ready();
  },
});

Deno.test({
  name: "two halves of a split network join again",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await TestCluster.start({ nodes: 2 });
    const [one, two] = [cluster.node(1), cluster.node(2)];
    await cluster.network.setLink(two.mirror.node, "down");
    await eventually("both have lost each other", async () => {
      const states = await Promise.all(
        [one, two].map(async ({ mirror }) => await mirror.curl(`http://127.0.0.1:5000/readyz`)),
      );
      return states.every((state) => !/: ready: 1 peers/.test(state));
    }, 60_000);
    const image = await cluster.push({ layers: [300_000] });
    await one.cri.pullImage(image.reference);
    await cluster.network.setLink(two.mirror.node, "up");
    await two.mirror.answersFrom([one.mirror], blobPath(cluster, image));
  },
});

Deno.test({
  name: "a single node is ready and quiet",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await TestCluster.start({ nodes: 1 });
    const { mirror } = cluster.node(1);
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const lines = (await mirror.logLines()).filter(({ level }) => level !== "DEBUG");
    const messages = lines.map(({ msg }) => msg);
    assert(messages.length <= 8, `few lines: ${messages.join(" | ")}`);
    assert.deepEqual(lines.filter(({ level }) => level !== "INFO"), []);
  },
});
