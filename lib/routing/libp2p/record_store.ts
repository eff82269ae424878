/**
 * In-memory datastore of a DHT node, indexed the way `@libp2p/kad-dht` asks it.
 *
 * @module
 */
import type { PeerId } from "@libp2p/interface";
import { NotFoundError } from "@libp2p/interface";
import { type Batch, type Datastore, Key, type Pair, type Query } from "interface-datastore";
import { digestOfRecordName, recordNameOf } from "./provider_key.ts";
import { varint } from "./provider_message.ts";
import { type ProviderRecord, ProviderRecords } from "./provider_records.ts";

/**
 * Most provider records of other nodes that are held. Beyond it the node with most records loses those it announced
 * longest ago, so that one node that announces without end does not drive out the others. Twenty nodes with 5,000 keys
 * each make 100,000; a record costs about 90 bytes, one of a key that many nodes have 30.
 */
export const MAX_PROVIDER_RECORDS = 150_000;

/** Most other entries, of which nearly all are the peer store's; the ones written longest ago go first. */
export const MAX_OTHER_ENTRIES = 10_000;

/**
 * Largest other entry that is held, in bytes. What the peer store keeps of a node is below 1 KiB, and of one with as many
 * addresses as libp2p lets it tell 13 KiB.
 */
export const MAX_OTHER_ENTRY_BYTES = 16 * 1024;

/** How often expired records are removed from memory. They are never answered, removed or not. */
const SWEEP_MILLISECONDS = 60_000;

/**
 * What is full loses this share at once. Finding the first entry of a map takes the longer the more were deleted before
 * it, so that taking out one at a time would be slow.
 */
const EVICTED_SHARE = 1 / 64;

/** Most nodes that may be telling all their keys at the same time; there are no more connections. */
export const MAX_ROUNDS = 4096;

const PROVIDER_PREFIX = "/dht/provider/";
const PEER_PREFIX = "/peers/";
/** Values that other nodes store by PUT_VALUE. Nothing in a cluster of mirrors does, and they may be of any size. */
const VALUE_PREFIX = "/dht/record/";

/** Options of a {@linkcode RecordStore}. */
export interface RecordStoreOptions {
  /** This node. Its own records neither expire nor count. */
  readonly self: PeerId;
  /** How long a provider record is valid, in milliseconds. */
  readonly validity: number;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
  /** Bound on provider records. Default {@linkcode MAX_PROVIDER_RECORDS}. */
  readonly maxProviderRecords?: number;
  /** Bound on other entries. Default {@linkcode MAX_OTHER_ENTRIES}. */
  readonly maxOtherEntries?: number;
}

/**
 * Holds provider records by key and everything else by name. Age is measured on a monotonic clock, so that
 * steps of the system's clock neither expire records nor keep them.
 */
export class RecordStore implements Datastore {
  readonly #self: string;
  /** Name of the peer store's entry about this node, which answers about its own keys need. */
  readonly #selfEntry: string;
  readonly #validity: number;
  readonly #now: () => number;
  readonly #maxProviderRecords: number;
  readonly #maxOtherEntries: number;
  /** Of other nodes. Keys other than of sha2-256, which nothing in a cluster of mirrors makes, are not held. */
  readonly #providers = new ProviderRecords();
  readonly #own = new Set<string>();
  /** When nodes began to tell all their keys, of those that have not told all of them yet. */
  readonly #rounds = new Map<string, number>();
  readonly #others = new Map<string, Uint8Array>();
  #sweptAt: number;

  /**
   * @param options Own identity, validity, clock and bounds.
   */
  constructor(options: RecordStoreOptions) {
    this.#self = options.self.toString();
    this.#selfEntry = `${PEER_PREFIX}${options.self.toCID()}`;
    this.#validity = options.validity;
    this.#now = options.now;
    this.#maxProviderRecords = options.maxProviderRecords ?? MAX_PROVIDER_RECORDS;
    this.#maxOtherEntries = options.maxOtherEntries ?? MAX_OTHER_ENTRIES;
    this.#sweptAt = options.now();
  }

  /** Number of provider records of other nodes, expired ones that were not removed yet included. */
  get providerRecords(): number {
    return this.#providers.size;
  }

  /**
   * Records that this node provides a key.
   *
   * @param recordName Name of the key.
   */
  addOwn(recordName: string): void {
    this.#own.add(recordName);
  }

  /**
   * Removes the record that this node provides a key.
   *
   * @param recordName Name of the key.
   */
  removeOwn(recordName: string): void {
    this.#own.delete(recordName);
  }

