/**
 * Tells the network which keys this node provides, and keeps telling it.
 *
 * A key's record belongs on the peers closest to it. Up to {@linkcode REPLICATION} nodes these are all nodes, so that
 * each of them answers lookups from its own memory. In larger clusters keys are sorted by their place and the
 * closest peers are looked up once for a region of the keyspace. All records for a peer go over one stream, and so do
 * withdrawals.
 *
 * @module
 */
import type { Logger } from "../../observability/logger.ts";
import { type Sleep, sleep } from "../../sleep.ts";
import { REPLICATION } from "./dht.ts";
import {
  closest,
  commonPrefixLength,
  compareDistance,
  isAmongClosest,
  type Positioned,
} from "./keyspace.ts";
import { PendingKeys } from "./pending_keys.ts";
import { type ProviderKey, providerKey } from "./provider_key.ts";
import type { Telling } from "./telling.ts";

/**
 * A record is told again after this time at the latest, in milliseconds, as in Spegel: records of 19 minutes
 * outlive one round that was missed in part.
 */
export const REPUBLISH_MS = 15 * 60_000;

/** Share of {@linkcode REPUBLISH_MS} over which rounds are spread at random, so that they do not come in waves. */
export const REPUBLISH_JITTER = 0.4;

/** How often due keys are looked for, in milliseconds. */
export const REPUBLISH_TICK_MS = 10_000;

/** Records in one batch to a peer. */
export const BATCH_SIZE = 256;

/** Peers that are told at the same time. */
export const PUBLISH_CONCURRENCY = 8;

/** Attempts to tell a peer a batch, half a minute in all. What fails then is told in the next round. */
export const PUBLISH_ATTEMPTS = 6;

/** Pause before another attempt, in milliseconds; doubled each time. */
export const PUBLISH_RETRY_MS = 1000;

/** How long the peers of a region are taken to be the same, in milliseconds. */
export const REGION_TTL_MS = 5 * 60_000;

/** Above so many known peers a new one is not sent older keys before the next round. */
export const MAX_PEERS_FOR_CATCH_UP = 200;

/** What the publisher needs of the network. */
export interface PublisherNetwork {
  /** Peers in the routing table, closest to this node first. */
  peers(): readonly Positioned[];
  /** Walks the DHT to the peers closest to a key. */
  closestPeers(key: ProviderKey, signal: AbortSignal): Promise<readonly Positioned[]>;
  /** Tells a peer a batch, and waits until it has taken it. */
  send(peer: string, telling: Telling, signal: AbortSignal): Promise<void>;
}

/** Options of {@linkcode Publisher}. */
export interface PublisherOptions {
  readonly network: PublisherNetwork;
  readonly log: Logger;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
  /** Random number in [0, 1). */
  readonly random: () => number;
  /** Waits by the same clock. Default: the process's. */
  readonly sleep?: Sleep;
}

interface OwnKey {
  readonly key: ProviderKey;
  /** When it is to be told again. */
  dueAt: number;
}

