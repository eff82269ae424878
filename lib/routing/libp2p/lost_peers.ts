/**
 * Peers that were lost and did not answer again: where they were, and since when.
 *
 * @module
 */
import type { Multiaddr } from "@multiformats/multiaddr";
import type { LostPeer } from "../router.ts";
import { ipsOf, withoutPeerId } from "./peer_addresses.ts";

/**
 * How long a lost peer is looked for where it was, in milliseconds: long enough for a node to be restarted, when it may
 * be the one that others start from.
 */
export const MISSED_TTL_MS = 10 * 60_000;

/** Most lost peers that are looked for; the ones lost first go first. */
export const MAX_MISSED = 64;

interface Lost {
  readonly addresses: readonly Multiaddr[];
  readonly since: number;
}

/** A bounded memory of lost peers. */
export class LostPeers {
  readonly #now: () => number;
  readonly #lost = new Map<string, Lost>();

  /**
   * @param now Monotonic clock in milliseconds.
   */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Remembers a peer.
   *
   * @param id Its identity.
   * @param addresses Where it was.
   */
  add(id: string, addresses: readonly Multiaddr[]): void {
    this.#lost.delete(id);
    // Without its identity, for it may come back with another one.
    this.#lost.set(id, { addresses: addresses.map(withoutPeerId), since: this.#now() });
    const oldest = this.#lost.keys().next();
    if (this.#lost.size > MAX_MISSED && !oldest.done) this.#lost.delete(oldest.value);
  }

  /**
   * Forgets a peer, for it is there again.
   *
   * @param id Its identity.
   */
  delete(id: string): void {
    this.#lost.delete(id);
  }

  /**
   * @param id An identity.
   * @returns True for a lost peer, also when it is not looked for any more: what it announced is of no use.
   */
  has(id: string): boolean {
    return this.#lost.has(id);
  }

  /** @returns Those that are still looked for. */
  list(): LostPeer[] {
    const now = this.#now();
    return [...this.#lost].flatMap(([id, { addresses, since }]) => {
      const agoMs = now - since;
      return agoMs < MISSED_TTL_MS ? [{ id, addresses: ipsOf(addresses), agoMs }] : [];
    });
  }

  /**
   * Says where to look.
   *
   * @param isConnected Whether there is a connection to an address: then somebody is there again under another
   * identity, the same machine as a rule, and the peer is forgotten.
   * @returns Addresses, without identities.
   */
  missed(isConnected: (address: Multiaddr) => boolean): Multiaddr[] {
    const missed: Multiaddr[] = [];
    for (const [id, { addresses, since }] of this.#lost) {
      if (addresses.some(isConnected)) this.#lost.delete(id);
      else if (this.#now() - since < MISSED_TTL_MS) missed.push(...addresses);
    }
    return missed;
  }
}
