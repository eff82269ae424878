/**
 * Short memory of peers that turned out not to have what they announced.
 *
 * @module
 */

/**
 * How long a peer is not offered again for a key that it answered not to have, in milliseconds, unless it announces the
 * key anew. A node that loses content and gets it back between two looks at its store tells nobody: the time is well
 * below the minute within which lookups are to be right again, and asking a peer in vain costs a few milliseconds.
 */
export const FORGET_MILLISECONDS = 20_000;

/**
 * The same where it is not known when the peer announced the key, in milliseconds: it may have done so since then, and
 * what it has no longer it takes back itself, as a rule.
 */
export const FORGET_UNDATED_MILLISECONDS = 10_000;

/** Most pairs of key and peer that are remembered; the oldest go first. */
export const MAX_FORGOTTEN = 10_000;

/** Remembers for a short while which peer does not have which key. */
export class Forgotten {
  readonly #now: () => number;
  readonly #since = new Map<string, number>();

  /**
   * @param now Monotonic clock in milliseconds.
   */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Remembers that a peer does not have a key.
   *
   * @param key What was asked for.
   * @param peer Identity of the peer.
   */
  add(key: string, peer: string): void {
    const name = pairName(key, peer);
    this.#since.delete(name);
    this.#since.set(name, this.#now());
    if (this.#since.size > MAX_FORGOTTEN) {
      for (const oldest of this.#since.keys()) {
        this.#since.delete(oldest);
        break;
      }
    }
  }

  /**
   * Says whether a peer is to be left out for a key.
   *
   * @param key What is looked up.
   * @param peer Identity of the peer.
   * @param advertisedAt When the peer last announced the key, on the same clock; an announcement after the
   * peer was forgotten counts again. Left out when unknown: then the peer is left out for a shorter time.
   * @returns True if the peer is to be left out.
   */
  has(key: string, peer: string, advertisedAt?: number): boolean {
    const name = pairName(key, peer);
    const since = this.#since.get(name);
    if (since === undefined) return false;
    const age = this.#now() - since;
    if (age >= FORGET_MILLISECONDS || (advertisedAt !== undefined && advertisedAt > since)) {
      this.#since.delete(name);
      return false;
    }
    return advertisedAt !== undefined || age < FORGET_UNDATED_MILLISECONDS;
  }
}

function pairName(key: string, peer: string): string {
  return `${peer} ${key}`;
}