/** Keeps the keys of this node announced. */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #sleep: Sleep;
  readonly #keys = new Map<string, OwnKey>();
  /** What peers are still to be told; the peer whose turn is next first. */
  readonly #pending = new Map<string, PendingKeys>();
  readonly #sending = new Set<string>();
  /** Peers that did not take a batch, and how often in a row. */
  readonly #failures = new Map<string, number>();
  /** Those of them that are left alone for a while. */
  readonly #resting = new Set<string>();
  readonly #regions = new Map<string, { readonly peers: readonly Positioned[]; at: number }>();
  readonly #abort = new AbortController();
  /** False until it is known who is to be told the first keys: before that nobody is to think that there are none. */
  #knowsKeys = false;
  #locating: Promise<void> = Promise.resolve();

  /**
   * @param options Network, log, clock and randomness.
   */
  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#sleep = options.sleep ?? sleep;
  }

  /** Number of keys that are kept announced. */
  get size(): number {
    return this.#keys.size;
  }

  /** Number of records that are still to be told to peers. */
  get backlog(): number {
    return [...this.#pending.values()].reduce((sum, keys) => sum + keys.size, 0);
  }

  /** Announces again what is due, until stopped. */
  async run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      await this.#sleep(REPUBLISH_TICK_MS, signal);
      const now = this.#options.now();
      const due = [...this.#keys.values()].filter((own) => own.dueAt <= now);
      this.#publish(due);
    }
  }

  /**
   * Announces keys from now on.
   *
   * @param keys The keys; the first ones must be all that there are at that time, be it none.
   */
  add(keys: readonly ProviderKey[]): void {
    const added: OwnKey[] = [];
    for (const key of keys) {
      const own = { key, dueAt: 0 };
      this.#keys.set(key.text, own);
      added.push(own);
    }
    this.#publish(added);
    this.#locating = this.#locating.then(() => {
      this.#knowsKeys = true;
      this.#send();
    });
  }

  /**
   * Announces keys no longer, and tells so.
   *
   * @param keys The keys.
   */
  remove(keys: readonly string[]): void {
    const withdrawn: ProviderKey[] = [];
    for (const text of keys) {
      if (!this.#keys.delete(text)) continue;
      for (const pending of this.#pending.values()) pending.delete(text);
      // Another object than the one that may be on its way to a peer as an announcement.
      withdrawn.push(providerKey(text));
    }
    if (withdrawn.length === 0) return;
    this.#locating = this.#locating.then(() =>
      this.#locate(withdrawn, (key) => !this.#keys.has(key.text))
    );
  }

  /**
   * Tells a peer that has come, or come back, all that belongs there, and that this is all.
   *
   * @param peer The peer.
   */
  peerAdded(peer: Positioned): void {
    const peers = this.#options.network.peers();
    if (peers.length > MAX_PEERS_FOR_CATCH_UP) return;
    const belongs = (key: ProviderKey) =>
      peers.length <= REPLICATION ||
      isAmongClosest(key.position, peer.position, peers, REPLICATION);
    // Anew: what is on its way now is told before the beginning of this.
    this.#pending.set(peer.id, new PendingKeys(true));
    for (const { key } of this.#keys.values()) {
      if (belongs(key)) this.#enqueue(peer.id, key);
    }
    this.#regions.clear();
    this.#send();
  }

  /**
   * Forgets what a peer was still to be told.
   *
   * @param peer Text of its peer ID.
   */
  peerRemoved(peer: string): void {
    this.#pending.delete(peer);
    this.#failures.delete(peer);
  }

  /** Stops. */
  stop(): void {
    this.#abort.abort();
    this.#pending.clear();
  }

  #publish(keys: readonly OwnKey[]): void {
    if (keys.length === 0) return;
    const { now, random } = this.#options;
    for (const own of keys) {
      own.dueAt = now() + REPUBLISH_MS * (1 - REPUBLISH_JITTER * random());
    }
    // One after the other, so that walks of one call serve the next.
    this.#locating = this.#locating.then(() =>
      this.#locate(keys.map((own) => own.key), (key) => this.#isOwn(key))
    );
  }

  /** Finds out which peers are to be told which keys, as far as they still are when their peers are found. */
  async #locate(
    keys: readonly ProviderKey[],
    isStill: (key: ProviderKey) => boolean,
  ): Promise<void> {
    const peers = this.#options.network.peers();
    if (peers.length <= REPLICATION) {
      const still = keys.filter(isStill);
      for (const { id } of peers) {
        for (const key of still) this.#enqueue(id, key);
      }
      this.#send();
      return;
    }
    const bits = regionBits(peers);
    const byRegion = Map.groupBy(keys, (key) => regionOf(key.position, bits));
    for (const [region, regionKeys] of byRegion) {
      if (this.#abort.signal.aborted) return;
      const around = await this.#peersAround(region, regionKeys);
      for (const key of regionKeys) {
        if (!isStill(key)) continue;
        for (const { id } of closest(key.position, around, REPLICATION)) this.#enqueue(id, key);
      }
      this.#send();
    }
  }

  async #peersAround(
    region: string,
    keys: readonly ProviderKey[],
  ): Promise<readonly Positioned[]> {
    const { network, now, log } = this.#options;
    const known = this.#regions.get(region);
    if (known !== undefined && now() - known.at < REGION_TTL_MS) return known.peers;
    const found = new Map(network.peers().map((peer) => [peer.id, peer]));
    // From both ends, since the closest peers of one end need not be those of the other.
    for (const key of endsOf(keys)) {
      try {
        for (const peer of await network.closestPeers(key, this.#abort.signal)) {
          found.set(peer.id, peer);
        }
      } catch (error) {
        log.debug("walk to the closest peers failed, using the known ones", { error });
      }
    }
    const peers = [...found.values()];
    for (const [name, { at }] of this.#regions) {
      if (now() - at >= REGION_TTL_MS) this.#regions.delete(name);
    }
    this.#regions.set(region, { peers, at: now() });
    return peers;
  }

  /** False for a key that was withdrawn meanwhile, or withdrawn and advertised anew. */
  #isOwn(key: ProviderKey): boolean {
    return this.#keys.get(key.text)?.key === key;
  }

  #enqueue(peer: string, key: ProviderKey): void {
    let pending = this.#pending.get(peer);
    if (pending === undefined) this.#pending.set(peer, pending = new PendingKeys());
    pending.add(key);
  }

  /** Starts to tell peers, as many at a time as allowed. */
  #send(): void {
    for (const [peer, pending] of this.#pending) {
      if (this.#sending.size >= PUBLISH_CONCURRENCY || this.#abort.signal.aborted) return;
      if (this.#sending.has(peer) || this.#resting.has(peer)) continue;
      if (pending.size > 0 || this.#canEnd(pending)) void this.#sendBatch(peer, pending);
      else if (pending.round === undefined) this.#pending.delete(peer); // Nothing is left.
    }
  }

  /** Whether a peer can be told that this is all, with what is left. */
  #canEnd({ round }: PendingKeys): boolean {
    return round !== undefined && this.#knowsKeys;
  }

  /** Tells a peer one batch. Then it is the next one's turn, so that new keys get to all peers soon. */
  async #sendBatch(peer: string, pending: PendingKeys): Promise<void> {
    const { network } = this.#options;
    this.#sending.add(peer);
    const batch = pending.take(BATCH_SIZE);
    const announced = batch.filter((key) => this.#isOwn(key));
    const withdrawn = batch.filter((key) => !this.#isOwn(key));
    const begins = pending.round === "due";
    const ends = this.#canEnd(pending) && pending.size === batch.length;
    let failure: unknown;
    try {
      await network.send(peer, { begins, announced, withdrawn, ends }, this.#abort.signal);
      pending.done(batch);
      if (begins) pending.round = "begun";
      if (ends) pending.round = undefined;
      this.#failures.delete(peer);
    } catch (error) {
      pending.putBack(batch);
      failure = error;
    }
    this.#sending.delete(peer);
    // The peer may have been removed meanwhile, and may even have come back.
    if (this.#pending.get(peer) === pending) {
      this.#pending.delete(peer);
      const isLeft = failure === undefined
        ? pending.size > 0 || pending.round !== undefined
        : this.#rest(peer, failure);
      if (isLeft) this.#pending.set(peer, pending);
    }
    this.#send();
  }

  /**
   * Leaves a peer alone for a while.
   *
   * @returns False if it has failed too often.
   */
  #rest(peer: string, error: unknown): boolean {
    const { log } = this.#options;
    const failures = (this.#failures.get(peer) ?? 0) + 1;
    if (failures >= PUBLISH_ATTEMPTS) {
      this.#failures.delete(peer);
      log.debug("a peer does not take announcements, trying in the next round", { peer, error });
      return false;
    }
    this.#failures.set(peer, failures);
    this.#resting.add(peer);
    void this.#sleep(PUBLISH_RETRY_MS * 2 ** (failures - 1), this.#abort.signal).then(() => {
      this.#resting.delete(peer);
      this.#send();
    });
    return true;
  }
}

