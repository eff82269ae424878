/**
 * Routing with more nodes than a machine has processes for: what a node more costs, and how long lookups take when not
 * every node has every record any more.
 *
 * Up to twenty nodes share a process. With more of them they would wait for one another: libp2p's peer store locks each
 * peer under a name that all nodes of a process share.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { REPLICATION } from "../../lib/routing/libp2p/dht.ts";
import { sleep } from "../../lib/sleep.ts";
import { freePort } from "../../tests/unit/support/free_port.ts";
import { memoryUsage, totalCpuSeconds, untilQuiet } from "../support/process_usage.ts";
import { type Figures, say, sayTable } from "../support/report.ts";
import { quantile } from "../support/statistics.ts";
import { WorkerProcess } from "../support/worker_process.ts";
import type { ScaleAnswer, ScaleCommand, ScaleOptions } from "./scale_worker.ts";

/** Numbers of nodes that are tried, as far as wanted. */
const SIZES = [10, 20, 50, 100, 200];

/** Most nodes of one process. */
const NODES_A_PROCESS = 20;

/** Keys that each process announces; every so many of them are looked up by each of some processes. */
const KEYS = { count: 200, step: 10 } as const;

/** Processes that look up keys. */
const ASKERS = 5;

/** Keys that nobody has, looked up by each of them. */
const MISSES = 25;

/** Share of a core that a node without anything to do uses at most, other processes of the machine included. */
const SHARE_OF_IDLE_NODE = 0.02;

/** Time for the keys to be announced, in milliseconds; that all are found is measured. */
const ANNOUNCE_MS = 10_000;

/** Longest time for all nodes to know enough others, in milliseconds. */
const JOIN_TIMEOUT_MS = 120_000;

const HEAD = [
  "nodes",
  "joined s",
  "fewest peers",
  "MiB a node",
  "CPU ms a node",
  "first p50 ms",
  "p99",
  "miss p50 ms",
  "p99",
  "found",
];

interface Scale {
  /** Until the node that knows fewest knew as many as hold a record. */
  readonly joinSeconds: number;
  /** Peers that the node that knows fewest knows in the end. */
  readonly fewestPeers: number;
  readonly mibANode: number;
  /** CPU of one node from its start until the cluster has come to rest, in milliseconds. */
  readonly cpuMsANode: number;
  readonly firstMs: readonly number[];
  readonly missMs: readonly number[];
  /** Share of lookups that found a provider. */
  readonly foundShare: number;
}

/** Processes with some nodes each. */
class ScaleCluster implements AsyncDisposable {
  readonly #workers: readonly WorkerProcess[];
  readonly #emptyMib: number;

  private constructor(workers: readonly WorkerProcess[], emptyMib: number) {
    this.#workers = workers;
    this.#emptyMib = emptyMib;
  }

  static async create(nodes: number): Promise<ScaleCluster> {
    const program = fileURLToPath(new URL("./scale_worker.ts", import.meta.url));
    const bootstrapPort = freePort();
    const workers: WorkerProcess[] = [];
    let emptyMib = 0;
    for (let left = nodes; left > 0; left -= NODES_A_PROCESS) {
      const options: ScaleOptions = {
        nodes: Math.min(left, NODES_A_PROCESS),
        bootstrapPort,
        isFirst: workers.length === 0,
      };
      const worker = new WorkerProcess(program, options);
      workers.push(worker);
      emptyMib += (await worker.answer() as ScaleAnswer).value;
    }
    return new ScaleCluster(workers, emptyMib);
  }

  get pids(): number[] {
    return this.#workers.map(({ pid }) => pid);
  }

  /** Number of processes. */
  get size(): number {
    return this.#workers.length;
  }

  /** Starts all nodes, those of the first process first. */
  async start(): Promise<void> {
    const [first, ...others] = this.#workers.keys();
    await this.ask(first!, { name: "start" });
    await Promise.all(others.map((worker) => this.ask(worker, { name: "start" })));
  }

