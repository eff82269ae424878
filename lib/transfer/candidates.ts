/**
 * The peers a router finds, queued as they come, with a bounded wait for the next one.
 *
 * @module
 */
import type { Peer } from "../routing/router.ts";

/** Pulls peers out of a lookup in the background. */
export class Candidates {
  readonly #queue: Peer[] = [];
  readonly #abort = new AbortController();
  #wake: (() => void) | undefined;
  #exhausted = false;
  #found = 0;

  /**
   * @param lookup Starts the lookup; its signal is aborted by {@linkcode close}.
   */
  constructor(lookup: (signal: AbortSignal) => AsyncIterable<Peer>) {
    this.#collect(lookup).catch(() => {});
  }

  /** Number of peers that the lookup has found so far. */
  get found(): number {
    return this.#found;
  }

  /** True if no further peer will come. */
  get exhausted(): boolean {
    return this.#exhausted && this.#queue.length === 0;
  }

  async #collect(lookup: (signal: AbortSignal) => AsyncIterable<Peer>): Promise<void> {
    try {
      for await (const peer of lookup(this.#abort.signal)) {
        this.#found += 1;
        this.#queue.push(peer);
        this.#wake?.();
      }
    } finally {
      this.#exhausted = true;
      this.#wake?.();
    }
  }

  /**
   * Takes the next peer.
   *
   * @param waitMs Longest wait in milliseconds.
   * @param signal Ends the wait.
   * @returns The peer, or undefined if none came in time or none will come.
   */
  async next(waitMs: number, signal?: AbortSignal): Promise<Peer | undefined> {
    if (this.#queue.length === 0 && !this.#exhausted && !signal?.aborted) {
      await this.#arrival(waitMs, signal);
    }
    return signal?.aborted ? undefined : this.#queue.shift();
  }

  async #arrival(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    const timer = setTimeout(wake, waitMs);
    signal?.addEventListener("abort", wake, { once: true });
    this.#wake = wake;
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
