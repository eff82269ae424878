/**
 * The peers a router finds, queued as they come, with a bounded wait for the next one.
 *
 * @module
 */
import type { Peer } from "../routing/router.ts";

/** Options of {@linkcode Candidates}. */
export interface CandidatesOptions {
  /** Starts the lookup; its signal is aborted by {@linkcode Candidates.close}. */
  readonly lookup: (signal: AbortSignal) => AsyncIterable<Peer>;
  /** True for a peer that failed a short while ago: it is offered only when nobody else is left. */
  readonly isSuspect?: (peer: Peer) => boolean;
  /** Called when the first peer is found, or when the lookup ends without one. */
  readonly onFirst?: (found: boolean) => void;
  /** Random number in [0, 1), to spread load over the peers that are known. */
  readonly random?: () => number;
}

/** Pulls peers out of a lookup in the background. */
export class Candidates {
  readonly #queue: Peer[] = [];
  readonly #suspects: Peer[] = [];
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
    (this.#options.isSuspect?.(peer) ? this.#suspects : this.#queue).push(peer);
    this.#wake?.();
  }

  /**
   * Takes a peer that is already known, without waiting.
   *
   * @returns The peer, or undefined if there is none at the moment.
   */
  take(): Peer | undefined {
    if (this.#queue.length === 0) return this.#ended ? this.#suspects.shift() : undefined;
    const index = Math.floor((this.#options.random ?? Math.random)() * this.#queue.length);
    return this.#queue.splice(index, 1)[0];
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
      const peer = this.take();
      const leftMs = deadline - performance.now();
      if (peer !== undefined || this.#ended) return peer;
      if (leftMs <= 0) return this.#suspects.shift();
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
