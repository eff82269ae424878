/**
 * A whole cluster pulls the same image at the same moment, from an upstream that is slow: how long it takes compared to
 * one node alone, and how many copies leave upstream.
 *
 *     deno task bench:herd [--nodes=10] [--mb=200] [--upstream-mb=25] [--layers=4] [--kills=1] [--parts=…]
 *
 * `--layers` is the number of layers of the second image, `--kills` how often nodes are killed in each of the two ways,
 * `--parts` some of `together`, `layers`, `killed`, `private`, `off`, `uncapped`.
 *
 * Each node is a real containerd with its mirror in a network namespace of its own; upstream's link is limited by tc.
 * Needs what the integration tests need.
 *
 * @module
 */
import {
  type ClusterNode,
  type ClusterOptions,
  type PushedImage,
  TestCluster,
} from "../tests/integration/harness/cluster.ts";
import { bytesSent, type NetworkNode } from "../tests/integration/harness/network.ts";
import { OWNER, passwordGuard } from "../tests/integration/harness/registry_guards.ts";
import { MISSING } from "../tests/integration/harness/requirements.ts";
import { sleep } from "../lib/sleep.ts";
import { numberArgument, partsArgument } from "./support/arguments.ts";
import { totalCpuSeconds } from "./support/process_usage.ts";
import { say, sayFigures, sayTable } from "./support/report.ts";

const MB = 1_000_000;

const count = numberArgument("nodes", 10);
const size = numberArgument("mb", 200) * MB;
const upstreamRate = numberArgument("upstream-mb", 25) * MB;
const manyLayers = numberArgument("layers", 4);
const kills = numberArgument("kills", 1);
const parts = new Set(
  partsArgument(["together", "layers", "killed", "private", "off", "uncapped"]),
);

/** Time within which the pulls begin, in milliseconds. */
const SPREAD_MS = 50;

/** How often it is looked which layers are there, in milliseconds. */
const LOOK_MS = 50;

/** What the machine alone costs: all nodes pull from an upstream without a cap, and share nothing. */
const UNCAPPED = "all, no cap, switched off";

/** Pulls of one image that came to an end. */
interface Measured {
  /** Until the last pull ended: layers fetched, and unpacked. */
  readonly seconds: number;
  /** Until all layers were in the stores of all nodes. */
  readonly fetchSeconds: number;
  /** Bytes that upstream sent, in copies of the image. */
  readonly copies: number;
  /** CPU time of the mirrors for each GB that nodes got, in seconds; undefined where some were killed. */
  readonly mirrorCpu?: number;
  /** Pulls that failed, though upstream would have served them. */
  readonly failed: number;
  /** Pulls that succeeded, though upstream would have refused them. */
  readonly leaked: number;
}

interface Herd {
  readonly cluster: TestCluster;
  /** Nodes that pull. */
  readonly nodes: readonly ClusterNode[];
  readonly layers: number;
  /** Something that happens meanwhile; the nodes that it hits may fail. */
  readonly meanwhile?: (herd: Herd) => Promise<readonly ClusterNode[]>;
  /** Whose pulls have the registry's credentials, if it wants some. */
  readonly isAllowed?: (node: ClusterNode) => boolean;
}

async function startCluster(
  env: Readonly<Record<string, string>>,
  { guard, isCapped = true }: Pick<ClusterOptions, "guard"> & { isCapped?: boolean } = {},
): Promise<TestCluster> {
  const cluster = await TestCluster.start({
    ...(guard === undefined ? {} : { guard }),
    nodes: count,
    env: { MIRROR_RESOLVE_TIMEOUT: "20ms", ...env },
  });
  if (isCapped) await cluster.network.limitRate(cluster.upstream.node, upstreamRate);
  return cluster;
}

