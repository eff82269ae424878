/**
 * Routing between processes: how soon keys are known, what announcing costs, how long lookups take; Kagami's router
 * against kad-dht's own `provide`, key by key.
 *
 * @module
 */
import { REPUBLISH_JITTER, REPUBLISH_MS } from "../../lib/routing/libp2p/publisher.ts";
import { sleep } from "../../lib/sleep.ts";
import { alternate } from "../support/alternate.ts";
import { coreShare, totalCpuSeconds, untilQuiet } from "../support/process_usage.ts";
import { type Figures, say, sayTable } from "../support/report.ts";
import type { RouteNodeKind } from "../support/route_nodes.ts";
import { RouteCluster, type RouteProcess } from "../support/route_process.ts";
import { median, quantile } from "../support/statistics.ts";

/** Keys of one node. */
const KEYS = 5000;

/** Keys of one node where each is announced by itself: enough to tell what one costs. */
const KEYS_ONE_BY_ONE = 100;

/** How often it is asked whether the last key is known, in milliseconds. */
const POLL_MS = 25;

/**
 * How long the cluster is left alone before it is watched, in milliseconds. Young nodes walk every few seconds, to find one another,
 * and then once a minute.
 */
const SETTLE_MS = 20_000;

/** How long the cluster is watched without anything to do, in milliseconds. */
const IDLE_MS = 10_000;

/** Mean time between two announcements of a key, in seconds. */
const REPUBLISH_SECONDS = REPUBLISH_MS * (1 - REPUBLISH_JITTER / 2) / 1000;

interface Round {
  readonly keys: number;
  /** Until all nodes know all keys. */
  readonly advertiseSeconds: number;
  /** Of all nodes together. */
  readonly advertiseCpu: number;
  /** The same for announcing all keys once more. */
  readonly republishCpu: number;
  /** Share of a core of one node that has nothing to do. */
  readonly idleShare: number;
  readonly firstMs: readonly number[];
  readonly missMs: readonly number[];
}

/**
 * Measures.
 *
 * @param nodes Number of nodes.
 * @param rounds Rounds of each kind.
 * @returns Medians.
 */
export async function measureProcesses(nodes: number, rounds: number): Promise<Figures> {
  const measure = (kind: RouteNodeKind, keys: number) => (round: number) => {
    say(`round ${round + 1} of ${rounds}: ${nodes} processes, ${kind}, ${keys} keys`);
    return measureCluster(kind, nodes, keys);
  };
  const results = await alternate(rounds, {
    kagami: measure("kagami", KEYS),
    "kad-dht": measure("kad-dht", KEYS_ONE_BY_ONE),
  });

  const summaries = Object.entries(results).map(([kind, of]) => ({ kind, ...summary(of) }));
  sayTable(
    [
      `${nodes} nodes`,
      "s for 5,000 keys",
      "cluster CPU ms a key",
      "first p50 ms",
      "p99",
      "miss p50 ms",
      "p99",
      "idle share",
    ],
    summaries.map((of) => [
      of.kind,
      of.advertise5000,
      of.cpuMsAKey,
      of.first(0.5),
      of.first(0.99),
      of.miss(0.5),
      of.miss(0.99),
      of.idleShare,
    ]),
  );
  const [own, plain] = summaries;
  if (own === undefined || plain === undefined) throw new Error("nothing was measured");
  return {
    advertise_5000_s: own.advertise5000,
    advertise_cpu_ms_a_key: own.cpuMsAKey,
    plain_advertise_5000_s: plain.advertise5000,
    plain_advertise_cpu_ms_a_key: plain.cpuMsAKey,
    cpu_ratio: own.cpuMsAKey / plain.cpuMsAKey,
    // When all nodes have as many keys, each bears as much of the others' announcements as all others bear of its own.
    steady_core_share: own.republishCpu / REPUBLISH_SECONDS + own.idleShare,
    idle_core_share: own.idleShare,
    first_p50_ms: own.first(0.5),
    first_p99_ms: own.first(0.99),
    miss_p50_ms: own.miss(0.5),
    miss_p99_ms: own.miss(0.99),
    plain_first_p99_ms: plain.first(0.99),
    plain_miss_p99_ms: plain.miss(0.99),
  };
}

function summary(rounds: readonly Round[]) {
  const middle = (value: (round: Round) => number) => median(rounds.map(value));
  return {
    advertise5000: middle(({ advertiseSeconds, keys }) => advertiseSeconds / keys * KEYS),
    cpuMsAKey: middle(({ advertiseCpu, keys }) => advertiseCpu / keys * 1000),
    republishCpu: middle(({ republishCpu, keys }) => republishCpu / keys * KEYS),
    idleShare: middle(({ idleShare }) => idleShare),
    first: (share: number) => middle(({ firstMs }) => quantile(firstMs, share)),
    miss: (share: number) => middle(({ missMs }) => quantile(missMs, share)),
  };
}

async function measureCluster(kind: RouteNodeKind, count: number, keys: number): Promise<Round> {
  await using cluster = await RouteCluster.start(kind, count);
  const [sender, ...others] = cluster.nodes;
  await untilQuiet(cluster.pids);

  const owner = `${kind}-${cluster.port}`;
  const publish = async (until: () => Promise<void>) => {
    const cpuBefore = await totalCpuSeconds(cluster.pids);
    await sender!.advertise(owner, 0, keys);
    await until();
    await untilQuiet(cluster.pids);
    return await totalCpuSeconds(cluster.pids) - cpuBefore;
  };
  const startedAt = performance.now();
  let advertiseSeconds = 0;
  const advertiseCpu = await publish(async () => {
    for (const node of others) await untilKnown(node, owner, keys);
    advertiseSeconds = (performance.now() - startedAt) / 1000;
  });
  const republishCpu = await publish(() => Promise.resolve());

  const firstMs: number[] = [];
  const missMs: number[] = [];
  for (const node of others.slice(0, 3)) {
    firstMs.push(...(await node.lookup(owner, spread(keys, Math.min(keys, 300)))).milliseconds);
    missMs.push(...(await node.lookup("nobody", spread(KEYS, 100))).milliseconds);
  }
  await sleep(SETTLE_MS);
  const idleShare = await coreShare(cluster.pids, IDLE_MS) / count;
  return { keys, advertiseSeconds, advertiseCpu, republishCpu, idleShare, firstMs, missMs };
}

/** So many indexes, spread evenly. */
function spread(length: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => Math.floor(index * length / count));
}

/** Waits until a node finds the last key, which is told last, and then a hundred others, too. */
async function untilKnown(node: RouteProcess, owner: string, keys: number): Promise<void> {
  for (const indexes of [[keys - 1], spread(keys, Math.min(keys, 100))]) {
    while ((await node.lookup(owner, indexes)).found < indexes.length) await sleep(POLL_MS);
  }
}
