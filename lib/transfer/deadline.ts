/**
 * A time limit that is set anew again and again.
 *
 * @module
 */

/**
 * Calls somebody when time is up. Over TLS a read yields 16 KiB, and a timer for each read is a good part of what it costs:
 * a single one runs on, and looks at its end whether it is time.
 */
export class Deadline implements Disposable {
  readonly #onExpired: () => void;
  readonly #now: () => number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer ends, by the clock; infinite if none runs. */
  #timerAt = Infinity;
  /** When time is up; infinite if nothing is waited for. */
  #dueAt = Infinity;
  /** What did not happen, and in which time. */
  #what = "";
  #ms = 0;
  #expired: string | undefined;

  /**
   * @param onExpired Called once, when time is up.
   * @param now Monotonic clock in milliseconds.
   */
  constructor(onExpired: () => void, now: () => number = () => performance.now()) {
    this.#onExpired = onExpired;
    this.#now = now;
  }

  /** What did not happen in time; undefined as long as there is time. */
  get expired(): string | undefined {
    return this.#expired;
  }

  /**
   * Sets the limit, in place of the one before.
   *
   * @param ms Time from now on, in milliseconds.
   * @param what What is said when it has run out.
   */
  start(ms: number, what: string): void {
    this.#dueAt = this.#now() + ms;
    this.#what = what;
    this.#ms = ms;
    if (this.#dueAt < this.#timerAt) this.#wake(ms);
  }

  /** Takes the limit away. A timer may run on until {@linkcode Symbol.dispose}. */
  stop(): void {
    this.#dueAt = Infinity;
  }

  #wake(ms: number): void {
    clearTimeout(this.#timer);
    this.#timerAt = this.#now() + ms;
    this.#timer = setTimeout(() => this.#look(), ms);
  }

  #look(): void {
    this.#timerAt = Infinity;
    if (this.#dueAt === Infinity) return;
    // A timer may end a little before its time.
    const leftMs = Math.ceil(this.#dueAt - this.#now());
    if (leftMs > 0) return this.#wake(leftMs);
    this.#dueAt = Infinity;
    this.#expired = `${this.#what} within ${this.#ms} ms`;
    this.#onExpired();
  }

  [Symbol.dispose](): void {
    this.stop();
    clearTimeout(this.#timer);
    this.#timerAt = Infinity;
  }
}
