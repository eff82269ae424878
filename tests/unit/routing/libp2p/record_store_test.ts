import assert from "node:assert/strict";
import { Key, type Query } from "interface-datastore";
import { base32 } from "multiformats/bases/base32";
import {
  digestOf as multihashDigest,
  providerKey as keyOf,
} from "../../../../lib/routing/libp2p/provider_key.ts";
import {
  MAX_OTHER_ENTRY_BYTES,
  MAX_ROUNDS,
  RecordStore,
  type RecordStoreOptions,
} from "../../../../lib/routing/libp2p/record_store.ts";
import { makePeerId } from "../../support/peer_ids.ts";

const VALIDITY = 1000;
const self = await makePeerId(0);
const [a, b, c] = (await Promise.all([1, 2, 3].map(makePeerId))).map(String) as [
  string,
  string,
  string,
];

function storeOf(options: Partial<RecordStoreOptions> = {}) {
  let time = 5000;
  const store = new RecordStore({ self, validity: VALIDITY, now: () => time, ...options });
  return { store, advance: (ms: number) => void (time += ms) };
}

/** Name of a key in records. */
function nameOf(text: string): string {
  return keyOf(text).recordName;
}

function digestOf(text: string): Uint8Array {
  return multihashDigest(keyOf(text).multihash)!;
}

function providerKey(text: string, peer: string): Key {
  return new Key(`/dht/provider/${nameOf(text)}/${peer}`);
}

/** Puts as `@libp2p/kad-dht` does; it is the key that counts. */
function announce(store: RecordStore, text: string, peer: string): void {
  store.put(providerKey(text, peer), new Uint8Array(6));
}

function peersOf(store: RecordStore, text: string): string[] {
  return store.providersOf(nameOf(text)).map(({ peer }) => peer);
}

function namesIn(store: RecordStore, query: Query): string[] {
  return [...store.query(query)].map(({ key }) => key.toString());
}

/** The time in a record's value, which is a varint of milliseconds. */
function timeIn(value: Uint8Array): number {
  return value.reduceRight((sum, byte) => sum * 128 + (byte & 127), 0);
}

Deno.test("RecordStore.providersOf() yields who announced a key, in order of announcement", () => {
  const { store, advance } = storeOf();
  announce(store, "one", a);
  advance(10);
  announce(store, "one", b);
  announce(store, "two", c);
  assert.deepEqual(store.providersOf(nameOf("one")), [
    { peer: a, storedAt: 5000 },
    { peer: b, storedAt: 5010 },
  ]);
  assert.deepEqual(store.providersOf(nameOf("none")), []);
  assert.equal(store.providerRecords, 3);
});

Deno.test("RecordStore.removeProvider() takes back the record of one peer", () => {
  const { store } = storeOf();
  announce(store, "one", a);
  announce(store, "one", b);
  store.removeProvider(digestOf("one"), a);
  store.removeProvider(digestOf("never there"), a);
  assert.deepEqual(peersOf(store, "one"), [b]);
});

Deno.test("a peer that has told all its keys loses the records of those that are not among them", () => {
  const { store, advance } = storeOf();
  for (const text of ["one", "two"]) announce(store, text, a);
  announce(store, "two", b);
  advance(10);
  store.beginRound(a);
  announce(store, "one", a);
  assert.deepEqual(peersOf(store, "two"), [a, b], "it may still be told");
  advance(10);
  announce(store, "three", a);
  store.endRound(a);
  assert.deepEqual(peersOf(store, "one"), [a]);
  assert.deepEqual(peersOf(store, "two"), [b]);
  assert.deepEqual(peersOf(store, "three"), [a]);
});

Deno.test("the end of all keys of a peer means nothing without their beginning", () => {
  const { store, advance } = storeOf();
  announce(store, "one", a);
  advance(10);
  store.endRound(a);
  store.beginRound(b);
  store.endRound(a);
  assert.deepEqual(peersOf(store, "one"), [a]);
  store.beginRound(a);
  store.endRound(a);
  assert.deepEqual(peersOf(store, "one"), []);
});

Deno.test("RecordStore bounds the number of peers that are telling all their keys", () => {
  const { store, advance } = storeOf();
  announce(store, "one", a);
  advance(10);
  store.beginRound(a);
  for (let number = 0; number < MAX_ROUNDS; number++) store.beginRound(`peer ${number}`);
  store.endRound(a);
  assert.deepEqual(peersOf(store, "one"), [a], "its beginning was forgotten");
});

