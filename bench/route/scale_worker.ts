/**
 * Many of Kagami's routers in one process: what a node more costs, and how long lookups take when not every node has
 * every record any more. Says what it measured as one JSON line.
 *
 *     deno run -A bench/route/scale_worker.ts '{"nodes":50}'
 *
 * @module
 */
import { sleep } from "../../lib/sleep.ts";
import { memoryUsage, untilQuiet } from "../support/process_usage.ts";
import { keysOf, type RouteNode, startRouteNode } from "../support/route_nodes.ts";
import { freePort } from "../support/tools.ts";

/** Keys of each of the nodes that announce. */
const KEYS = 200;

/** Nodes that announce, and nodes that look up. */
const ANNOUNCERS = 5;

/** Lookups of each kind by each node that looks up. */
const LOOKUPS = 100;

/** Nodes that are started at the same time. */
const STARTED_AT_ONCE = 5;

/** Share of a core that a node without anything to do uses at most. */
const SHARE_OF_IDLE_NODE = 0.02;

/** Time for the keys to be announced, in milliseconds; that all are found is measured. */
const ANNOUNCE_MS = 10_000;

/** Longest time for all nodes to find one another, in milliseconds. */
const JOIN_TIMEOUT_MS = 240_000;

/** What is said. Times in milliseconds. */
export interface Scale {
  readonly nodes: number;
  /** Until the node that knows fewest knew most of the others. */
  readonly joinSeconds: number;
  /** Peers that the node that knows fewest knows. */
  readonly fewestPeers: number;
  readonly mibANode: number;
  readonly firstMs: readonly number[];
  readonly missMs: readonly number[];
  /** Share of lookups that found a provider. */
  readonly foundShare: number;
}

async function startAll(count: number): Promise<RouteNode[]> {
  const bootstrapPort = freePort();
  const nodes = [await startRouteNode({ kind: "kagami", port: bootstrapPort, bootstrapPort })];
  while (nodes.length < count) {
    const some = Math.min(STARTED_AT_ONCE, count - nodes.length);
    const started = Array.from(
      { length: some },
      () => startRouteNode({ kind: "kagami", port: freePort(), bootstrapPort }),
    );
    nodes.push(...await Promise.all(started));
  }
  return nodes;
}

async function fewestPeers(nodes: readonly RouteNode[]): Promise<number> {
  return Math.min(...await Promise.all(nodes.map((node) => node.peers())));
}

/** Lookups one after the other. */
async function lookUp(node: RouteNode, keys: readonly string[], times: number[]): Promise<number> {
  let found = 0;
  for (const key of keys) {
    const startedAt = performance.now();
    if (await node.hasProvider(key)) found += 1;
    times.push(performance.now() - startedAt);
  }
  return found;
}

async function measure(count: number): Promise<Scale> {
  const pid = Deno.pid;
  const { rssMib: before } = await memoryUsage(pid);
  const startedAt = performance.now();
  const nodes = await startAll(count);
  // A routing table need not hold everybody; nine of ten is a network that has come together.
  const enough = Math.floor((count - 1) * 0.9);
  while (await fewestPeers(nodes) < enough && performance.now() - startedAt < JOIN_TIMEOUT_MS) {
    await sleep(500);
  }
  const joinSeconds = (performance.now() - startedAt) / 1000;
  await untilQuiet([pid], SHARE_OF_IDLE_NODE * count);
  const { rssMib } = await memoryUsage(pid);

  const owners = nodes.slice(0, ANNOUNCERS);
  const keys = owners.flatMap((_, owner) => keysOf(`scale-${owner}`, KEYS));
  await Promise.all(owners.map((node, owner) => node.advertise(keysOf(`scale-${owner}`, KEYS))));
  await sleep(ANNOUNCE_MS);

  const firstMs: number[] = [];
  const missMs: number[] = [];
  let found = 0;
  const askers = nodes.slice(-ANNOUNCERS);
  for (const [asker, node] of askers.entries()) {
    const wanted = Array.from({ length: LOOKUPS }, (_, i) => keys[(i * 7 + asker) % keys.length]!);
    found += await lookUp(node, wanted, firstMs);
    await lookUp(node, keysOf(`nobody-${asker}`, LOOKUPS / 4), missMs);
  }
  return {
    nodes: count,
    joinSeconds,
    fewestPeers: await fewestPeers(nodes),
    mibANode: (rssMib - before) / count,
    firstMs,
    missMs,
    foundShare: found / firstMs.length,
  };
}

if (import.meta.main) {
  const { nodes } = JSON.parse(Deno.args[0] ?? "{}") as { nodes: number };
  const scale = await measure(nodes);
  Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(scale) + "\n"));
  Deno.exit(0);
}
