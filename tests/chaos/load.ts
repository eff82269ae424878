/**
 * Pulls that go on meanwhile: each node pulls and removes images as it likes, and now and then all nodes pull the same
 * one at the same time.
 *
 * @module
 */
import { sleep } from "../../lib/sleep.ts";
import type { PushedImage } from "../integration/harness/cluster.ts";
import { Random } from "../fuzz/support/random.ts";
import { damagedBlobs } from "./invariants/content.ts";
import type { World } from "./world.ts";

/** Longest pause of a node between two pulls, in milliseconds. */
const PAUSE_MS = 1200;

/** Pause between two images that are rolled out, in milliseconds. */
const ROLLOUT_PAUSE_MS = 6000;

/** Nodes begin to pull what is rolled out within this time, in milliseconds. */
const SPREAD_MS = 100;

/** Load on a cluster. */
export class Load {
  readonly #world: World;
  readonly #seed: number;
  readonly #abort = new AbortController();
  readonly #running: Promise<unknown>;
  /** Pulls that failed for a good reason: they must succeed as soon as they can. */
  readonly #owed = new Set<string>();
  #rollouts = 0;

  /**
   * Begins.
   *
   * @param world Where.
   * @param seed Tells the choices.
   */
  constructor(world: World, seed: number) {
    this.#world = world;
    this.#seed = seed;
    this.#running = Promise.all([
      ...world.numbers.map((node) => this.#onNode(node)),
      this.#rollOut(),
    ]);
  }

  /** Images that were pulled by all nodes at once. */
  get rollouts(): number {
    return this.#rollouts;
  }

  /** Ends, and makes good for what is still owed: all faults must have been healed. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
    for (const node of this.#world.numbers) {
      for (const image of this.#world.allImages) {
        if (this.#owed.has(`${node} ${image.reference}`)) await this.#pull(node, image);
      }
    }
  }

  async #onNode(node: number): Promise<void> {
    const { signal } = this.#abort;
    const random = new Random("load", this.#seed, node);
    while (!signal.aborted) {
      await this.#step(node, random.pick(this.#world.images), random.oneIn(2));
      await sleep(random.below(PAUSE_MS), signal);
    }
  }

  /** What is not there is pulled; what is there is removed, and pulled anew at once or another time. */
  async #step(node: number, image: PushedImage, isPulledAnew: boolean): Promise<void> {
    const { holdings } = this.#world;
    const state = holdings.take(node, image);
    if (state === undefined) return;
    if (state === "held") {
      const isRemoved = await this.#remove(node, image);
      holdings.set(node, image, "absent");
      if (!isRemoved || !isPulledAnew || holdings.take(node, image) === undefined) return;
    }
    await this.#pullTaken(node, image);
  }

  async #rollOut(): Promise<void> {
    const { signal } = this.#abort;
    const random = new Random("rollout", this.#seed);
    while (!signal.aborted) {
      await sleep(ROLLOUT_PAUSE_MS, signal);
      if (signal.aborted) return;
      const image = random.pick(this.#world.rolledOut);
      const nodes = this.#world.numbers.map((node) => ({ node, pause: random.below(SPREAD_MS) }));
      const taken = nodes.filter(({ node }) =>
        this.#world.holdings.take(node, image) !== undefined
      );
      await Promise.all(taken.map(({ node }) => this.#remove(node, image)));
      this.#rollouts += 1;
      await Promise.all(taken.map(async ({ node, pause }) => {
        await sleep(pause);
        await this.#pullTaken(node, image);
      }));
    }
  }

  /** A node that is in trouble may not be able to. */
  async #remove(node: number, image: PushedImage): Promise<boolean> {
    try {
      await this.#world.node(node).cri.removeImage(image.reference);
      return true;
    } catch {
      return false;
    }
  }

  async #pull(node: number, image: PushedImage): Promise<void> {
    if (this.#world.holdings.take(node, image) === undefined) return;
    await this.#pullTaken(node, image);
  }

  async #pullTaken(node: number, image: PushedImage): Promise<void> {
    const { holdings, pulls } = this.#world;
    const key = `${node} ${image.reference}`;
    const from = this.#world.now();
    const failure = await this.#tryToPull(node, image);
    const to = this.#world.now();
    const { reference } = image;
    const pull = { node, reference, from, to, ...(failure === undefined ? {} : { failure }) };
    const verdict = pulls.add(pull);
    if (verdict === "succeeded") this.#owed.delete(key);
    if (verdict === "excused") this.#owed.add(key);
    if (verdict === "succeeded") await this.#check(node, image);
    holdings.set(node, image, verdict === "succeeded" ? "held" : "absent");
  }

  async #tryToPull(node: number, image: PushedImage): Promise<string | undefined> {
    try {
      const config = await this.#world.node(node).cri.pullImage(image.reference);
      return config === image.config ? undefined : `got ${config} instead of ${image.config}`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  async #check(node: number, image: PushedImage): Promise<void> {
    for (const blob of await damagedBlobs(this.#world, node, image)) {
      const at = Math.round(this.#world.now() / 1000);
      this.#world.violations.push(`${at} s: node ${node} pulled ${image.reference} with a ${blob}`);
    }
  }
}