Deno.test("a record that is announced again counts once and is the latest", () => {
  const { store, advance } = storeOf();
  announce(store, "one", a);
  announce(store, "one", b);
  advance(10);
  announce(store, "one", a);
  assert.deepEqual(store.providersOf(nameOf("one")), [
    { peer: b, storedAt: 5000 },
    { peer: a, storedAt: 5010 },
  ]);
  assert.equal(store.providerRecords, 2);
});

Deno.test("a record is never answered after its validity, in no way of asking", () => {
  const { store, advance } = storeOf();
  announce(store, "one", a);
  advance(VALIDITY - 1);
  assert.deepEqual(peersOf(store, "one"), [a]);
  assert(store.has(providerKey("one", a)));
  advance(1);
  assert.deepEqual(peersOf(store, "one"), []);
  assert.deepEqual(namesIn(store, { prefix: `/dht/provider/${nameOf("one")}` }), []);
  assert(!store.has(providerKey("one", a)));
  assert.throws(() => store.get(providerKey("one", a)), { name: "NotFoundError" });
});

Deno.test("expired records are removed from memory", () => {
  const { store, advance } = storeOf();
  for (let i = 0; i < 50; i++) announce(store, `old-${i}`, a);
  advance(61_000);
  announce(store, "new", b);
  assert.equal(store.providerRecords, 1);
});

Deno.test("the system's clock neither expires records nor keeps them", () => {
  const { store, advance } = storeOf();
  const { now } = Date;
  const start = now();
  const day = 24 * 60 * 60 * 1000;
  try {
    announce(store, "one", a);
    advance(100);
    for (const step of [day, -day]) {
      Date.now = () => start + step;
      assert.deepEqual(peersOf(store, "one"), [a]);
      // What kad-dht reads is the age, told by the clock as it is then.
      assert.equal(timeIn(store.get(providerKey("one", a))), start + step - 100);
    }
    advance(VALIDITY);
    assert.deepEqual(peersOf(store, "one"), []);
  } finally {
    Date.now = now;
  }
});

Deno.test("RecordStore.query() answers kad-dht's question for the providers of one key", () => {
  const { store } = storeOf();
  announce(store, "one", a);
  announce(store, "one", b);
  announce(store, "oneandmore", c);
  store.addOwn(nameOf("one"));
  // As kad-dht asks, without a slash at the end.
  const pairs = [...store.query({ prefix: `/dht/provider/${nameOf("one")}` })];
  assert.deepEqual(
    pairs.map(({ key }) => key.toString()),
    [`${self}`, a, b].map((peer) => `/dht/provider/${nameOf("one")}/${peer}`),
  );
  assert(pairs.every(({ value }) => Math.abs(timeIn(value) - Date.now()) < 60_000));
});

Deno.test("RecordStore.query() walks all records and entries by prefix, order, filter, offset and limit", () => {
  const { store } = storeOf();
  announce(store, "one", a);
  store.addOwn(nameOf("two"));
  for (const name of ["/peers/3", "/peers/1", "/peers/2"]) {
    store.put(new Key(name), Uint8Array.from([Number(name.at(-1))]));
  }
  assert.deepEqual(
    namesIn(store, { prefix: "/dht/provider" }).sort(),
    [`${providerKey("one", a)}`, `${providerKey("two", `${self}`)}`].sort(),
  );
  assert.deepEqual(namesIn(store, {}).length, 5);
  const orders = [
    (x: { key: Key }, y: { key: Key }) => x.key.toString() < y.key.toString() ? -1 : 1,
  ];
  assert.deepEqual(namesIn(store, { prefix: "/peers/", orders }), [
    "/peers/1",
    "/peers/2",
    "/peers/3",
  ]);
  assert.deepEqual(namesIn(store, { prefix: "/peers/", orders, offset: 1, limit: 1 }), [
    "/peers/2",
  ]);
  assert.deepEqual(
    namesIn(store, { prefix: "/peers/", filters: [({ value }) => value[0] !== 2] }),
    ["/peers/3", "/peers/1"],
  );
  const keys = store.queryKeys({
    prefix: "/peers/",
    orders: [(x, y) => x.toString() < y.toString() ? -1 : 1],
    filters: [(key) => key.toString() !== "/peers/1"],
  });
  assert.deepEqual([...keys].map(String), ["/peers/2", "/peers/3"]);
});