  /**
   * The valid records of other nodes for a key.
   *
   * @param recordName Name of the key.
   * @returns The records, in order of announcement.
   */
  providersOf(recordName: string): ProviderRecord[] {
    const digest = digestOfRecordName(recordName);
    if (digest === undefined) return [];
    return this.#providers.of(digest).filter(({ storedAt }) => this.#isValid(storedAt));
  }

  /**
   * Records that another node provides a key.
   *
   * @param digest sha2-256 digest of the key's text.
   * @param peer Text of the node's peer ID.
   */
  putProvider(digest: Uint8Array, peer: string): void {
    this.#providers.put(digest, peer, this.#now());
    if (this.#now() - this.#sweptAt >= SWEEP_MILLISECONDS) this.#sweep();
    if (this.#providers.size > this.#maxProviderRecords) this.#providers.deleteOldestOfGreatest();
  }

  /**
   * Removes the record that another node provides a key.
   *
   * @param digest sha2-256 digest of the key's text.
   * @param peer Text of the node's peer ID.
   */
  removeProvider(digest: Uint8Array, peer: string): void {
    this.#providers.delete(digest, peer);
  }

  /**
   * Another node begins to tell all keys that it provides.
   *
   * @param peer Text of the node's peer ID.
   */
  beginRound(peer: string): void {
    this.#rounds.delete(peer);
    this.#rounds.set(peer, this.#now());
    const oldest = this.#rounds.keys().next();
    if (this.#rounds.size > MAX_ROUNDS && !oldest.done) this.#rounds.delete(oldest.value);
  }

  /**
   * Another node has told all keys that it provides: those that it told before are no longer among them.
   *
   * @param peer Text of the node's peer ID.
   */
  endRound(peer: string): void {
    const beganAt = this.#rounds.get(peer);
    if (beganAt !== undefined) this.#providers.deleteOf(peer, beganAt);
    this.#rounds.delete(peer);
  }

  /** @inheritdoc */
  put(key: Key, value: Uint8Array): Key {
    const name = key.toString();
    const record = parseProviderName(name);
    if (record === undefined) this.#putOther(name, value);
    else if (record.peer === this.#self) this.#own.add(record.recordName);
    else this.#putNamed(record.recordName, record.peer);
    return key;
  }

  /** @inheritdoc */
  get(key: Key): Uint8Array {
    const name = key.toString();
    const record = parseProviderName(name);
    const value = record === undefined
      ? this.#others.get(name)
      : this.#providerValue(record.recordName, record.peer);
    if (value === undefined) throw new NotFoundError(`no entry ${name}`);
    return value;
  }

  /** @inheritdoc */
  has(key: Key): boolean {
    const name = key.toString();
    const record = parseProviderName(name);
    return record === undefined
      ? this.#others.has(name)
      : this.#providerValue(record.recordName, record.peer) !== undefined;
  }

  /** @inheritdoc */
  delete(key: Key): void {
    const name = key.toString();
    const record = parseProviderName(name);
    if (record === undefined) this.#others.delete(name);
    else if (record.peer === this.#self) this.#own.delete(record.recordName);
    else this.#deleteNamed(record.recordName, record.peer);
  }

  /** @inheritdoc */
  *query(query: Query): Generator<Pair> {
    let skip = query.offset ?? 0;
    let left = query.limit ?? Infinity;
    let pairs: Iterable<Pair> = this.#pairs(query.prefix ?? "");
    if (query.orders !== undefined && query.orders.length > 0) {
      pairs = [...pairs].sort((a, b) => {
        for (const order of query.orders ?? []) {
          const result = order(a, b);
          if (result !== 0) return result;
        }
        return 0;
      });
    }
    for (const pair of pairs) {
      if (query.filters?.some((filter) => !filter(pair))) continue;
      if (skip-- > 0) continue;
      if (left-- <= 0) return;
      yield pair;
    }
  }

  /** @inheritdoc */
  *queryKeys(query: Parameters<Datastore["queryKeys"]>[0]): Generator<Key> {
    const { filters, orders, ...plain } = query;
    const pairs = this.query({
      ...plain,
      filters: (filters ?? []).map((filter) => ({ key }) => filter(key)),
      orders: (orders ?? []).map((order) => (a, b) => order(a.key, b.key)),
    });
    for (const { key } of pairs) yield key;
  }

  /** @inheritdoc */
  async *putMany(source: Iterable<Pair> | AsyncIterable<Pair>): AsyncGenerator<Key> {
    for await (const { key, value } of source) yield this.put(key, value);
  }

  /** @inheritdoc */
  async *getMany(source: Iterable<Key> | AsyncIterable<Key>): AsyncGenerator<Pair> {
    for await (const key of source) yield { key, value: this.get(key) };
  }

  /** @inheritdoc */
  async *deleteMany(source: Iterable<Key> | AsyncIterable<Key>): AsyncGenerator<Key> {
    for await (const key of source) {
      this.delete(key);
      yield key;
    }
  }

  /** @inheritdoc */
  batch(): Batch {
    const changes: (() => void)[] = [];
    return {
      put: (key, value) => void changes.push(() => this.put(key, value)),
      delete: (key) => void changes.push(() => this.delete(key)),
      commit: () => {
        for (const change of changes.splice(0)) change();
      },
    };
  }

  *#pairs(prefix: string): Generator<Pair> {
    // The question asked for each lookup of a peer: the providers of one key.
    if (prefix.startsWith(PROVIDER_PREFIX)) {
      const recordName = prefix.slice(PROVIDER_PREFIX.length).split("/")[0] ?? "";
      yield* this.#providerPairs(recordName);
      return;
    }
    for (const [name, value] of this.#others) {
      if (name.startsWith(prefix)) yield { key: new Key(name, false), value };
    }
    if (PROVIDER_PREFIX.startsWith(prefix)) {
      const others = [...this.#providers.keys()].map(recordNameOf);
      for (const recordName of new Set([...this.#own, ...others])) {
        yield* this.#providerPairs(recordName);
      }
    }
  }

  *#providerPairs(recordName: string): Generator<Pair> {
    const peers = this.providersOf(recordName).map(({ peer }) => peer);
    if (this.#own.has(recordName)) peers.unshift(this.#self);
    for (const peer of peers) {
      const value = this.#providerValue(recordName, peer);
      if (value === undefined) continue;
      yield { key: new Key(`${PROVIDER_PREFIX}${recordName}/${peer}`, false), value };
    }
  }

  /** The record's value as kad-dht writes it: the time of the announcement, here reckoned from its age. */
  #providerValue(recordName: string, peer: string): Uint8Array | undefined {
    if (peer === this.#self) {
      return this.#own.has(recordName) ? Uint8Array.from(varint(Date.now())) : undefined;
    }
    const storedAt = this.#storedAt(recordName, peer);
    if (storedAt === undefined) return undefined;
    return Uint8Array.from(varint(Math.round(Date.now() - (this.#now() - storedAt))));
  }

  /** When the record was announced; undefined if there is none that is valid. */
  #storedAt(recordName: string, peer: string): number | undefined {
    const digest = digestOfRecordName(recordName);
    const storedAt = digest === undefined ? undefined : this.#providers.storedAt(digest, peer);
    return storedAt !== undefined && this.#isValid(storedAt) ? storedAt : undefined;
  }

  #isValid(storedAt: number): boolean {
    return this.#now() - storedAt < this.#validity;
  }

  #putNamed(recordName: string, peer: string): void {
    const digest = digestOfRecordName(recordName);
    if (digest !== undefined) this.putProvider(digest, peer);
  }

  #deleteNamed(recordName: string, peer: string): void {
    const digest = digestOfRecordName(recordName);
    if (digest !== undefined) this.#providers.delete(digest, peer);
  }

  #sweep(): void {
    this.#sweptAt = this.#now();
    this.#providers.deleteBefore(this.#now() - this.#validity);
  }

  #putOther(name: string, value: Uint8Array): void {
    if (name.startsWith(VALUE_PREFIX) || value.length > MAX_OTHER_ENTRY_BYTES) return;
    // Nodes whose records are held announce again, and each time their entry is written anew: it is never the oldest.
    this.#others.delete(name);
    this.#others.set(name, value);
    if (this.#others.size <= this.#maxOtherEntries) return;
    const evictable = this.#others.keys().filter((entry) => entry !== this.#selfEntry);
    for (const oldest of firstShare(evictable, this.#others.size)) this.#others.delete(oldest);
  }
}

/** The first share of the names, at least one. */
function firstShare(names: IteratorObject<string>, size: number): string[] {
  return [...names.take(Math.ceil(size * EVICTED_SHARE))];
}

function parseProviderName(name: string): { recordName: string; peer: string } | undefined {
  if (!name.startsWith(PROVIDER_PREFIX)) return undefined;
  const [recordName, peer] = name.slice(PROVIDER_PREFIX.length).split("/");
  if (recordName === undefined || peer === undefined) return undefined;
  return { recordName, peer };
}
