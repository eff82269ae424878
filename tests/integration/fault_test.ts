/**
 * What goes wrong in clusters, and that pulls survive it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { blobPath, TestCluster } from "./harness/cluster.ts";
import { PORTS } from "./harness/mirror_process.ts";
import { runInside } from "./harness/network.ts";
import { partOfLayer } from "./harness/part_of_layer.ts";
import { eventually } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

/** A layer that takes long enough to be interrupted. */
const LONG_LAYER = 300_000_000;

Deno.test({
  name: "a pull goes on from another peer when the one that serves is killed",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await TestCluster.start({ nodes: 3 });
    const [one, two, three] = [cluster.node(1), cluster.node(2), cluster.node(3)];
    const image = await cluster.share({ layers: [LONG_LAYER] });
    await two.cri.pullImage(image.reference);
    await three.mirror.answersFrom([one.mirror, two.mirror], blobPath(cluster, image));
    await cluster.forget();

    const pull = three.cri.pullImage(image.reference);
    await partOfLayer(three.containerd.contentPath, 5_000_000);
    const server = await eventually("somebody serves", async () => {
      for (const node of [one, two]) {
        const filter = [
          "state",
          "established",
          `( sport = :${PORTS.peers} and dst = ${three.mirror.node.ip} )`,
        ];
        const { stdout } = await runInside(node.mirror.node, "ss", "-Htn", ...filter);
        // What waits to be sent tells which connection carries the layer.
        if (stdout.split("\n").some((line) => Number(line.trim().split(/\s+/)[1]) > 10_000)) {
          return node;
        }
      }
      return undefined;
    });
    await server.mirror.kill();
    assert.equal(await pull, image.config);
    assert.deepEqual(await cluster.upstream.blobRequests(), []);
    assert.equal(await three.mirror.metric("kagami_transfer_resumes_total"), 1);
  },
});

Deno.test({
  name: "a pull goes on upstream when the only peer is killed",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await TestCluster.start({ nodes: 2 });
    const [one, two] = [cluster.node(1), cluster.node(2)];
    const image = await cluster.share({ layers: [LONG_LAYER] });
    await cluster.forget();

    const pull = two.cri.pullImage(image.reference);
    await partOfLayer(two.containerd.contentPath, 5_000_000);
    await one.mirror.kill();
    assert.equal(await pull, image.config);
    // 206: containerd asked upstream for the rest only.
    const statuses = (await cluster.upstream.blobRequests()).map(({ status }) => status);
    assert.deepEqual(statuses, [206]);
  },
});

Deno.test({
  name: "pulls survive the death of their own mirror, before and in the middle",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using cluster = await TestCluster.start({ nodes: 2 });
    const two = cluster.node(2);
    const image = await cluster.share({ layers: [LONG_LAYER] });

    await t.step("killed in the middle of a layer", async () => {
      const pull = two.cri.pullImage(image.reference);
      await partOfLayer(two.containerd.contentPath, 5_000_000);
      await two.mirror.kill();
      assert.equal(await pull, image.config);
    });

    await t.step("stopped", async () => {
      const other = await cluster.push({ layers: [100_000] });
      assert.equal(await two.cri.pullImage(other.reference), other.config);
    });
  },
});

Deno.test({
  name: "a running transfer is finished before the mirror stops",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await TestCluster.start({ nodes: 2 });
    const [one, two] = [cluster.node(1), cluster.node(2)];
    const image = await cluster.share({ layers: [LONG_LAYER] });
    await cluster.forget();
    const pull = two.cri.pullImage(image.reference);
    await partOfLayer(two.containerd.contentPath, 5_000_000);
    await one.mirror.stop();
    assert.equal(await pull, image.config);
    assert.deepEqual(await cluster.upstream.blobRequests(), []);
    assert.equal(await two.mirror.metric("kagami_transfer_resumes_total"), 0);
  },
});

Deno.test({
  name: "a corrupt blob is never served, and the pull succeeds from upstream",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await TestCluster.start({ nodes: 2 });
    const [one, two] = [cluster.node(1), cluster.node(2)];
    const image = await cluster.share({ layers: [2_000_000, 50_000] });
    const path = one.containerd.blobPath(image.layers[0]!);
    const bytes = await Deno.readFile(path);
    bytes[1_234_567]! ^= 1;
    await Deno.writeFile(path, bytes);
    await cluster.forget();

    assert.equal(await two.cri.pullImage(image.reference), image.config);
    const fromUpstream = (await cluster.upstream.blobRequests()).map(({ path }) => path);
    assert.equal(fromUpstream.length, 1, "only the corrupt one");
    assert.match(fromUpstream[0]!, new RegExp(image.layers[0]!));
    assert.equal(await one.mirror.metric("kagami_verification_failures_total", "local"), 1);
    // Asked as by a peer: of its own store.
    const url = `${one.mirror.url}${blobPath(cluster, image)}`;
    const head = await one.mirror.curl("-I", "-H", "X-Spegel-Mirrored: true", url);
    assert.match(head, /^HTTP\/1.1 404 /);

    // The remedy that the log names.
    await one.cri.removeImage(image.reference);
    assert.equal(await one.cri.pullImage(image.reference), image.config);
    bytes[1_234_567]! ^= 1;
    assert.deepEqual(await Deno.readFile(path), bytes);
    await eventually("it is served again", async () => {
      const again = await one.mirror.curl("-I", "-H", "X-Spegel-Mirrored: true", url);
      return /^HTTP\/1.1 200 /.test(again);
    });
  },
});

Deno.test({
  name: "a restarted containerd is noticed, and what it pulls then is shared",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using cluster = await TestCluster.start({ nodes: 2 });
    const [one, two] = [cluster.node(1), cluster.node(2)];

    await t.step("while containerd is away the mirror is up, but not ready", async () => {
      await one.containerd.kill();
      await one.mirror.answers(503, "/readyz");
      await one.mirror.answers(200, "/livez");
    });

    await t.step("when it is back, so is the mirror", async () => {
      await one.containerd.startAgain();
      await one.mirror.ready();
      const image = await cluster.share({ layers: [200_000] });
      // The tag comes last: the image is named when all of it is there.
      const tag = `/v2/${image.repository}/manifests/v1?ns=${cluster.upstream.host}`;
      await two.mirror.answers(200, tag);
      await cluster.forget();
      assert.equal(await two.cri.pullImage(image.reference), image.config);
      assert.deepEqual(await cluster.upstream.requests(), []);
    });
  },
});

Deno.test({
  name: "a peer that hangs costs a pull no more than its time limit",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await TestCluster.start({ nodes: 2 });
    const [one, two] = [cluster.node(1), cluster.node(2)];
    const image = await cluster.share({ layers: [200_000] });
    one.mirror.signal("SIGSTOP");
    try {
      assert.equal(await two.cri.pullImage(image.reference), image.config);
    } finally {
      one.mirror.signal("SIGCONT");
    }
    assert((await cluster.upstream.blobRequests()).length > 0);
  },
});
