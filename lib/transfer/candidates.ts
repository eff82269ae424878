/**
 * The peers a router finds, queued as they come, with a bounded wait for the next one.
 *
 * @module
 */
import { setImmediate } from "node:timers/promises";
import type { Peer } from "../routing/router.ts";

/** Options of {@linkcode Candidates}. */
export interface CandidatesOptions {
  /** Starts the lookup; its signal is aborted by {@linkcode Candidates.close}. */
  readonly lookup: (signal: AbortSignal) => AsyncIterable<Peer>;
  /** True for a peer that failed or was busy a short while ago: it is offered only when nobody else is left. */
  readonly isLastResort?: (peer: Peer) => boolean;
  /** Called when the first peer is found, or when the lookup ends without one. */
  readonly onFirst?: (found: boolean) => void;
  /** Chooses among the peers that are known: the index of one. Default: the first. */
  readonly choose?: (peers: readonly Peer[]) => number;
}

/** Pulls peers out of a lookup in the background. */
export class Candidates {
  readonly #queue: Peer[] = [];
  readonly #lastResorts: Peer[] = [];
  readonly #excluded = new Set<string>();
  readonly #abort = new AbortController();
  readonly #options: CandidatesOptions;
  #wake: (() => void) | undefined;
  #ended = false;
  #found = 0;
  #failure: unknown;

  constructor(options: CandidatesOptions) {
    this.#options = options;
    this.#collect();
  }

  /** Number of peers that the lookup has found so far. */
  get found(): number {
    return this.#found;
  }

  /** Number of peers that can be taken at once, those of the last resort left out. */
  get available(): number {
    return this.#queue.length;
  }

  /**
   * @param count Number of peers.
   * @returns Up to so many of the peers that can be taken; they stay where they are.
   */
  known(count: number): readonly Peer[] {
    return this.#queue.slice(0, count);
  }

  /** What ended the lookup, if it was an error. */
  get failure(): unknown {
    return this.#failure;
  }

  async #collect(): Promise<void> {
    try {
      for await (const peer of this.#options.lookup(this.#abort.signal)) {
        this.#found += 1;
        if (this.#found === 1) this.#options.onFirst?.(true);
        this.offer(peer);
      }
    } catch (error) {
      this.#failure = error;
    } finally {
      if (this.#found === 0) this.#options.onFirst?.(false);
      this.#ended = true;
      this.#wake?.();
    }
  }

  /** Adds a peer, e.g. one that broke off after it had brought progress and may do so again. */
  offer(peer: Peer): void {
    if (this.#excluded.has(peer.id)) return;
    (this.#options.isLastResort?.(peer) ? this.#lastResorts : this.#queue).push(peer);
    this.#wake?.();
  }

  /** Hands a peer out no more, e.g. one that delivered something wrong. */
  exclude(peer: Peer): void {
    this.#excluded.add(peer.id);
    for (const peers of [this.#queue, this.#lastResorts]) {
      const index = peers.findIndex(({ id }) => id === peer.id);
      if (index >= 0) peers.splice(index, 1);
    }
  }

  /**
   * Takes a peer that is already known, without waiting.
   *
   * @returns The peer, or undefined if there is none at the moment.
   */
  take(): Peer | undefined {
    if (this.#queue.length === 0) return this.#ended ? this.#lastResorts.shift() : undefined;
    return this.#queue.splice(this.#options.choose?.(this.#queue) ?? 0, 1)[0];
  }

  /**
   * Takes the next peer.
   *
   * @param waitMs Longest wait in milliseconds.
   * @param signal Ends the wait.
   * @returns The peer, or undefined if none came in time or none will come.
   */
  async next(waitMs: number, signal?: AbortSignal): Promise<Peer | undefined> {
    const deadline = performance.now() + waitMs;
    while (!signal?.aborted) {
      // Peers that are known to the node itself come all at once; a choice among them is worth a turn of the loop.
      if (this.#queue.length === 1 && !this.#ended) await setImmediate();
      const peer = this.take();
      const leftMs = deadline - performance.now();
      if (peer !== undefined || this.#ended) return peer;
      if (leftMs <= 0) return this.#lastResorts.shift();
      await this.#arrival(leftMs, signal);
    }
    return undefined;
  }

  async #arrival(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    // Before the timer: the first setTimeout() under `deno test` runs microtasks, and a peer may come in them.
    this.#wake = wake;
    const timer = setTimeout(wake, waitMs);
    signal?.addEventListener("abort", wake, { once: true });
    await promise;
    this.#wake = undefined;
    clearTimeout(timer);
    signal?.removeEventListener("abort", wake);
  }

  /** Ends the lookup. */
  close(): void {
    this.#abort.abort();
  }
}
