/**
 * Random choices that are the same for the same seed.
 *
 * @module
 */

/** A source of random choices (mulberry32). */
export class Random {
  #state: number;

  /**
   * @param parts Whatever tells this source from others.
   */
  constructor(...parts: readonly (string | number)[]) {
    // FNV-1a.
    let hash = 0x811c9dc5;
    for (const char of parts.join("\0")) {
      hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193) >>> 0;
    }
    this.#state = hash;
  }

  /** @returns An integer from 0 to below the limit. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 * limit);
  }

  /** @returns True once in so many times. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  /** @returns One of the items. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}
