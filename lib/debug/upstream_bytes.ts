/**
 * Counts what containerd got from upstream. Nobody tells: but what was asked for here in vain, and is in the store some
 * time later, has come from there.
 *
 * @module
 */
import type { Digest } from "../oci/digest.ts";
import type { Exchange } from "../registry/registry_server.ts";
import type { Store } from "../store/store.ts";

/** Most contents that are waited for; the oldest go first. */
export const MAX_MISSED_CONTENTS = 1024;

/** How long a content is waited for, in milliseconds. */
export const MISSED_CONTENT_TTL_MS = 60 * 60_000;

interface Missed {
  /** Bytes that were there already. */
  readonly offset: number;
  readonly at: number;
}

/** See the module. */
export class UpstreamBytes {
  readonly #store: Store;
  readonly #now: () => number;
  readonly #missed = new Map<Digest, Missed>();
  #total = 0;

  /**
   * @param store Where contents arrive.
   * @param now Monotonic clock in milliseconds.
   */
  constructor(store: Store, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /** Bytes that came from upstream so far. */
  get total(): number {
    return this.#total;
  }

  /** A request was answered. */
  finished({ method, range, answer: { facts } }: Exchange): void {
    const digest = facts.path?.digest;
    if (digest === undefined || method !== "GET" || facts.handler !== "mirror") return;
    if (facts.source !== undefined || facts.error === undefined) return;
    // containerd goes on upstream with the same range.
    const offset = Number(/^bytes=([0-9]{1,15})-/.exec(range ?? "")?.[1] ?? 0);
    const before = this.#missed.get(digest);
    this.#missed.delete(digest);
    this.#missed.set(digest, {
      offset: Math.min(offset, before?.offset ?? offset),
      at: this.#now(),
    });
    if (this.#missed.size > MAX_MISSED_CONTENTS) {
      this.#missed.delete(this.#missed.keys().next().value!);
    }
  }

  /** Looks which of them have arrived. Never throws. */
  async look(): Promise<void> {
    for (const [digest, missed] of [...this.#missed]) {
      const size = await this.#sizeOf(digest);
      // It may have been asked for once more meanwhile.
      if (this.#missed.get(digest) !== missed) continue;
      if (size !== undefined) this.#total += Math.max(0, size - missed.offset);
      else if (this.#now() - missed.at < MISSED_CONTENT_TTL_MS) continue;
      this.#missed.delete(digest);
    }
  }

  async #sizeOf(digest: Digest): Promise<number | undefined> {
    try {
      return (await this.#store.descriptor(digest)).size;
    } catch {
      return undefined; // Not there yet, or containerd is away.
    }
  }
}