/**
 * Into how many bits of prefix the keyspace is divided, so that a region holds fewer than {@linkcode REPLICATION}
 * peers.
 */
function regionBits(peers: readonly Positioned[]): number {
  return Math.max(0, Math.ceil(Math.log2(networkSize(peers) / REPLICATION)));
}

/**
 * Estimates the size of the network: close to this node the routing table is complete, so that the peers there,
 * scaled up, tell how many there are.
 *
 * @param peers The routing table, closest to this node first.
 * @returns Number of nodes.
 */
export function networkSize(peers: readonly Positioned[]): number {
  const near = peers.slice(0, REPLICATION);
  const nearest = near[0];
  const farthest = near.at(-1);
  if (nearest === undefined || farthest === undefined) return 1;
  const shared = commonPrefixLength(nearest.position, farthest.position);
  return Math.max(peers.length, near.length * 2 ** Math.min(shared, 32));
}

/** The keys that lie first and last, which may be the same. */
function endsOf(keys: readonly ProviderKey[]): Set<ProviderKey> {
  let first = { key: keys[0]!, position: keys[0]!.position };
  let last = first;
  for (const key of keys) {
    const { position } = key;
    if (compareDistance(ORIGIN, position, first.position) < 0) first = { key, position };
    if (compareDistance(ORIGIN, position, last.position) > 0) last = { key, position };
  }
  return new Set([first.key, last.key]);
}

/** Where the keyspace begins. */
const ORIGIN = new Uint8Array(32);

function regionOf(position: Uint8Array, bits: number): string {
  let region = "";
  for (let bit = 0; bit < bits; bit++) {
    region += (position[bit >> 3]! >> (7 - (bit & 7))) & 1;
  }
  return region;
}