/** Pulls a new image on the nodes, and removes it. */
async function measure(herd: Herd): Promise<Measured> {
  const { cluster, nodes, layers, isAllowed } = herd;
  const mayPull = (node: ClusterNode) => isAllowed?.(node) ?? true;
  const image = await cluster.push({ layers: Array(layers).fill(Math.floor(size / layers)) });
  await cluster.forget();
  const before = await bytesSent(cluster.upstream.node);
  const mirrors = nodes.map(({ mirror }) => mirror.pid);
  const cpuBefore = await totalCpuSeconds(mirrors);
  const startedAt = performance.now();
  const since = () => (performance.now() - startedAt) / 1000;
  const pulls = nodes.map(async (node) => {
    await sleep(Math.random() * SPREAD_MS);
    await node.cri.pullImage(image.reference, isAllowed?.(node) ? OWNER : undefined);
  });
  const ending = Promise.allSettled(pulls);
  const over = new AbortController();
  const fetching = fetched(nodes.filter(mayPull), image, over.signal).then(since);
  const hit = new Set(await herd.meanwhile?.(herd) ?? []);
  const results = await ending;
  const seconds = since();
  const cpu = hit.size > 0 ? undefined : await totalCpuSeconds(mirrors) - cpuBefore;
  over.abort();
  const fetchSeconds = await fetching;
  const copies = (await bytesSent(cluster.upstream.node) - before) / size;
  const count = (isCounted: (node: ClusterNode, hasPulled: boolean) => boolean) =>
    nodes.filter((node, index) => isCounted(node, results[index]!.status === "fulfilled")).length;
  const failed = count((node, hasPulled) => !hasPulled && mayPull(node) && !hit.has(node));
  const leaked = count((node, hasPulled) => hasPulled && !mayPull(node));
  for (const node of hit) {
    await node.containerd.startAgain();
    await node.mirror.startAgain();
    await node.mirror.ready();
  }
  await Promise.all(nodes.map(({ containerd }) => containerd.removeEverything()));
  const mirrorCpu = cpu === undefined ? {} : { mirrorCpu: cpu / (nodes.length * size / 1e9) };
  return { seconds, fetchSeconds, copies, failed, leaked, ...mirrorCpu };
}

