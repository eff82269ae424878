/**
 * Requests of clients other than containerd: tags, manifests, parts of layers, lists, and what nobody has.
 *
 * @module
 */
import { sleep } from "../../lib/sleep.ts";
import type { World } from "../chaos/world.ts";
import { Random } from "../fuzz/support/random.ts";
import { runInside } from "../integration/harness/network.ts";

/** Requests that a node sends one after the other before it pauses. */
const IN_A_ROW = 12;

/** Longest pause, in milliseconds. */
const PAUSE_MS = 1500;

/** Sends requests to each mirror, from its own node. */
export class Requests {
  readonly #world: World;
  readonly #abort = new AbortController();
  readonly #running: Promise<unknown>;
  /** Durations since they were last taken, in milliseconds. */
  #milliseconds: number[] = [];
  #count = 0;

  /**
   * Begins.
   *
   * @param world Where.
   * @param seed Tells the choices.
   */
  constructor(world: World, seed: number) {
    this.#world = world;
    this.#running = Promise.all(
      world.numbers.map((node) => this.#onNode(node, new Random("requests", seed, node))),
    );
  }

  /** Number of requests so far. */
  get count(): number {
    return this.#count;
  }

  /** @returns How long requests took since this was called last, in milliseconds. */
  take(): number[] {
    const taken = this.#milliseconds;
    this.#milliseconds = [];
    return taken;
  }

  /** Ends. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #onNode(node: number, random: Random): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      const args = Array.from({ length: IN_A_ROW }, () => this.#request(node, random))
        .flatMap((request, index) => [...index > 0 ? ["--next"] : [], ...request]);
      const { stdout } = await runInside(this.#world.network(node), "curl", ...args);
      const seconds = stdout.split("\n").filter((line) => line !== "").map(Number);
      this.#milliseconds.push(...seconds.map((value) => value * 1000));
      this.#count += seconds.length;
      await sleep(random.below(PAUSE_MS), signal);
    }
  }

  #request(node: number, random: Random): string[] {
    const { mirror } = this.#world.node(node);
    const image = random.pick(this.#world.images);
    const common = ["-s", "--max-time", "60", "-o", "/dev/null", "-w", "%{time_total}\n"];
    const url = (path: string) =>
      `${mirror.url}/v2/${image.repository}/${path}?ns=${this.#world.cluster.upstream.host}`;
    const nothing = `sha256:${random.below(2 ** 32).toString(16).padStart(64, "0")}`;
    const layer = random.pick(image.layers);
    return [
      ...common,
      ...random.pick([
        ["-I", url("manifests/v1")],
        [url(`manifests/${image.digest}`)],
        ["-r", "1000-66535", url(`blobs/${layer}`)],
        [url(`blobs/${layer}`)],
        [url(`blobs/${nothing}`)],
        [url("tags/list")],
      ]),
    ];
  }
}
