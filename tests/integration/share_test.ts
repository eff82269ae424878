/**
 * Nodes that pull the same at the same time, from an upstream that is slow.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type ClusterNode, type PushedImage, TestCluster } from "./harness/cluster.ts";
import { doctorOn } from "./harness/doctor.ts";
import { bytesSent } from "./harness/network.ts";
import { eventually } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

const LAYER = 50_000_000;

/** What upstream sends per second: the layer takes five seconds. */
const UPSTREAM_RATE = 10_000_000;

/** More than one copy, less than two: heads, manifests, and what was sent twice when a fetcher died. */
const ABOUT_ONE_COPY = 1.4 * LAYER;

/** What upstream sends for each node by itself, however busy it is. */
const NEARLY_THREE_COPIES = 2.5 * LAYER;

interface Herd extends AsyncDisposable {
  readonly cluster: TestCluster;
  readonly image: PushedImage;
  /** Bytes that upstream has sent since the start. */
  sent(): Promise<number>;
}

async function startHerd(
  env: Record<string, string> = {},
  upstreamRate = UPSTREAM_RATE,
): Promise<Herd> {
  await using stack = new AsyncDisposableStack();
  const cluster = stack.use(
    await TestCluster.start({ nodes: 3, env: { MIRROR_RESOLVE_TIMEOUT: "50ms", ...env } }),
  );
  const image = await cluster.push({ layers: [LAYER] });
  const { node } = cluster.upstream;
  await cluster.network.limitRate(node, upstreamRate);
  await cluster.forget();
  const before = await bytesSent(node);
  const owned = stack.move();
  return {
    cluster,
    image,
    sent: async () => await bytesSent(node) - before,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function pullAll({ cluster, image }: Herd): Promise<string>[] {
  return cluster.nodes.map(({ cri }) => cri.pullImage(image.reference));
}

/** The node whose containerd gets the layer from upstream. */
async function fetcherOf({ cluster, image }: Herd): Promise<ClusterNode> {
  return await eventually("somebody goes upstream for the layer", async () => {
    const path = `/v2/${image.repository}/blobs/${image.layers[0]}`;
    const told = await Promise.all(cluster.nodes.map(async (node) => ({
      node,
      requests: (await node.mirror.logLines()).filter((line) =>
        line["msg"] === "request" && line["path"] === path && line["status"] === 404
      ),
    })));
    return told.find(({ requests }) => requests.length > 0)?.node;
  });
}

/** Waits until all of the nodes have some of the layer. */
async function partsArrived(nodes: readonly ClusterNode[], atLeast: number): Promise<void> {
  for (const { containerd } of nodes) {
    await eventually(`a part of the layer has come to ${containerd.node.name}`, async () => {
      for await (const { name } of Deno.readDir(`${containerd.contentPath}/ingest`)) {
        const { size } = await Deno.stat(`${containerd.contentPath}/ingest/${name}/data`);
        if (size > atLeast) return true;
      }
      return false;
    });
  }
}

Deno.test({
  name: "three nodes that pull at the same time cost upstream one copy",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using herd = await startHerd();
    const { image, cluster } = herd;
    assert.deepEqual(await Promise.all(pullAll(herd)), Array(3).fill(image.config));
    const sent = await herd.sent();
    assert(sent < ABOUT_ONE_COPY, `upstream sent ${sent} bytes`);
    const layers = (await cluster.upstream.blobRequests())
      .filter(({ path, method }) => method === "GET" && path.endsWith(image.layers[0]!));
    assert.equal(layers.length, 1);
    const served = await Promise.all(
      cluster.nodes.map(({ mirror }) => mirror.metric("kagami_share_served_total")),
    );
    assert(served.reduce((sum, count) => sum + count) >= 2);
  },
});

Deno.test({
  name: "three nodes cost upstream three copies when sharing in progress is switched off",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using herd = await startHerd({ SHARE_IN_PROGRESS: "false" });
    assert.deepEqual(await Promise.all(pullAll(herd)), Array(3).fill(herd.image.config));
    const sent = await herd.sent();
    assert(sent > NEARLY_THREE_COPIES, `upstream sent ${sent} bytes`);
  },
});

Deno.test({
  name: "all pulls succeed when the mirror of the node that fetches is killed",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using herd = await startHerd();
    const pulls = pullAll(herd);
    const fetcher = await fetcherOf(herd);
    await partsArrived(herd.cluster.nodes, 5_000_000);
    await fetcher.mirror.kill();
    assert.deepEqual(await Promise.all(pulls), Array(3).fill(herd.image.config));
  },
});

Deno.test({
  name: "the others succeed when the containerd of the node that fetches is killed",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using herd = await startHerd();
    const pulls = pullAll(herd);
    const settled = Promise.allSettled(pulls);
    const fetcher = await fetcherOf(herd);
    await partsArrived(herd.cluster.nodes, 5_000_000);
    await fetcher.containerd.kill();
    const results = await settled;
    const own = herd.cluster.nodes.indexOf(fetcher);
    assert.equal(results[own]?.status, "rejected");
    const others = results.filter((_, index) => index !== own);
    const expected = { status: "fulfilled", value: herd.image.config };
    assert.deepEqual(others, [expected, expected]);
    const sent = await herd.sent();
    assert(sent < NEARLY_THREE_COPIES, `upstream sent ${sent} bytes`);
  },
});

Deno.test({
  name:
    "doctor shows a layer that is on its way, on the node that gets it and on one that does not",
  ...REQUIRES_TEST_BED,
  async fn() {
    // Slow enough for a doctor that takes seconds to start.
    await using herd = await startHerd({}, LAYER / 30);
    const { cluster, image } = herd;
    const [node, other] = cluster.nodes;
    const pull = node!.cri.pullImage(image.reference);
    pull.catch(() => {}); // Observed at the end; a failed look before it ends the cluster first.
    const tagged = async () => (await doctorOn(node!, [image.reference])).image?.incomplete;
    const told = await eventually("the doctor lists the downloads", async () => {
      const text = await tagged();
      return text?.includes("of 50.0 MB") ? text : undefined;
    });
    assert.match(told, /before its first pull has ended; containerd is getting now:/);
    // By digest, for what the tag stands for becomes known at the end.
    const byDigest = image.reference.replace(/:[^:/]+$/, `@${image.digest}`);
    const layerAt = async (where: ClusterNode) => {
      const { image: report } = await doctorOn(where, [byDigest]);
      const layer = report?.parts.find(({ key }) => key === image.layers[0]);
      return layer?.from === "in progress" && layer.done! > 0 ? layer : undefined;
    };
    const here = await eventually("the doctor sees the download here", () => layerAt(node!));
    assert.match(
      here.why,
      /^this node's containerd has .+ of 50\.0 MB \(\d+ %\) so far, from upstream/,
    );
    assert(here.done! < LAYER, String(here.done));
    // What others know is what was reported last.
    const there = await eventually("the doctor sees it from elsewhere", () => layerAt(other!));
    const address = `${node!.containerd.node.ip}:`;
    assert(there.why.startsWith(address), there.why);
    assert.match(there.why, /MB of 50\.0 MB \(\d+ %\) so far, from upstream/);
    await cluster.network.limitRate(cluster.upstream.node, LAYER);
    assert.equal(await pull, image.config);
  },
});
