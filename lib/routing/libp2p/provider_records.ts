/**
 * Which peer announced which key, and when: compact, since there are a hundred thousand records on a node of a cluster
 * of twenty. A record takes 28 bytes and a key 56 of plain arrays, which garbage collection need not look through.
 *
 * @module
 */
import { grown, LinkedLists, NONE } from "./linked_lists.ts";

/** Length of a key in bytes: a sha2-256 digest. */
export const KEY_LENGTH = 32;

/** A record of a key. */
export interface ProviderRecord {
  /** Text of the provider's peer ID. */
  readonly peer: string;
  /** When it was announced last, on the caller's clock. */
  readonly storedAt: number;
}

interface KnownPeer {
  readonly name: string;
  readonly index: number;
  count: number;
}

/** Numbers that are in use, the smallest ones first. */
class Slots {
  readonly #free: number[] = [];
  #used = 0;

  take(): number {
    return this.#free.pop() ?? this.#used++;
  }

  give(slot: number): void {
    this.#free.push(slot);
  }
}

/** Records by key and by peer, each in order of the last announcement. */
export class ProviderRecords {
  #size = 0;
  readonly #records = new Slots();
  #keyOfRecord = new Int32Array(0);
  #peerOfRecord = new Int32Array(0);
  #storedAt = new Float64Array(0);

  readonly #keys = new Slots();
  readonly #byKey = new LinkedLists();
  #keyBytes = new Uint8Array(0);
  /** Keys with the same hash, one list for each hash. */
  #buckets = new LinkedLists();
  #bucketCount = 1024;
  #keyCount = 0;

  readonly #peerSlots = new Slots();
  readonly #byPeer = new LinkedLists();
  readonly #peers = new Map<string, KnownPeer>();
  readonly #peerAt: (KnownPeer | undefined)[] = [];

  /** Number of records. */
  get size(): number {
    return this.#size;
  }

  /**
   * Notes an announcement. One of the same peer for the same key is replaced.
   *
   * @param key {@linkcode KEY_LENGTH} bytes.
   * @param peer Text of the peer ID.
   * @param storedAt Now; never less than in the call before.
   */
  put(key: Uint8Array, peer: string, storedAt: number): void {
    this.delete(key, peer);
    const record = this.#records.take();
    const keyIndex = this.#findKey(key) ?? this.#addKey(key);
    const known = this.#peers.get(peer) ?? this.#addPeer(peer);
    this.#keyOfRecord = grown(this.#keyOfRecord, record + 1);
    this.#peerOfRecord = grown(this.#peerOfRecord, record + 1);
    this.#storedAt = grown(this.#storedAt, record + 1);
    this.#keyOfRecord[record] = keyIndex;
    this.#peerOfRecord[record] = known.index;
    this.#storedAt[record] = storedAt;
    this.#byKey.append(keyIndex, record);
    this.#byPeer.append(known.index, record);
    known.count += 1;
    this.#size += 1;
  }

  /**
   * Removes a record.
   *
   * @param key The key.
   * @param peer Text of the peer ID.
   */
  delete(key: Uint8Array, peer: string): void {
    const record = this.#find(key, peer);
    if (record !== NONE) this.#remove(record);
  }

  /**
   * Tells when a record was announced.
   *
   * @param key The key.
   * @param peer Text of the peer ID.
   * @returns The time, or undefined if there is no such record.
   */
  storedAt(key: Uint8Array, peer: string): number | undefined {
    const record = this.#find(key, peer);
    return record === NONE ? undefined : this.#storedAt[record];
  }

