/**
 * Time and chance of a simulation.
 *
 * @module
 */
import type { Sleep } from "../../../lib/sleep.ts";

/** Turns of the microtask queue in which everything goes on that waits for no time. */
const TURNS = 40;

/** A generator of random numbers in [0, 1) that follows from a seed. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Time that passes only when nothing is left to do. */
export class SimulatedTime {
  #now = 0;
  #waiting: { at: number; order: number; run: () => void }[] = [];
  #order = 0;

  readonly now = (): number => this.#now;

  readonly sleep: Sleep = (ms, signal) => {
    if (signal?.aborted) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const entry = { at: this.#now + ms, order: this.#order++, run: resolve };
    this.#insert(entry);
    signal?.addEventListener("abort", () => {
      const index = this.#waiting.indexOf(entry);
      if (index >= 0) this.#waiting.splice(index, 1);
      resolve();
    }, { once: true });
    return promise;
  };

  #insert(entry: { at: number; order: number; run: () => void }): void {
    let low = 0;
    let high = this.#waiting.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#waiting[middle]!.at <= entry.at) low = middle + 1;
      else high = middle;
    }
    this.#waiting.splice(low, 0, entry);
  }

  /** Runs until something is true, or nothing is left to wait for, or time is up. */
  async run(isOver: () => boolean, untilMs: number): Promise<void> {
    while (true) {
      for (let turn = 0; turn < TURNS; turn++) await undefined;
      const next = this.#waiting[0];
      if (isOver() || next === undefined || next.at > untilMs) return;
      this.#waiting.shift();
      this.#now = next.at;
      next.run();
    }
  }
}

/** Lets so many go on at the same time, in the order in which they came. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Waits for a slot. */
  async take(): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    await promise;
  }

  /** Gives a slot back. */
  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}
