/**
 * A node takes part in the cluster and lies. Pulls of others have to survive it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Fault } from "../unit/support/fault_peer.ts";
import { blobPath, type PushedImage, TestCluster } from "./harness/cluster.ts";
import { type LyingPeerSetup, PROBE } from "./harness/lying_peer_program.ts";
import { PORTS } from "./harness/mirror_process.ts";
import { inside } from "./harness/network.ts";
import { eventually, ManagedProcess } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

const PROGRAM = fileURLToPath(
  new URL("./harness/lying_peer_program.ts", import.meta.url),
);

/** One layer of several chunks, and one that is less than a chunk. */
const LAYERS = [3_500_000, 200_000];

interface Lie {
  readonly fault: Fault;
  readonly hasChunks?: boolean;
}

let liars = 0;

/** Starts a node that advertises an image's layers; waits until node 1 knows. */
async function startLiar(
  cluster: TestCluster,
  image: PushedImage,
  lie: Lie,
): Promise<ManagedProcess> {
  const node = await cluster.network.addNode(`liar-${++liars}`);
  const victim = cluster.node(1).mirror;
  const setup: LyingPeerSetup = {
    bootstrap: `${victim.node.ip}:${PORTS.router}`,
    files: image.layers.map((digest) => `${image.path}/blobs/${digest.replace(":", "/")}`),
    hasChunks: false,
    ports: PORTS,
    ...lie,
  };
  const liar = await ManagedProcess.start(
    node.name,
    `${image.path}/${node.name}.log`,
    "ip",
    inside(node, Deno.execPath(), "run", "-A", "--no-check", PROGRAM, JSON.stringify(setup)),
  );
  await victim.answers(200, `/v2/team/probe/blobs/${PROBE.digest}?ns=${cluster.upstream.host}`);
  return liar;
}

/** Statuses with which upstream served an image's layers, in their order. */
async function fromUpstream(cluster: TestCluster, image: PushedImage): Promise<number[][]> {
  const requests = await cluster.upstream.blobRequests();
  return image.layers.map((layer) =>
    requests.filter(({ path }) => path.includes(layer)).map(({ status }) => status)
  );
}

/** Faults that cost a pull some seconds at most. What they deliver right is not fetched again. */
const SURVIVED: readonly Lie[] = [
  { fault: "hangs before the head" },
  { fault: "hangs in the body" },
  { fault: "trickles" },
  { fault: "breaks in the body" },
  { fault: "breaks, then 200 to a range" },
  { fault: "cut short" },
  { fault: "too long" },
  { fault: "wrong digest header" },
];

Deno.test({
  name: "a pull survives a peer that hangs, breaks or lies about the length, and ends upstream",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using cluster = await TestCluster.start({ nodes: 1 });
    const { cri } = cluster.node(1);
    for (const lie of SURVIVED) {
      await t.step(lie.fault, async () => {
        const image = await cluster.push({ layers: LAYERS });
        await using liar = await startLiar(cluster, image, lie);
        await cluster.forget();
        // The CRI client gives up after two minutes.
        assert.equal(await cri.pullImage(image.reference), image.config);
        await wasAsked(liar, image.layers);
        // Each layer once: the whole of it, or the part that the peer has not brought.
        for (const statuses of await fromUpstream(cluster, image)) {
          assert.equal(statuses.length, 1);
          assert.match(String(statuses[0]), /^20[06]$/);
        }
      });
    }
  },
});

/**
 * Bytes that are wrong reach containerd before that can be known, if the peer has no list of chunks (as Spegel) or one
 * of its own. containerd 1.6 goes on upstream behind them, finds the digest wrong, and fails the pull without trying
 * again. It throws away what it got within a second or so; the kubelet tries again after ten.
 */
const NOT_SURVIVED: readonly Lie[] = [
  { fault: "wrong bytes" },
  { fault: "wrong bytes in the second half" },
  { fault: "wrong bytes", hasChunks: true },
];

Deno.test({
  name:
    "a pull fails once when the only peer delivers wrong bytes of a large layer; the next one is upstream's",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using cluster = await TestCluster.start({ nodes: 1 });
    const { containerd, cri, mirror } = cluster.node(1);
    for (const lie of NOT_SURVIVED) {
      const how = lie.hasChunks ? `${lie.fault}, and a list of chunks that fits them` : lie.fault;
      await t.step(how, async () => {
        const image = await cluster.push({ layers: LAYERS });
        await using liar = await startLiar(cluster, image, lie);
        await cluster.forget();
        await assert.rejects(
          cri.pullImage(image.reference),
          new RegExp(`layer-${image.layers[0]}.*unexpected commit digest`),
        );
        await wasAsked(liar, image.layers.slice(0, 1));
        const told = (await mirror.logLines()).filter(({ level }) => level === "ERROR");
        assert.deepEqual(told.map(({ msg, digest }) => [msg, digest]), [
          ["peers delivered wrong bytes, leaving the content to upstream", image.layers[0]],
        ]);

        await eventually("containerd has thrown away what it got", async () => {
          return (await Array.fromAsync(Deno.readDir(`${containerd.contentPath}/ingest`)))
            .length === 0;
        });
        // The liar is still there, and asked no more for this layer.
        await cluster.forget();
        const before = (await liar.output()).length;
        assert.equal(await cri.pullImage(image.reference), image.config);
        const requests = (await liar.output()).slice(before);
        assert(!requests.includes(image.layers[0]!), requests);
        assert.deepEqual((await fromUpstream(cluster, image))[0], [200]);
      });
    }
  },
});

Deno.test({
  name:
    "wrong bytes of a small layer never leave the node, and those of a large one not if another peer is right",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using cluster = await TestCluster.start({ nodes: 2 });
    const [victim, honest] = [cluster.node(1), cluster.node(2)];

    await t.step("a small layer", async () => {
      const image = await cluster.push({ layers: [LAYERS[1]!] });
      await using liar = await startLiar(cluster, image, { fault: "wrong bytes" });
      assert.equal(await victim.cri.pullImage(image.reference), image.config);
      await wasAsked(liar, image.layers);
    });

    // Whom the victim asks first is up to chance.
    for (let round = 1; round <= 4; round++) {
      await t.step(`a large layer that an honest node has, too (${round})`, async () => {
        const image = await cluster.push({ layers: LAYERS });
        await honest.cri.pullImage(image.reference);
        await victim.mirror.answersFrom([honest.mirror], blobPath(cluster, image));
        await using _liar = await startLiar(cluster, image, {
          fault: "wrong bytes",
          hasChunks: true,
        });
        assert.equal(await victim.cri.pullImage(image.reference), image.config);
      });
    }
  },
});

/** The liar was asked for each of the layers. */
async function wasAsked(liar: ManagedProcess, layers: readonly string[]): Promise<void> {
  const requests = await liar.output();
  for (const layer of layers) assert(requests.includes(`/blobs/${layer}`), requests);
}