  /**
   * The records of a key.
   *
   * @param key The key.
   * @returns Those announced earliest first.
   */
  of(key: Uint8Array): ProviderRecord[] {
    const found: ProviderRecord[] = [];
    const keyIndex = this.#findKey(key);
    if (keyIndex === undefined) return found;
    for (const record of items(this.#byKey, keyIndex)) {
      const peer = this.#peerAt[this.#peerOfRecord[record]!]!.name;
      found.push({ peer, storedAt: this.#storedAt[record]! });
    }
    return found;
  }

  /** All keys that have a record. */
  *keys(): Generator<Uint8Array> {
    for (let bucket = 0; bucket < this.#bucketCount; bucket++) {
      for (const index of [...items(this.#buckets, bucket)]) yield this.#keyAt(index).slice();
    }
  }

  /**
   * Removes records that were announced before a time.
   *
   * @param time The time.
   */
  deleteBefore(time: number): void {
    for (const peer of [...this.#peers.keys()]) this.deleteOf(peer, time);
  }

  /**
   * Removes records of one peer that were announced before a time.
   *
   * @param peer Text of the peer ID.
   * @param time The time.
   */
  deleteOf(peer: string, time: number): void {
    const known = this.#peers.get(peer);
    if (known === undefined) return;
    for (const record of items(this.#byPeer, known.index)) {
      if (this.#storedAt[record]! >= time) return; // And so are all that were announced later.
      this.#remove(record);
    }
  }

  /** Removes the oldest record of the peer that has most. */
  deleteOldestOfGreatest(): void {
    let greatest: KnownPeer | undefined;
    for (const peer of this.#peers.values()) {
      if (greatest === undefined || peer.count > greatest.count) greatest = peer;
    }
    if (greatest !== undefined) this.#remove(this.#byPeer.first(greatest.index));
  }

  #find(key: Uint8Array, peer: string): number {
    const known = this.#peers.get(peer);
    const keyIndex = known === undefined ? undefined : this.#findKey(key);
    if (known === undefined || keyIndex === undefined) return NONE;
    for (const record of items(this.#byKey, keyIndex)) {
      if (this.#peerOfRecord[record] === known.index) return record;
    }
    return NONE;
  }

  #remove(record: number): void {
    const keyIndex = this.#keyOfRecord[record]!;
    const known = this.#peerAt[this.#peerOfRecord[record]!]!;
    this.#byKey.remove(keyIndex, record);
    this.#byPeer.remove(known.index, record);
    this.#records.give(record);
    this.#size -= 1;
    if (this.#byKey.first(keyIndex) === NONE) this.#removeKey(keyIndex);
    known.count -= 1;
    if (known.count > 0) return;
    this.#peers.delete(known.name);
    this.#peerAt[known.index] = undefined;
    this.#peerSlots.give(known.index);
  }

  #addPeer(name: string): KnownPeer {
    const known = { name, index: this.#peerSlots.take(), count: 0 };
    this.#peers.set(name, known);
    this.#peerAt[known.index] = known;
    return known;
  }

  #keyAt(index: number): Uint8Array {
    return this.#keyBytes.subarray(index * KEY_LENGTH, (index + 1) * KEY_LENGTH);
  }

  /** The keys are digests: any of their bytes are a hash. */
  #bucketOf(bytes: Uint8Array, at: number): number {
    return (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16) % this.#bucketCount;
  }

  #findKey(key: Uint8Array): number | undefined {
    const bytes = this.#keyBytes;
    for (const index of items(this.#buckets, this.#bucketOf(key, 0))) {
      const at = index * KEY_LENGTH;
      let same = 0;
      while (same < KEY_LENGTH && bytes[at + same] === key[same]) same++;
      if (same === KEY_LENGTH) return index;
    }
    return undefined;
  }

  #addKey(key: Uint8Array): number {
    const index = this.#keys.take();
    this.#keyBytes = grown(this.#keyBytes, (index + 1) * KEY_LENGTH);
    this.#keyBytes.set(key, index * KEY_LENGTH);
    this.#keyCount += 1;
    if (this.#keyCount > 2 * this.#bucketCount) this.#rehash();
    this.#buckets.append(this.#bucketOf(key, 0), index);
    return index;
  }

  #removeKey(index: number): void {
    this.#buckets.remove(this.#bucketOf(this.#keyBytes, index * KEY_LENGTH), index);
    this.#keys.give(index);
    this.#keyCount -= 1;
  }

  #rehash(): void {
    const all: number[] = [];
    for (let bucket = 0; bucket < this.#bucketCount; bucket++) {
      all.push(...items(this.#buckets, bucket));
    }
    this.#bucketCount *= 4;
    this.#buckets = new LinkedLists();
    for (const index of all) {
      this.#buckets.append(this.#bucketOf(this.#keyBytes, index * KEY_LENGTH), index);
    }
  }
}

/** Items of a list; the one that was yielded may be removed. */
function* items(lists: LinkedLists, list: number): Generator<number> {
  for (let item = lists.first(list); item !== NONE;) {
    const next = lists.next(item);
    yield item;
    item = next;
  }
}
