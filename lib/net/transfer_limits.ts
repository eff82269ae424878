/**
 * Bounds on what a node gives to its peers, or takes from them: bodies at the same time, and bytes a second, shared
 * fairly among those who want them.
 *
 * @module
 */

/** Bytes that may go out at once after a pause, as a time at the full rate, in milliseconds. */
export const BURST_MS = 100;

/**
 * Share of the rate below which nobody new is let in, in bytes per second: whoever would get less is better off
 * elsewhere.
 */
export const MIN_SHARE = 4_000_000;

/** Options of {@linkcode TransferLimits}. */
export interface TransferLimitsOptions {
  /** Most bodies at the same time; 0 for no limit. */
  readonly maxStreams: number;
  /** Bytes per second of all bodies together; 0 for no limit. */
  readonly bytesPerSecond: number;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** A body that was let in. */
export interface TransferSlot {
  /**
   * Waits until bytes may go. May be called again while it waits: a body can come from several peers.
   *
   * @param bytes Their number.
   */
  pace(bytes: number): Promise<void>;
  /** Ends the body; all waits that are under way end, too. Safe to call twice. */
  release(): void;
}

interface Waiting {
  readonly bytes: number;
  readonly go: () => void;
}

/** Lets bodies in, and paces them. */
export class TransferLimits {
  readonly #maxStreams: number;
  readonly #bytesPerSecond: number;
  readonly #now: () => number;
  /** Who waits, in the order of their turns. */
  readonly #waiting = new Map<string, Waiting[]>();
  #active = 0;
  #tokens: number;
  #refilledAt: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param options Limits.
   */
  constructor(options: TransferLimitsOptions) {
    this.#maxStreams = options.maxStreams;
    this.#bytesPerSecond = options.bytesPerSecond;
    this.#now = options.now ?? (() => performance.now());
    this.#tokens = this.#burst;
    this.#refilledAt = this.#now();
  }

  /** How much of what is allowed is in use, 0 to 1. */
  get load(): number {
    return this.#mostStreams === Infinity ? 0 : Math.min(1, this.#active / this.#mostStreams);
  }

  /** Bodies that run now. */
  get active(): number {
    return this.#active;
  }

  get #mostStreams(): number {
    const byNumber = this.#maxStreams === 0 ? Infinity : this.#maxStreams;
    const byRate = this.#bytesPerSecond === 0
      ? Infinity
      : Math.max(1, Math.floor(this.#bytesPerSecond / MIN_SHARE));
    return Math.min(byNumber, byRate);
  }

  get #burst(): number {
    return this.#bytesPerSecond * BURST_MS / 1000;
  }

  /**
   * Lets a body in.
   *
   * @param who Whom it is for; all bodies of one share one turn.
   * @returns The body's place; undefined if there is none now.
   */
  admit(who: string): TransferSlot | undefined {
    if (this.#active >= this.#mostStreams) return undefined;
    this.#active += 1;
    const waits = new Set<Waiting>();
    let isReleased = false;
    return {
      pace: async (bytes) => {
        if (this.#bytesPerSecond === 0 || isReleased) return;
        const { promise, resolve } = Promise.withResolvers<void>();
        const waiting = { bytes, go: resolve };
        waits.add(waiting);
        this.#enqueue(who, waiting);
        await promise;
        waits.delete(waiting);
      },
      release: () => {
        if (isReleased) return;
        isReleased = true;
        this.#active -= 1;
        for (const waiting of waits) this.#dequeue(who, waiting);
      },
    };
  }

  #enqueue(who: string, waiting: Waiting): void {
    const queue = this.#waiting.get(who);
    if (queue === undefined) this.#waiting.set(who, [waiting]);
    else queue.push(waiting);
    this.#serve();
  }

  #dequeue(who: string, waiting: Waiting): void {
    const queue = this.#waiting.get(who) ?? [];
    const index = queue.indexOf(waiting);
    if (index < 0) return;
    queue.splice(index, 1);
    if (queue.length === 0) this.#waiting.delete(who);
    waiting.go();
    if (this.#waiting.size === 0) clearTimeout(this.#timer);
  }

  /** Lets go who is next, as long as there is something left. */
  #serve(): void {
    clearTimeout(this.#timer);
    const now = this.#now();
    const gained = (now - this.#refilledAt) * this.#bytesPerSecond / 1000;
    this.#tokens = Math.min(this.#burst, this.#tokens + gained);
    this.#refilledAt = now;
    while (this.#tokens > 0) {
      const next = this.#waiting.entries().next().value;
      if (next === undefined) return;
      const [who, queue] = next;
      const { bytes, go } = queue.shift()!;
      // To the end of the line.
      this.#waiting.delete(who);
      if (queue.length > 0) this.#waiting.set(who, queue);
      this.#tokens -= bytes;
      go();
    }
    if (this.#waiting.size === 0) return;
    const missingMs = -this.#tokens / this.#bytesPerSecond * 1000;
    this.#timer = setTimeout(() => this.#serve(), Math.max(1, missingMs));
  }
}
