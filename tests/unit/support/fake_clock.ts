/**
 * Time that a test moves.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import type { Sleep } from "../../../lib/sleep.ts";

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

/** Lets everything go on that waits for neither time nor the world outside: one turn of the event loop. */
export async function settle(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}

/** A clock that stands still until it is moved. */
export class FakeClock {
  #time = 0;
  readonly #sleepers = new Set<Sleeper>();

  /** Milliseconds since the start. */
  readonly now = (): number => this.#time;

  /** Number of waits under way. */
  get sleepers(): number {
    return this.#sleepers.size;
  }

  /** Waits by this clock, as {@linkcode Sleep} says. */
  readonly sleep: Sleep = async (ms, signal) => {
    if (signal?.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    const sleeper = { at: this.#time + ms, wake };
    this.#sleepers.add(sleeper);
    signal?.addEventListener("abort", wake, { once: true });
    await promise;
    this.#sleepers.delete(sleeper);
    signal?.removeEventListener("abort", wake);
  };

  /**
   * Moves on, waking who waits one after the other at the right time.
   *
   * @param ms How far.
   */
  async advance(ms: number): Promise<void> {
    const end = this.#time + ms;
    await settle();
    while (true) {
      const [next] = [...this.#sleepers].sort((a, b) => a.at - b.at);
      if (next === undefined || next.at > end) break;
      this.#time = Math.max(this.#time, next.at);
      this.#sleepers.delete(next);
      next.wake();
      await settle();
    }
    this.#time = end;
  }
}
