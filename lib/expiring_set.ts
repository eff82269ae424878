/**
 * A small set whose members expire, and a map: peers that just failed, digests that just turned out wrong.
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

/** A bounded map of strings with a time to live. */
export class ExpiringMap<Value> {
  readonly #entries = new Map<string, { readonly value: Value; readonly until: number }>();
  readonly #ttlMs: number;
  readonly #limit: number;
  readonly #now: () => number;

  constructor(options: ExpiringSetOptions) {
    this.#ttlMs = options.ttlMs;
    this.#limit = options.limit;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Sets the value of a key, whose time starts anew. */
  set(key: string, value: Value): void {
    // Deleting first keeps the map in order of expiry, so that the first entry is the oldest.
    this.#entries.delete(key);
    this.#entries.set(key, { value, until: this.#now() + this.#ttlMs });
    const oldest = this.#entries.keys().next();
    if (this.#entries.size > this.#limit && !oldest.done) this.#entries.delete(oldest.value);
  }

  /** Takes a key out. */
  delete(key: string): void {
    this.#entries.delete(key);
  }

  /**
   * @param key The text to look for.
   * @returns Its value, if it was set and has not expired.
   */
  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.until > this.#now()) return entry.value;
    this.#entries.delete(key);
    return undefined;
  }
}

/** A bounded set of strings with a time to live. */
export class ExpiringSet {
  readonly #members: ExpiringMap<true>;

  constructor(options: ExpiringSetOptions) {
    this.#members = new ExpiringMap(options);
  }

  /** Adds a member, or starts its time anew. */
  add(member: string): void {
    this.#members.set(member, true);
  }

  /** Takes a member out. */
  delete(member: string): void {
    this.#members.delete(member);
  }

  /**
   * @param member The text to look for.
   * @returns True if it was added and has not expired.
   */
  has(member: string): boolean {
    return this.#members.get(member) ?? false;
  }
}
