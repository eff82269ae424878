/**
 * How long the reader of a download has waited, and how long it is to wait.
 *
 * @module
 */
import { CHUNK_SIZE } from "../oci/chunk_list.ts";

/**
 * How long the reader may wait for a peer's next chunk before the peer counts as too slow and another one goes on, in
 * milliseconds: a multiple of what a chunk has taken so far, within bounds.
 */
export const PATIENCE = { factor: 8, leastMs: 500, mostMs: 3000, initialMs: 1000 } as const;

/** The same when there is no other peer: less than a chunk in this time is no use to anybody. */
export const LAST_PATIENCE_MS = 8000;

/**
 * Once the reader has waited for so long for one chunk, whoever brought it, a peer that fails is not tried again, in
 * milliseconds. Else one that brings a few bytes each time would be, without end.
 */
export const MAX_CHUNK_WAIT_MS = 30_000;

/**
 * A peer that was silent for so long before it failed is not tried again, in milliseconds, whatever it brought before:
 * it costs the reader a time limit each time. One whose connection breaks may be.
 */
export const MAX_SILENCE_MS = 1000;

/** The waits of one reader. */
export class ReaderWait {
  readonly #now: () => number;
  #waitedMs = 0;
  #since: number | undefined;
  #chunkMs: number | undefined;

  /**
   * @param now Monotonic clock in milliseconds.
   */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** All its waits together, in milliseconds; the one that goes on is left out. */
  get totalMs(): number {
    return this.#waitedMs;
  }

  /**
   * Waits for something to change; the wait for one chunk is interrupted by changes that concern others.
   *
   * @param change Settles when something has changed.
   * @param isOver Whether the chunk is there now.
   */
  async during(change: Promise<void>, isOver: () => boolean): Promise<void> {
    const startedAt = this.#now();
    this.#since ??= startedAt;
    await change;
    this.#waitedMs += this.#now() - startedAt;
    if (isOver()) this.#since = undefined;
  }

  /**
   * How long the reader has waited for its next chunk.
   *
   * @param since Begin of what counts, by the clock.
   * @returns Milliseconds.
   */
  forMs(since: number): number {
    return this.#since === undefined ? 0 : this.#now() - Math.max(this.#since, since);
  }

  /**
   * Learns how long a chunk takes; what a peer brought of one tells, if it is not too little.
   *
   * @param tookMs Time that it took.
   * @param bytes What was brought.
   */
  learn(tookMs: number, bytes: number): void {
    if (bytes * 4 < CHUNK_SIZE) return;
    const chunkMs = tookMs * CHUNK_SIZE / bytes;
    this.#chunkMs = this.#chunkMs === undefined ? chunkMs : this.#chunkMs * 0.8 + chunkMs * 0.2;
  }

  /**
   * How long it is to wait for a peer.
   *
   * @param isLast Whether nobody else could take over.
   * @returns Milliseconds.
   */
  patienceMs(isLast: boolean): number {
    if (isLast) return LAST_PATIENCE_MS;
    const { factor, leastMs, mostMs, initialMs } = PATIENCE;
    const expectedMs = this.#chunkMs === undefined ? initialMs : this.#chunkMs * factor;
    return Math.min(mostMs, Math.max(leastMs, expectedMs));
  }
}
