/**
 * What this node has experienced with its peers, and whom it therefore asks.
 *
 * @module
 */
import { ExpiringSet } from "../expiring_set.ts";
import type { Peer } from "../routing/router.ts";

/** How long a peer that failed is asked only when nobody else is left, in milliseconds. */
export const SUSPECT_TTL_MS = 10_000;

/** Most peers that are remembered; those not heard of for longest go first. */
export const MAX_REMEMBERED_PEERS = 4096;

/** Answers from which the patience with a slow one is reckoned. */
export const LATENCY_SAMPLES = 128;

/** Patience with the first peer before a second one is asked beside it, in milliseconds. */
export const HEDGE_MS = { initial: 100, least: 20, most: 500 } as const;

/** Longest time that a peer may ask to be left alone, in milliseconds. */
export const MAX_BUSY_MS = 10_000;

/** Weight of the newest answer in a peer's mean latency. */
const NEWEST_WEIGHT = 0.3;

/** Latency of a peer that has not been asked yet, in milliseconds. */
const UNKNOWN_LATENCY_MS = 5;

/** How much more a fully loaded peer counts than an idle one. */
const LOAD_WEIGHT = 4;

interface Experience {
  latencyMs: number;
  /** Load that it told last, 0 to 1. */
  load: number;
  /** Bodies that this node is receiving from it. */
  running: number;
  busyUntil: number;
}

/** Options of {@linkcode PeerBook}. */
export interface PeerBookOptions {
  /** Zone of this node; undefined if it is not known. */
  readonly zone?: string;
  /** Random number in [0, 1). Default: Math.random. */
  readonly random?: () => number;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** Remembers peers. */
export class PeerBook {
  readonly #zone: string | undefined;
  readonly #random: () => number;
  readonly #now: () => number;
  readonly #suspects: ExpiringSet;
  readonly #peers = new Map<string, Experience>();
  readonly #latencies: number[] = [];
  #samples = 0;

  /**
   * @param options Zone, randomness and clock.
   */
  constructor(options: PeerBookOptions = {}) {
    this.#zone = options.zone;
    this.#random = options.random ?? Math.random;
    this.#now = options.now ?? (() => performance.now());
    this.#suspects = new ExpiringSet({
      ttlMs: SUSPECT_TTL_MS,
      limit: MAX_REMEMBERED_PEERS,
      now: this.#now,
    });
  }

  /**
   * A peer answered.
   *
   * @param peer The peer.
   * @param latencyMs From the request to the head of the answer.
   * @param load What it tells of its load, 0 to 1.
   */
  answered(peer: Peer, latencyMs: number, load: number | undefined): void {
    const experience = this.#experience(peer);
    experience.latencyMs += (latencyMs - experience.latencyMs) * NEWEST_WEIGHT;
    if (load !== undefined) experience.load = load;
    this.#latencies[this.#samples++ % LATENCY_SAMPLES] = latencyMs;
  }

  /** A peer failed to deliver, or delivered something wrong. */
  failed(peer: Peer): void {
    this.#suspects.add(peer.id);
  }

  /**
   * A peer is too busy.
   *
   * @param peer The peer.
   * @param ms How long it wants to be left alone.
   */
  isBusyFor(peer: Peer, ms: number): void {
    const experience = this.#experience(peer);
    experience.busyUntil = this.#now() + Math.min(ms, MAX_BUSY_MS);
    experience.load = 1;
  }

  /** A body from the peer begins. */
  started(peer: Peer): void {
    this.#experience(peer).running += 1;
  }

  /** It is over. */
  ended(peer: Peer): void {
    const experience = this.#experience(peer);
    experience.running = Math.max(0, experience.running - 1);
  }

  /** @returns True if the peer failed a short while ago. */
  isSuspect(peer: Peer): boolean {
    return this.#suspects.has(peer.id);
  }

  /** @returns True if the peer is to be asked only when nobody else is left. */
  isLastResort(peer: Peer): boolean {
    return this.isSuspect(peer) || (this.#peers.get(peer.id)?.busyUntil ?? 0) > this.#now();
  }

  /** Patience with a peer that has not answered yet, in milliseconds: nine of ten answers come within it. */
  get hedgeMs(): number {
    if (this.#latencies.length < LATENCY_SAMPLES / 8) return HEDGE_MS.initial;
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    const p90 = sorted[Math.floor(sorted.length * 0.9)]!;
    return Math.min(HEDGE_MS.most, Math.max(HEDGE_MS.least, p90));
  }

  /**
   * Chooses a peer: of this node's zone if there is one, and of two that chance picks the one with less to do. Choosing
   * the best of all would send every node to the same one.
   *
   * @param peers Peers to choose from, at least one.
   * @returns Index of the chosen one.
   */
  choose(peers: readonly Peer[]): number {
    const near = peers.keys().filter((index) => this.#isNear(peers[index]!)).toArray();
    const choice = near.length > 0 ? near : [...peers.keys()];
    const pick = () => choice[Math.floor(this.#random() * choice.length)]!;
    const [first, second] = [pick(), pick()];
    return this.#cost(peers[second]!) < this.#cost(peers[first]!) ? second : first;
  }

  #isNear(peer: Peer): boolean {
    return this.#zone === undefined || peer.zone === this.#zone;
  }

  #cost(peer: Peer): number {
    const known = this.#peers.get(peer.id);
    if (known === undefined) return UNKNOWN_LATENCY_MS;
    return (1 + known.running) * (1 + LOAD_WEIGHT * known.load) * known.latencyMs;
  }

  #experience(peer: Peer): Experience {
    const known = this.#peers.get(peer.id) ??
      { latencyMs: UNKNOWN_LATENCY_MS, load: 0, running: 0, busyUntil: 0 };
    // Put back at the end, so that the map is in the order in which peers were heard of.
    this.#peers.delete(peer.id);
    this.#peers.set(peer.id, known);
    if (this.#peers.size > MAX_REMEMBERED_PEERS) {
      this.#peers.delete(this.#peers.keys().next().value!);
    }
    return known;
  }
}
