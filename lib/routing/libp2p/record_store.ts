/**
 * In-memory datastore of a DHT node, indexed the way `@libp2p/kad-dht` asks it.
 *
 * @module
 */
import type { PeerId } from "@libp2p/interface";
import { NotFoundError } from "@libp2p/interface";
import { type Batch, type Datastore, Key, type Pair, type Query } from "interface-datastore";
import { varint } from "./provider_message.ts";

/**
 * Most provider records of other nodes that are held; beyond it the records refreshed longest ago go first.
 * Twenty nodes with 5,000 keys each make 100,000; a record of a key that several nodes have costs about
 * 100 bytes, one of a key of its own about 500.
 */
export const MAX_PROVIDER_RECORDS = 150_000;

/** Most other entries, of which the peer store is the greatest part; the oldest go first. */
export const MAX_OTHER_ENTRIES = 10_000;

/** How often expired records are removed from memory. They are never answered, removed or not. */
const SWEEP_MILLISECONDS = 60_000;

const PROVIDER_PREFIX = "/dht/provider/";
const PEER_PREFIX = "/peers/";

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

/** A provider record as held. */
export interface ProviderRecord {
  /** Text of the provider's peer ID. */
  readonly peer: string;
  /** When it was announced last, on the store's clock. */
  readonly storedAt: number;
}

/**
 * Holds provider records by key and everything else by name. Age is measured on a monotonic clock, so that
 * steps of the system's clock neither expire records nor keep them.
 */
export class RecordStore implements Datastore {
  readonly #self: string;
  readonly #validity: number;
  readonly #now: () => number;
  readonly #maxProviderRecords: number;
  readonly #maxOtherEntries: number;
  /** Key's record name to provider to time. Both maps are in order of the last announcement. */
  readonly #providers = new Map<string, Map<string, number>>();
  readonly #own = new Set<string>();
  readonly #others = new Map<string, Uint8Array>();
  #providerRecords = 0;
  #sweptAt: number;

  /**
   * @param options Own identity, validity, clock and bounds.
   */
  constructor(options: RecordStoreOptions) {
    this.#self = options.self.toString();
    this.#validity = options.validity;
    this.#now = options.now;
    this.#maxProviderRecords = options.maxProviderRecords ?? MAX_PROVIDER_RECORDS;
    this.#maxOtherEntries = options.maxOtherEntries ?? MAX_OTHER_ENTRIES;
    this.#sweptAt = options.now();
  }

  /** Number of provider records of other nodes, expired ones that were not removed yet included. */
  get providerRecords(): number {
    return this.#providerRecords;
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
   * The valid records of other nodes for a key, the latest announced first.
   *
   * @param recordName Name of the key.
   * @returns The records.
   */
  providersOf(recordName: string): ProviderRecord[] {
    const valid: ProviderRecord[] = [];
    for (const [peer, storedAt] of this.#providers.get(recordName) ?? []) {
      if (this.#isValid(storedAt)) valid.push({ peer, storedAt });
    }
    return valid.reverse();
  }

  /** @inheritdoc */
  put(key: Key, value: Uint8Array): Key {
    const name = key.toString();
    const record = parseProviderName(name);
    if (record === undefined) this.#putOther(name, value);
    else if (record.peer === this.#self) this.#own.add(record.recordName);
    else this.#putProvider(record.recordName, record.peer);
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
    else this.#deleteProvider(record.recordName, record.peer);
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
      for (const recordName of [...new Set([...this.#own, ...this.#providers.keys()])]) {
        yield* this.#providerPairs(recordName);
      }
    }
  }

  *#providerPairs(recordName: string): Generator<Pair> {
    const peers = [...this.#providers.get(recordName)?.keys() ?? []];
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
    const storedAt = this.#providers.get(recordName)?.get(peer);
    if (storedAt === undefined || !this.#isValid(storedAt)) return undefined;
    return Uint8Array.from(varint(Math.round(Date.now() - (this.#now() - storedAt))));
  }

  #isValid(storedAt: number): boolean {
    return this.#now() - storedAt < this.#validity;
  }

  #putProvider(recordName: string, peer: string): void {
    this.#deleteProvider(recordName, peer);
    const record = this.#providers.get(recordName) ?? new Map<string, number>();
    // Taken out and put back, so that the order of the maps is the order of the last announcement.
    this.#providers.delete(recordName);
    record.set(peer, this.#now());
    this.#providers.set(recordName, record);
    this.#providerRecords++;
    if (this.#now() - this.#sweptAt >= SWEEP_MILLISECONDS) this.#sweep();
    while (this.#providerRecords > this.#maxProviderRecords) this.#deleteOldest();
  }

  #deleteProvider(recordName: string, peer: string): void {
    const record = this.#providers.get(recordName);
    if (record === undefined || !record.delete(peer)) return;
    this.#providerRecords--;
    if (record.size === 0) this.#providers.delete(recordName);
  }

  #deleteOldest(): void {
    for (const [recordName, record] of this.#providers) {
      for (const peer of record.keys()) return this.#deleteProvider(recordName, peer);
    }
  }

  #sweep(): void {
    this.#sweptAt = this.#now();
    for (const [recordName, record] of this.#providers) {
      for (const [peer, storedAt] of record) {
        if (!this.#isValid(storedAt)) this.#deleteProvider(recordName, peer);
      }
    }
  }

  #putOther(name: string, value: Uint8Array): void {
    this.#others.delete(name);
    this.#others.set(name, value);
    if (this.#others.size <= this.#maxOtherEntries) return;
    for (const oldest of this.#others.keys()) {
      // Peers whose records are held must stay known; what others stored here by PUT_VALUE goes first.
      if (oldest.startsWith(PEER_PREFIX) && this.#others.size <= 2 * this.#maxOtherEntries) {
        continue;
      }
      this.#others.delete(oldest);
      return;
    }
  }
}

function parseProviderName(name: string): { recordName: string; peer: string } | undefined {
  if (!name.startsWith(PROVIDER_PREFIX)) return undefined;
  const [recordName, peer] = name.slice(PROVIDER_PREFIX.length).split("/");
  if (recordName === undefined || peer === undefined) return undefined;
  return { recordName, peer };
}
