/**
 * A small set whose members expire: peers that just failed, digests that just turned out wrong.
 *
 * @module
 */

/** Options of {@linkcode ExpiringSet}. */
export interface ExpiringSetOptions {
  /** How long a member stays, in milliseconds. */
  readonly ttlMs: number;
  /** Most members; the oldest goes first. */
  readonly limit: number;
  /** Current time in milliseconds. Default: the monotonic clock. */
  readonly now?: () => number;
}

/** A bounded set of strings with a time to live. */
export class ExpiringSet {
  readonly #expiry = new Map<string, number>();
  readonly #ttlMs: number;
  readonly #limit: number;
  readonly #now: () => number;

  constructor(options: ExpiringSetOptions) {
    this.#ttlMs = options.ttlMs;
    this.#limit = options.limit;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Adds a member, or starts its time anew. */
  add(member: string): void {
    // Deleting first keeps the map in order of expiry, so that the first entry is the oldest.
    this.#expiry.delete(member);
    this.#expiry.set(member, this.#now() + this.#ttlMs);
    const oldest = this.#expiry.keys().next();
    if (this.#expiry.size > this.#limit && !oldest.done) this.#expiry.delete(oldest.value);
  }

  /** Takes a member out. */
  delete(member: string): void {
    this.#expiry.delete(member);
  }

  /**
   * @param member The text to look for.
   * @returns True if it was added and has not expired.
   */
  has(member: string): boolean {
    const expiry = this.#expiry.get(member);
    if (expiry === undefined) return false;
    if (expiry > this.#now()) return true;
    this.#expiry.delete(member);
    return false;
  }
}