Deno.test("own records neither expire nor count, and go when they are removed", () => {
  const { store, advance } = storeOf({ maxProviderRecords: 2 });
  store.addOwn(nameOf("own"));
  store.put(providerKey("put", `${self}`), new Uint8Array(6));
  for (let i = 0; i < 10; i++) announce(store, `k${i}`, a);
  advance(10 * VALIDITY);
  for (const name of ["own", "put"]) assert(store.has(providerKey(name, `${self}`)));
  assert.deepEqual(peersOf(store, "own"), [], "providersOf() is about other nodes");
  store.removeOwn(nameOf("own"));
  store.delete(providerKey("put", `${self}`));
  for (const name of ["own", "put"]) {
    assert(!store.has(providerKey(name, `${self}`)));
    assert.deepEqual(namesIn(store, { prefix: `/dht/provider/${nameOf(name)}` }), []);
  }
});

Deno.test("a node that announces without end loses its own oldest records, and others lose none", () => {
  const { store } = storeOf({ maxProviderRecords: 1000 });
  for (let i = 0; i < 100; i++) announce(store, `modest-${i}`, a);
  for (let i = 0; i < 100_000; i++) {
    announce(store, `flood-${i}`, b);
    assert(store.providerRecords <= 1000);
  }
  assert.deepEqual(peersOf(store, "modest-0"), [a]);
  assert.deepEqual(peersOf(store, "flood-99999"), [b]);
  assert.deepEqual(peersOf(store, "flood-0"), []);
  assert(store.providerRecords > 900, "no more is dropped than needed");
});

Deno.test("records of many nodes share the room", () => {
  const { store } = storeOf({ maxProviderRecords: 300 });
  for (let i = 0; i < 1000; i++) for (const peer of [a, b, c]) announce(store, `k${i}`, peer);
  const last = Array.from({ length: 90 }, (_, index) => peersOf(store, `k${999 - index}`).length);
  assert(last.every((count) => count === 3));
});

Deno.test("records of keys other than of sha2-256 are not held", () => {
  const { store } = storeOf();
  const sha512 = base32.baseEncode(Uint8Array.from([0x13, 64, ...new Uint8Array(64)]));
  for (const name of [sha512, "n".repeat(100_000), "NOT-BASE-32", ""]) {
    store.put(new Key(`/dht/provider/${name}/${a}`), new Uint8Array(6));
    assert.deepEqual(store.providersOf(name), []);
  }
  assert.equal(store.providerRecords, 0);
});

Deno.test("other entries are bounded in number and size; those written longest ago go first", () => {
  const { store } = storeOf({ maxOtherEntries: 100 });
  const name = (i: number) => new Key(`/peers/${i}`);
  for (let i = 0; i < 100; i++) store.put(name(i), new Uint8Array(1));
  store.put(name(0), new Uint8Array(2));
  store.put(name(100), new Uint8Array(1));
  assert([...store.query({})].length <= 100);
  assert(store.has(name(0)) && store.has(name(100)) && !store.has(name(1)));
  store.put(name(0), new Uint8Array(MAX_OTHER_ENTRY_BYTES + 1));
  assert.equal(store.get(name(0)).length, 2, "what is too large leaves the entry as it was");
});

Deno.test("the entry about the node itself is never driven out", () => {
  const { store } = storeOf({ maxOtherEntries: 10 });
  const own = new Key(`/peers/${self.toCID()}`);
  store.put(own, new Uint8Array(1));
  for (let i = 0; i < 1000; i++) store.put(new Key(`/peers/${i}`), new Uint8Array(1));
  assert(store.has(own));
  assert([...store.query({})].length <= 10);
});

Deno.test("values that other nodes put are not held", () => {
  const { store } = storeOf();
  store.put(new Key("/dht/record/key"), new Uint8Array(10));
  assert(!store.has(new Key("/dht/record/key")));
});

Deno.test("RecordStore does many and batched changes, as datastores do", async () => {
  const { store } = storeOf();
  const pairs = ["/peers/1", "/peers/2"].map((name) => ({
    key: new Key(name),
    value: Uint8Array.from([Number(name.at(-1))]),
  }));
  const keys = pairs.map(({ key }) => key);
  assert.deepEqual(await Array.fromAsync(store.putMany(pairs)), keys);
  assert.deepEqual(await Array.fromAsync(store.getMany(keys)), pairs);
  assert.deepEqual(await Array.fromAsync(store.deleteMany(keys)), keys);
  assert(keys.every((key) => !store.has(key)));
  const batch = store.batch();
  batch.put(pairs[0]!.key, pairs[0]!.value);
  batch.put(pairs[1]!.key, pairs[1]!.value);
  batch.delete(pairs[0]!.key);
  assert(!store.has(pairs[1]!.key), "nothing before the commit");
  await batch.commit();
  assert.deepEqual(keys.map((key) => store.has(key)), [false, true]);
});