  async ask(worker: number, command: ScaleCommand): Promise<ScaleAnswer> {
    return await this.#workers[worker]!.ask(command) as ScaleAnswer;
  }

  async fewestPeers(): Promise<number> {
    const answers = await Promise.all(
      this.#workers.keys().map((worker) => this.ask(worker, { name: "peers" })),
    );
    return Math.min(...answers.map(({ value }) => value));
  }

  /** Memory of all nodes, in MiB. */
  async nodesMib(): Promise<number> {
    const used = await Promise.all(this.pids.map(memoryUsage));
    return used.reduce((sum, { rssMib }) => sum + rssMib, 0) - this.#emptyMib;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker[Symbol.asyncDispose]()));
  }
}

/**
 * Measures.
 *
 * @param most Largest number of nodes.
 * @returns Latencies and cost by number of nodes.
 */
export async function measureScale(most: number): Promise<Figures> {
  const figures: Record<string, number> = {};
  const rows: (string | number)[][] = [];
  for (const nodes of SIZES.filter((size) => size <= most)) {
    say(`${nodes} nodes, up to ${NODES_A_PROCESS} in a process`);
    const scale = await measureNodes(nodes);
    const { firstMs, missMs } = scale;
    rows.push([
      String(nodes),
      scale.joinSeconds,
      scale.fewestPeers,
      scale.mibANode,
      scale.cpuMsANode,
      quantile(firstMs, 0.5),
      quantile(firstMs, 0.99),
      quantile(missMs, 0.5),
      quantile(missMs, 0.99),
      scale.foundShare,
    ]);
    figures[`first_p99_ms_${nodes}`] = quantile(firstMs, 0.99);
    figures[`miss_p99_ms_${nodes}`] = quantile(missMs, 0.99);
    figures[`mib_a_node_${nodes}`] = scale.mibANode;
    figures[`cpu_ms_a_node_${nodes}`] = scale.cpuMsANode;
    figures[`found_share_${nodes}`] = scale.foundShare;
    // So far, for the next size takes longer.
    sayTable(HEAD, rows);
  }
  return figures;
}

async function measureNodes(nodes: number): Promise<Scale> {
  await using cluster = await ScaleCluster.create(nodes);
  const cpuBefore = await totalCpuSeconds(cluster.pids);
  const startedAt = performance.now();
  await cluster.start();
  // Each has to know as many as hold a record; to know everybody takes longer, and is not needed.
  const enough = Math.min(nodes - 1, REPLICATION);
  while (await cluster.fewestPeers() < enough) {
    if (performance.now() - startedAt > JOIN_TIMEOUT_MS) break;
    await sleep(500);
  }
  const joinSeconds = (performance.now() - startedAt) / 1000;
  await untilQuiet(cluster.pids, SHARE_OF_IDLE_NODE * nodes);
  const cpuSeconds = await totalCpuSeconds(cluster.pids) - cpuBefore;
  const mib = await cluster.nodesMib();

  const owners = Array.from({ length: cluster.size }, (_, worker) => `scale-${worker}`);
  for (const [worker, owner] of owners.entries()) {
    await cluster.ask(worker, { name: "advertise", owner, count: KEYS.count });
  }
  await sleep(ANNOUNCE_MS);

  const firstMs: number[] = [];
  const missMs: number[] = [];
  let found = 0;
  for (let asker = Math.max(0, cluster.size - ASKERS); asker < cluster.size; asker++) {
    for (const owner of owners) {
      const answer = await cluster.ask(asker, { name: "lookup", owner, ...KEYS });
      found += answer.value;
      firstMs.push(...answer.milliseconds ?? []);
    }
    const owner = `nobody-${asker}`;
    const answer = await cluster.ask(asker, { name: "lookup", owner, count: MISSES, step: 1 });
    missMs.push(...answer.milliseconds ?? []);
  }
  return {
    joinSeconds,
    fewestPeers: await cluster.fewestPeers(),
    mibANode: mib / nodes,
    cpuMsANode: cpuSeconds / nodes * 1000,
    firstMs,
    missMs,
    foundShare: found / firstMs.length,
  };
}