/** Waits until all layers are in the stores of all nodes, or nobody pulls any more. */
async function fetched(
  nodes: readonly ClusterNode[],
  { layers }: PushedImage,
  signal: AbortSignal,
): Promise<void> {
  const missing = nodes.flatMap(({ containerd }) =>
    layers.map((digest) => `${containerd.contentPath}/blobs/${digest.replace(":", "/")}`)
  );
  while (missing.length > 0 && !signal.aborted) {
    if (await exists(missing.at(-1)!)) missing.pop();
    else await sleep(LOOK_MS, signal);
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function kill(node: ClusterNode): Promise<void> {
  await Promise.all([node.mirror.kill(), node.containerd.kill()]);
}

/** Kills a tenth of the nodes at random moments. */
async function killSome({ nodes }: Herd): Promise<readonly ClusterNode[]> {
  const victims = [...nodes].sort(() => Math.random() - 0.5).slice(0, Math.ceil(count / 10));
  const duration = size / upstreamRate * 1000;
  await Promise.all(victims.map(async (node) => {
    await sleep(Math.random() * duration);
    await kill(node);
  }));
  return victims;
}

/** Kills the node that has got most, which is the one that fetches. */
async function killFetcher({ nodes }: Herd): Promise<readonly ClusterNode[]> {
  await sleep(size / upstreamRate * 1000 / 3);
  const sizes = await Promise.all(nodes.map(({ containerd }) => largestIngest(containerd)));
  const victim = nodes[sizes.indexOf(Math.max(...sizes))]!;
  await kill(victim);
  return [victim];
}

async function largestIngest({ contentPath }: ClusterNode["containerd"]): Promise<number> {
  let largest = 0;
  for await (const { name } of Deno.readDir(`${contentPath}/ingest`)) {
    // It may be committed while we look.
    const info = await Deno.stat(`${contentPath}/ingest/${name}/data`).catch(() => undefined);
    largest = Math.max(largest, info?.size ?? 0);
  }
  return largest;
}

async function main(): Promise<void> {
  if (MISSING.length > 0) return sayFigures("herd", {});
  const results: Record<string, Measured> = {};
  const run = async (name: string, herd: Herd) => {
    const measured = await measure(herd);
    results[name] = measured;
    const { seconds, fetchSeconds, copies, failed, leaked } = measured;
    const times = `${fetchSeconds.toFixed(1)} s fetched, ${seconds.toFixed(1)} s`;
    say(`${name}: ${times}, ${copies.toFixed(2)} copies, ${failed} failed, ${leaked} leaked`);
  };
  if (parts.has("together") || parts.has("layers") || parts.has("killed")) {
    await using cluster = await startCluster({});
    const { nodes } = cluster;
    for (const [part, layers] of [["together", 1], ["layers", manyLayers]] as const) {
      if (!parts.has(part)) continue;
      await run(`alone, ${part}`, { cluster, nodes: nodes.slice(0, 1), layers });
      await run(`all, ${part}`, { cluster, nodes, layers });
    }
    for (let number = 1; parts.has("killed") && number <= kills; number++) {
      await run(`all, some killed ${number}`, { cluster, nodes, layers: 1, meanwhile: killSome });
      const meanwhile = killFetcher;
      await run(`all, fetcher killed ${number}`, { cluster, nodes, layers: 1, meanwhile });
    }
  }
  if (parts.has("private")) {
    const guard = (_node: NetworkNode, folder: string) => passwordGuard(folder);
    await using cluster = await startCluster({}, { guard });
    const { nodes } = cluster;
    const isAllowed = (node: ClusterNode) => nodes.indexOf(node) % 2 === 0;
    await run("all, half may pull", { cluster, nodes, layers: 1, isAllowed });
  }
  if (parts.has("off")) {
    await using cluster = await startCluster({ SHARE_IN_PROGRESS: "false" });
    await run("all, switched off", { cluster, nodes: cluster.nodes, layers: 1 });
  }
  if (parts.has("uncapped")) {
    await using cluster = await startCluster({ SHARE_IN_PROGRESS: "false" }, { isCapped: false });
    await run(UNCAPPED, { cluster, nodes: cluster.nodes, layers: 1 });
  }
  sayTable(
    ["pull", "s fetched", "s", "copies", "failed", "leaked", "mirror CPU s/GB"],
    Object.entries(results).map((
      [name, { seconds, fetchSeconds, copies, failed, leaked, mirrorCpu }],
    ) => [name, fetchSeconds, seconds, copies, failed, leaked, mirrorCpu ?? "-"]),
  );
  sayFigures("herd", figuresOf(results));
}

/** Figures of the parts that were run. */
function figuresOf(results: Readonly<Record<string, Measured>>): Record<string, number> {
  const ratio = (name: string, base: string, of: (measured: Measured) => number) => {
    const [above, below] = [results[name], results[base]];
    return above && below && of(above) / of(below);
  };
  const copies = (name: string) => results[name]?.copies;
  /** The worst of several. */
  const most = (name: string) => {
    const all = Object.entries(results).filter(([key]) => key.startsWith(name));
    return all.length === 0 ? undefined : Math.max(...all.map(([, one]) => one.copies));
  };
  const sum = (of: (measured: Measured) => number) =>
    Object.values(results).map(of).reduce((a, b) => a + b, 0);
  const whole = ({ seconds }: Measured) => seconds;
  const fetched = ({ fetchSeconds }: Measured) => fetchSeconds;
  const figures: Record<string, number | undefined> = {
    machine_ratio: ratio(UNCAPPED, "alone, together", whole),
    time_ratio: ratio("all, together", "alone, together", whole),
    time_ratio_4_layers: ratio("all, layers", "alone, layers", whole),
    fetch_ratio: ratio("all, together", "alone, together", fetched),
    fetch_ratio_4_layers: ratio("all, layers", "alone, layers", fetched),
    upstream_copies: copies("all, together"),
    upstream_copies_4_layers: copies("all, layers"),
    some_killed_copies: most("all, some killed"),
    fetcher_killed_copies: most("all, fetcher killed"),
    private_copies: copies("all, half may pull"),
    mirror_cpu_s_per_gb: results["all, together"]?.mirrorCpu,
    failed: sum(({ failed }) => failed),
    leaked: sum(({ leaked }) => leaked),
    off_upstream_copies: copies("all, switched off"),
  };
  return Object.fromEntries(
    Object.entries(figures).flatMap(([name, value]) => value === undefined ? [] : [[name, value]]),
  );
}

await main();
