/**
 * The cluster that a run plays in, with what is needed to put it out of order.
 *
 * @module
 */
import { type ClusterNode, type PushedImage, TestCluster } from "../integration/harness/cluster.ts";
import { MAIN } from "../integration/harness/mirror_process.ts";
import type { NetworkNode } from "../integration/harness/network.ts";
import { SHIPPED_RUN } from "../integration/harness/shipped_runtime.ts";
import { CAN_STEP_CLOCKS, SteppedClock } from "./clock.ts";
import { CAN_FILL_DISKS, SmallDisk } from "./disk.ts";
import { Holdings } from "./holdings.ts";
import { Outages } from "./outages.ts";
import { Pulls } from "./pulls.ts";
import { FAULT_KINDS, type FaultKind } from "./schedule.ts";

const MIRROR = [...SHIPPED_RUN, "-A", "--no-check", MAIN, "registry"];

/** Layers of images, in bytes: below one chunk and above, few and many. */
const IMAGES: readonly (readonly number[])[] = [
  [20_000],
  [300_000, 2_500_000],
  [9_000_000],
  [1_048_000, 1_050_000, 2_100_000],
  [6_000_000, 40_000, 3_000_000],
  [100_000, 100_001, 100_002, 100_003, 100_004],
  [4_000_000, 4_000_001],
  [14_000_000, 500_000],
];

/** Images that all nodes pull at the same time, again and again. */
const ROLLED_OUT: readonly (readonly number[])[] = [
  [8_000_000, 200_000],
  [1_500_000, 1_500_001, 1_500_002],
  [50_000, 5_000_000],
];

/** Lines of a log that are shown. */
const LAST_LINES = 12;

/** Options of {@linkcode World.create}. */
export interface WorldOptions {
  readonly nodes: number;
  /** Further environment of the mirrors. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A cluster, its images, and what happened so far. */
export class World implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  readonly #clocks: readonly SteppedClock[];
  readonly #disks: readonly SmallDisk[];
  readonly #startedAt = performance.now();
  readonly outages = new Outages();
  readonly pulls = new Pulls(this.outages);
  readonly holdings = new Holdings();
  /** What must never be, in words. */
  readonly violations: string[] = [];

  private constructor(
    stack: AsyncDisposableStack,
    readonly cluster: TestCluster,
    clocks: readonly SteppedClock[],
    disks: readonly SmallDisk[],
    /** Images that each node pulls and removes as it likes. */
    readonly images: readonly PushedImage[],
    /** Images that all nodes pull at the same time. */
    readonly rolledOut: readonly PushedImage[],
  ) {
    this.#stack = stack;
    this.#clocks = clocks;
    this.#disks = disks;
  }

  /**
   * Starts a cluster, and pushes images to its upstream.
   *
   * @param options Its size.
   * @returns The world, with nothing pulled yet.
   */
  static async create(options: WorldOptions): Promise<World> {
    await using stack = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir({ prefix: "kagami-chaos-" });
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const numbers = Array.from({ length: options.nodes }, (_, index) => index + 1);
    const clocks = numbers.map((number) => new SteppedClock(`${folder}/clock-${number}`));
    const disks: SmallDisk[] = [];
    const cluster = stack.use(
      await TestCluster.start({
        nodes: options.nodes,
        ...(options.env === undefined ? {} : { env: options.env }),
        program: (number) => clocks[number - 1]!.command(MIRROR),
        prepare: async (own) => {
          if (!CAN_FILL_DISKS) return new AsyncDisposableStack();
          const disk = await SmallDisk.mount(`${own}/disk`, `${own}/root`);
          disks.push(disk);
          return disk;
        },
      }),
    );
    const push = async (all: readonly (readonly number[])[]) => {
      const pushed: PushedImage[] = [];
      for (const layers of all) pushed.push(await cluster.push({ layers }));
      return pushed;
    };
    const images = await push(IMAGES);
    const rolledOut = await push(ROLLED_OUT);
    return new World(stack.move(), cluster, clocks, disks, images, rolledOut);
  }

  /** Milliseconds since it is there. */
  now(): number {
    return performance.now() - this.#startedAt;
  }

  /** Numbers of its nodes. */
  get numbers(): number[] {
    return this.cluster.nodes.map((_, index) => index + 1);
  }

  /** All its images. */
  get allImages(): PushedImage[] {
    return [...this.images, ...this.rolledOut];
  }

  /**
   * Says whose mirror has ended without being told to.
   *
   * @returns In words, with the end of its log. Empty while none is killed on purpose.
   */
  async ended(): Promise<string[]> {
    const ended = this.numbers.filter((number) => !this.node(number).mirror.isRunning);
    return await Promise.all(ended.map(async (number) => {
      const log = await Deno.readTextFile(
        `${this.node(number).containerd.folder}/mirror.log`,
      );
      const last = log.trimEnd().split("\n").slice(-LAST_LINES).join("\n    ");
      return `the mirror of node ${number} has ended by itself; its log ends with\n    ${last}`;
    }));
  }

  /**
   * Copies logs to where they outlive the cluster.
   *
   * @returns The folder.
   */
  async keepLogs(): Promise<string> {
    const folder = await Deno.makeTempDir({ prefix: "kagami-chaos-logs-" });
    for (const number of this.numbers) {
      for (const name of ["mirror", "containerd"]) {
        const from = `${this.node(number).containerd.folder}/${name}.log`;
        await Deno.copyFile(from, `${folder}/node-${number}-${name}.log`);
      }
    }
    return folder;
  }

  /** @returns The node of a number, from 1. */
  node(number: number): ClusterNode {
    return this.cluster.node(number);
  }

  /** @returns The network of a node. */
  network(number: number): NetworkNode {
    return this.node(number).containerd.node;
  }

  /** @returns The clock of a node's mirror. */
  clock(number: number): SteppedClock {
    return this.#clocks[number - 1]!;
  }

  /** @returns The disk of a node's containerd. */
  disk(number: number): SmallDisk {
    const disk = this.#disks[number - 1];
    if (disk === undefined) throw new Error("this machine has no disks to fill");
    return disk;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Digests of all that an image consists of. */
export function blobsOf(image: PushedImage): string[] {
  return [image.digest, image.config, ...image.layers];
}

/** Kinds of faults that this machine allows for. */
export const POSSIBLE_FAULTS: readonly FaultKind[] = FAULT_KINDS.filter((kind) => {
  if (kind === "clock stepped") return CAN_STEP_CLOCKS;
  if (kind === "disk full") return CAN_FILL_DISKS;
  return true;
});
