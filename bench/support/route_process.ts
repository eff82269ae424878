/**
 * Nodes of the routing benchmark in processes of their own, as the benchmark sees them.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { eventually } from "../../tests/integration/harness/process.ts";
import { freePort } from "../../tests/unit/support/free_port.ts";
import type { RouteNodeKind, RouteNodeOptions } from "./route_nodes.ts";
import type { Lookups, RouteAnswer, RouteCommand } from "./route_worker.ts";
import { WorkerProcess } from "./worker_process.ts";

const WORKER = fileURLToPath(new URL("./route_worker.ts", import.meta.url));

/** Longest time for nodes to find one another, in milliseconds. */
const JOIN_TIMEOUT_MS = 120_000;

/** A node as a process. */
export class RouteProcess implements AsyncDisposable {
  readonly #worker: WorkerProcess;

  private constructor(worker: WorkerProcess) {
    this.#worker = worker;
  }

  /**
   * Starts a node, and waits until it listens.
   *
   * @param options Kind and ports.
   * @returns The node.
   */
  static async start(options: RouteNodeOptions): Promise<RouteProcess> {
    const worker = new WorkerProcess(WORKER, options);
    await worker.answer();
    return new RouteProcess(worker);
  }

  /** ID of the process. */
  get pid(): number {
    return this.#worker.pid;
  }

  /** Number of peers that it knows. */
  async peers(): Promise<number> {
    return numberOf(await this.#ask({ name: "peers" }));
  }

  /**
   * Lets it announce keys.
   *
   * @param owner Whose keys, as in `keysOf`.
   * @param from Index of the first one.
   * @param to Index behind the last one.
   */
  async advertise(owner: string, from: number, to: number): Promise<void> {
    numberOf(await this.#ask({ name: "advertise", owner, from, to }));
  }

  /**
   * Lets it look up keys, one after the other.
   *
   * @param owner Whose keys, as in `keysOf`.
   * @param indexes Which of them.
   * @returns How many were found, and how long each took.
   */
  async lookup(owner: string, indexes: readonly number[]): Promise<Lookups> {
    const answer = await this.#ask({ name: "lookup", owner, indexes });
    if ("milliseconds" in answer) return answer;
    throw new Error(JSON.stringify(answer));
  }

  async #ask(command: RouteCommand): Promise<RouteAnswer> {
    return await this.#worker.ask(command) as RouteAnswer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker[Symbol.asyncDispose]();
  }
}

function numberOf(answer: RouteAnswer): number {
  if ("value" in answer) return answer.value;
  throw new Error(JSON.stringify(answer));
}

/** Nodes that know one another. */
export class RouteCluster implements AsyncDisposable {
  readonly nodes: readonly RouteProcess[];
  /** Port of the first node, to start from. */
  readonly port: number;

  private constructor(nodes: readonly RouteProcess[], port: number) {
    this.nodes = nodes;
    this.port = port;
  }

  /**
   * Starts nodes, and waits until each knows all others.
   *
   * @param kind What they run.
   * @param count How many.
   * @returns The cluster.
   */
  static async start(kind: RouteNodeKind, count: number): Promise<RouteCluster> {
    const bootstrapPort = freePort();
    const nodes: RouteProcess[] = [];
    const cluster = new RouteCluster(nodes, bootstrapPort);
    try {
      for (let number = 0; number < count; number++) {
        const port = number === 0 ? bootstrapPort : freePort();
        nodes.push(await RouteProcess.start({ kind, port, bootstrapPort }));
      }
      for (const node of nodes) {
        await eventually(
          `${count - 1} peers are known`,
          async () => await node.peers() >= count - 1,
          JOIN_TIMEOUT_MS,
        );
      }
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** IDs of the processes. */
  get pids(): number[] {
    return this.nodes.map(({ pid }) => pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()));
  }
}
