import assert from "node:assert/strict";
import { silentLogger } from "../../../../lib/observability/logger.ts";
import { REPLICATION } from "../../../../lib/routing/libp2p/dht.ts";
import { closest, type Positioned } from "../../../../lib/routing/libp2p/keyspace.ts";
import { RECORD_VALIDITY_MS } from "../../../../lib/routing/libp2p/create_node.ts";
import {
  keyspacePosition,
  type ProviderKey,
  providerKey,
} from "../../../../lib/routing/libp2p/provider_key.ts";
import {
  BATCH_SIZE,
  MAX_PEERS_FOR_CATCH_UP,
  networkSize,
  PUBLISH_ATTEMPTS,
  PUBLISH_CONCURRENCY,
  PUBLISH_RETRY_MS,
  Publisher,
  REGION_TTL_MS,
  REPUBLISH_JITTER,
  REPUBLISH_MS,
  REPUBLISH_TICK_MS,
} from "../../../../lib/routing/libp2p/publisher.ts";
import type { Telling } from "../../../../lib/routing/libp2p/telling.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";

interface Sent {
  readonly peer: string;
  readonly at: number;
  readonly texts: readonly string[];
  /** The same in short: marks, `+` before what is announced, `-` before what is withdrawn. */
  readonly telling: string;
}

function peersOf(count: number, first = 0): Positioned[] {
  return Array.from({ length: count }, (_, index) => {
    const id = `peer ${first + index}`;
    return { id, position: keyspacePosition(new TextEncoder().encode(id)) };
  });
}

function keysOf(count: number, name = "key"): ProviderKey[] {
  return Array.from({ length: count }, (_, index) => providerKey(`${name} ${index}`));
}

function textsOf(keys: readonly ProviderKey[]): string[] {
  return keys.map(({ text }) => text);
}

function inShort({ begins, announced, withdrawn, ends }: Telling): string {
  return [
    ...begins ? ["("] : [],
    ...textsOf(announced).sort().map((text) => `+${text}`),
    ...textsOf(withdrawn).sort().map((text) => `-${text}`),
    ...ends ? [")"] : [],
  ].join(" ");
}

/** A publisher in a network that a test controls. */
function publisherIn(peers: Positioned[], random = () => 0) {
  const clock = new FakeClock();
  const sent: Sent[] = [];
  const walks: string[] = [];
  const network = {
    /** What a peer does to a batch. Default: takes it. */
    take: (_peer: string): Promise<void> => Promise.resolve(),
    /** What a walk finds. */
    walk: (_key: ProviderKey): Promise<readonly Positioned[]> => Promise.resolve([]),
  };
  const publisher = new Publisher({
    network: {
      peers: () => peers,
      closestPeers: (key) => {
        walks.push(key.text);
        return network.walk(key);
      },
      send: async (peer, telling) => {
        await network.take(peer);
        const texts = textsOf(telling.announced);
        sent.push({ peer, at: clock.now(), texts, telling: inShort(telling) });
      },
    },
    log: silentLogger,
    now: clock.now,
    sleep: clock.sleep,
    random,
  });
  const running = publisher.run();
  return {
    clock,
    sent,
    walks,
    network,
    publisher,
    /** All that a peer was told, batch by batch. */
    tellings: (peer: string) =>
      sent.filter((batch) => batch.peer === peer).map(({ telling }) => telling),
    /** Texts that were announced to a peer, in order. */
    told: (peer: string) =>
      sent.filter((batch) => batch.peer === peer).flatMap(({ texts }) => texts),
    [Symbol.asyncDispose]: async () => {
      publisher.stop();
      await running;
    },
  };
}

Deno.test("Publisher tells every peer of a small network every key, in batches", async () => {
  const peers = peersOf(REPLICATION);
  await using it = publisherIn(peers);
  const keys = keysOf(2 * BATCH_SIZE + 1);
  it.publisher.add(keys);
  await settle();
  for (const { id } of peers) assert.deepEqual(new Set(it.told(id)), new Set(textsOf(keys)));
  assert.equal(it.sent.length, 3 * peers.length);
  assert.equal(Math.max(...it.sent.map(({ texts }) => texts.length)), BATCH_SIZE);
  assert.deepEqual(it.walks, [], "nobody has to be looked for");
  assert.equal(it.publisher.backlog, 0);
  assert.equal(it.publisher.size, keys.length);
});

Deno.test("Publisher tells a limited number of peers at a time, each one batch at a time", async () => {
  await using it = publisherIn(peersOf(REPLICATION));
  const running = new Map<string, number>();
  let most = 0;
  const turns: (() => void)[] = [];
  it.network.take = async (peer) => {
    assert(!running.has(peer), "one batch at a time");
    running.set(peer, 1);
    most = Math.max(most, running.size);
    await new Promise<void>((resolve) => turns.push(resolve));
    running.delete(peer);
  };
  it.publisher.add(keysOf(2 * BATCH_SIZE));
  await settle();
  assert.equal(it.publisher.backlog, REPLICATION * 2 * BATCH_SIZE);
  while (turns.length > 0) {
    turns.shift()!();
    await settle();
  }
  assert.equal(most, PUBLISH_CONCURRENCY);
  assert.equal(it.publisher.backlog, 0);
});

Deno.test("Publisher tells all peers a new key before the rest of a backlog", async () => {
  const peers = peersOf(REPLICATION);
  await using it = publisherIn(peers);
  const turns: (() => void)[] = [];
  it.network.take = () => new Promise<void>((resolve) => turns.push(resolve));
  it.publisher.add(keysOf(20 * BATCH_SIZE, "old"));
  await settle();
  it.publisher.add(keysOf(1, "new"));
  await settle();
  while (turns.length > 0) {
    turns.shift()!();
    await settle();
  }
  for (const { id } of peers) {
    const position = it.sent.filter(({ peer }) => peer === id)
      .findIndex(({ texts }) => texts.includes("new 0"));
    // At most the batch that was on its way is before it.
    assert(position <= 1, `${id} is told in batch ${position}`);
  }
  const last = it.sent.findLastIndex(({ texts }) => texts.includes("new 0"));
  assert(last < 2 * REPLICATION + PUBLISH_CONCURRENCY, `the last peer is told in batch ${last}`);
});

Deno.test("Publisher.add() of many thousands of keys gets all of them to all peers", async () => {
  const peers = peersOf(REPLICATION);
  await using it = publisherIn(peers);
  const keys = keysOf(30_000);
  it.publisher.add(keys);
  while (it.publisher.backlog > 0 || it.sent.length === 0) await settle();
  for (const { id } of peers) {
    const told = it.told(id);
    assert.equal(told.length, keys.length);
    assert.equal(new Set(told).size, keys.length);
  }
});

Deno.test("Publisher tries a batch again that a peer did not take, with growing pauses", async () => {
  await using it = publisherIn(peersOf(1));
  const tries: number[] = [];
  it.network.take = () => {
    tries.push(it.clock.now());
    return tries.length < 4 ? Promise.reject(new Error("busy")) : Promise.resolve();
  };
  it.publisher.add(keysOf(3));
  await it.clock.advance(10 * PUBLISH_RETRY_MS);
  assert.deepEqual(tries, [0, 1, 3, 7].map((pauses) => pauses * PUBLISH_RETRY_MS));
  assert.deepEqual(it.told("peer 0").sort(), textsOf(keysOf(3)));
  assert.equal(it.publisher.backlog, 0);
});

Deno.test("a peer that never takes anything is given up until the next round, and holds up nobody", async () => {
  await using it = publisherIn(peersOf(PUBLISH_CONCURRENCY + 1));
  const tries = new Map<string, number>();
  it.network.take = (peer) => {
    tries.set(peer, (tries.get(peer) ?? 0) + 1);
    return peer === "peer 8" ? Promise.resolve() : Promise.reject(new Error("no"));
  };
  it.publisher.add(keysOf(BATCH_SIZE + 1));
  await settle();
  assert.equal(it.told("peer 8").length, BATCH_SIZE + 1);
  await it.clock.advance(2 ** PUBLISH_ATTEMPTS * PUBLISH_RETRY_MS);
  assert.equal(it.publisher.backlog, 0);
  assert.equal(tries.get("peer 0"), PUBLISH_ATTEMPTS);
  await it.clock.advance(REPUBLISH_MS);
  assert(tries.get("peer 0")! > PUBLISH_ATTEMPTS, "the next round tries again");
});

Deno.test("Publisher tells keys again before their records expire, at times spread by chance", async () => {
  let draws = 0;
  await using it = publisherIn(peersOf(1), () => (draws++ % 10) / 10);
  it.publisher.add(keysOf(10));
  await it.clock.advance(REPUBLISH_MS + REPUBLISH_TICK_MS);
  const again = it.sent.filter(({ at }) => at > 0);
  assert.equal(again.flatMap(({ texts }) => texts).length, 10);
  assert.equal(again.length, 10, "each at another time");
  const [first, last] = [again.at(0)!.at, again.at(-1)!.at];
  assert(
    first >= REPUBLISH_MS * (1 - REPUBLISH_JITTER) && last <= REPUBLISH_MS + REPUBLISH_TICK_MS,
  );
  assert(last + REPUBLISH_TICK_MS < RECORD_VALIDITY_MS);
});

Deno.test("Publisher keeps telling, round after round, and no key is ever older than its validity", async () => {
  await using it = publisherIn(peersOf(1), Math.random);
  it.publisher.add(keysOf(20));
  await it.clock.advance(10 * REPUBLISH_MS);
  for (const text of textsOf(keysOf(20))) {
    const times = it.sent.filter(({ texts }) => texts.includes(text)).map(({ at }) => at);
    assert(times.length >= 9);
    times.reduce((before, at) => {
      assert(at - before < RECORD_VALIDITY_MS, `${at - before} ms between announcements`);
      return at;
    });
  }
});

Deno.test("Publisher.peerAdded() tells a new peer what is announced already, and only that peer", async () => {
  const peers = peersOf(2);
  await using it = publisherIn(peers);
  it.publisher.add(keysOf(5));
  await settle();
  const [added] = peersOf(1, 2);
  peers.push(added!);
  it.publisher.peerAdded(added!);
  await settle();
  assert.deepEqual(it.told("peer 2").sort(), textsOf(keysOf(5)));
  assert.equal(it.told("peer 0").length, 5);
});

Deno.test("keys that are added while no peer is known are told to the first one that comes", async () => {
  const peers: Positioned[] = [];
  await using it = publisherIn(peers);
  it.publisher.add(keysOf(3));
  await settle();
  peers.push(...peersOf(1));
  it.publisher.peerAdded(peers[0]!);
  await settle();
  assert.equal(it.told("peer 0").length, 3);
});

Deno.test("Publisher.remove() takes keys out of the backlog, the rounds and what new peers are told", async () => {
  const peers = peersOf(1);
  await using it = publisherIn(peers);
  it.network.take = () => new Promise(() => {}); // The first batch stays on its way.
  const keys = keysOf(BATCH_SIZE + 10);
  it.publisher.add(keys);
  await settle();
  it.publisher.remove(["key 0", "key 1", "never there"]);
  assert.equal(it.publisher.backlog, keys.length - 2);
  assert.equal(it.publisher.size, keys.length - 2);
  it.network.take = () => Promise.resolve();
  const [added] = peersOf(1, 1);
  peers.push(added!);
  it.publisher.peerAdded(added!);
  await it.clock.advance(2 * REPUBLISH_MS);
  const told = new Set(it.told("peer 1"));
  assert.equal(told.size, keys.length - 2);
  assert(!told.has("key 0") && !told.has("key 1"));
});

Deno.test("a key that is withdrawn before its peers are known is not told", async () => {
  for (const count of [1, REPLICATION + 10]) {
    await using it = publisherIn(peersOf(count));
    it.publisher.add(keysOf(2));
    it.publisher.remove(["key 0"]);
    await settle();
    assert.deepEqual(new Set(it.sent.flatMap(({ texts }) => texts)), new Set(["key 1"]));
  }
});

Deno.test("Publisher.remove() tells those who were told the keys, once", async () => {
  const peers = peersOf(2);
  await using it = publisherIn(peers);
  it.publisher.add(keysOf(2));
  await settle();
  it.publisher.remove(["key 0", "never there"]);
  it.publisher.remove(["key 0"]);
  await settle();
  for (const { id } of peers) assert.deepEqual(it.tellings(id), ["+key 0 +key 1", "-key 0"]);
  assert.equal(it.publisher.backlog, 0);
});

Deno.test("a withdrawal that a peer did not take is told again", async () => {
  await using it = publisherIn(peersOf(1));
  it.publisher.add(keysOf(1));
  await settle();
  it.network.take = () => Promise.reject(new Error("busy"));
  it.publisher.remove(["key 0"]);
  await settle();
  it.network.take = () => Promise.resolve();
  await it.clock.advance(PUBLISH_RETRY_MS);
  assert.deepEqual(it.tellings("peer 0"), ["+key 0", "-key 0"]);
});

Deno.test("a key that is withdrawn while its announcement is on its way is withdrawn afterwards", async () => {
  await using it = publisherIn(peersOf(1));
  const turns: (() => void)[] = [];
  it.network.take = () => new Promise<void>((resolve) => turns.push(resolve));
  it.publisher.add(keysOf(1));
  await settle();
  it.publisher.remove(["key 0"]);
  await settle();
  turns.shift()!();
  await settle();
  turns.shift()!();
  await settle();
  assert.deepEqual(it.tellings("peer 0"), ["+key 0", "-key 0"]);
});

Deno.test("a key of a large network is withdrawn from its closest peers only", async () => {
  const peers = peersOf(REPLICATION + 20);
  await using it = publisherIn(peers);
  const [key] = keysOf(1);
  it.publisher.add([key!]);
  await settle();
  it.publisher.remove([key!.text]);
  await settle();
  const near = new Set(closest(key!.position, peers, REPLICATION).map(({ id }) => id));
  for (const { id } of peers) {
    assert.deepEqual(it.tellings(id), near.has(id) ? ["+key 0", "-key 0"] : [], id);
  }
});

Deno.test("a peer that comes is told all keys between two marks, however many batches they take", async () => {
  const peers: Positioned[] = [];
  await using it = publisherIn(peers);
  const keys = keysOf(2 * BATCH_SIZE + 1);
  it.publisher.add(keys);
  await settle();
  peers.push(...peersOf(1));
  it.publisher.peerAdded(peers[0]!);
  await settle();
  const tellings = it.tellings("peer 0");
  assert.equal(tellings.length, 3);
  assert.deepEqual(tellings.map((text) => text.startsWith("( ")), [true, false, false]);
  assert.deepEqual(tellings.map((text) => text.endsWith(" )")), [false, false, true]);
  assert.deepEqual(new Set(it.told("peer 0")), new Set(textsOf(keys)));
  it.publisher.add(keysOf(1, "later"));
  await settle();
  assert.deepEqual(it.tellings("peer 0").slice(3), ["+later 0"]);
});

Deno.test("a peer that comes before the first keys is told that these are all, be it none", async () => {
  for (const count of [0, 2]) {
    const peers = peersOf(1);
    await using it = publisherIn(peers);
    it.publisher.peerAdded(peers[0]!);
    await it.clock.advance(REPUBLISH_TICK_MS);
    assert.deepEqual(it.sent, [], "nobody knows yet what there is");
    it.publisher.add(keysOf(count));
    await settle();
    assert.deepEqual(it.tellings("peer 0"), count === 0 ? ["( )"] : ["( +key 0 +key 1", ")"]);
  }
});

Deno.test("a peer that comes again while it is being told is told all anew", async () => {
  const peers = peersOf(1);
  await using it = publisherIn(peers);
  const turns: (() => void)[] = [];
  it.publisher.add(keysOf(2));
  await settle();
  it.network.take = () => new Promise<void>((resolve) => turns.push(resolve));
  it.publisher.peerAdded(peers[0]!);
  await settle();
  it.publisher.peerAdded(peers[0]!);
  await settle();
  assert.equal(turns.length, 1, "one batch at a time");
  turns.shift()!();
  await settle();
  turns.shift()!();
  await settle();
  const all = "( +key 0 +key 1 )";
  assert.deepEqual(it.tellings("peer 0"), ["+key 0 +key 1", all, all]);
});

Deno.test("what a peer did not take is told anew with the marks that belong to it", async () => {
  const peers = peersOf(1);
  await using it = publisherIn(peers);
  it.publisher.add([]);
  await settle();
  it.network.take = () => Promise.reject(new Error("busy"));
  it.publisher.peerAdded(peers[0]!);
  await settle();
  it.network.take = () => Promise.resolve();
  await it.clock.advance(PUBLISH_RETRY_MS);
  assert.deepEqual(it.tellings("peer 0"), ["( )"]);
});

Deno.test("a key that is withdrawn and advertised anew is told again, though a batch with it is on its way", async () => {
  await using it = publisherIn(peersOf(1));
  const turns: (() => void)[] = [];
  it.network.take = () => new Promise<void>((resolve) => turns.push(resolve));
  it.publisher.add(keysOf(1));
  await settle();
  it.publisher.remove(["key 0"]);
  it.publisher.add(keysOf(1));
  await settle();
  turns.shift()!();
  await settle();
  assert.equal(turns.length, 1, "the second announcement is on its way");
  turns.shift()!();
  await settle();
  assert.deepEqual(it.told("peer 0"), ["key 0", "key 0"]);
});

Deno.test("Publisher.peerRemoved() forgets what a peer was to be told, and a peer that comes back is told all", async () => {
  const peers = peersOf(1);
  await using it = publisherIn(peers);
  let isAway = true;
  it.network.take = () => isAway ? Promise.reject(new Error("away")) : Promise.resolve();
  it.publisher.add(keysOf(5));
  await settle();
  const [peer] = peers.splice(0);
  it.publisher.peerRemoved(peer!.id);
  assert.equal(it.publisher.backlog, 0);
  isAway = false;
  peers.push(peer!);
  it.publisher.peerAdded(peer!);
  await it.clock.advance(10 * PUBLISH_RETRY_MS);
  assert.deepEqual(it.told(peer!.id).sort(), textsOf(keysOf(5)));
});

Deno.test("Publisher tells a key of a large network to its closest peers only, as walks find them", async () => {
  // A routing table: all that are near to this node, and a few of the others.
  const [self] = peersOf(1, 300);
  const everybody = closest(self!.position, peersOf(300), 300);
  const known = everybody.filter((_, index) => index < 2 * REPLICATION || index % 10 === 0);
  await using it = publisherIn(known);
  it.network.walk = (key) => Promise.resolve(closest(key.position, everybody, REPLICATION));
  const keys = keysOf(200);
  it.publisher.add(keys);
  await settle();
  const holders = Map.groupBy(
    it.sent.flatMap(({ peer, texts }) => texts.map((text) => ({ peer, text }))),
    ({ text }) => text,
  );
  let found = 0;
  for (const key of keys) {
    const told = holders.get(key.text)!.map(({ peer }) => peer);
    assert.equal(new Set(told).size, REPLICATION);
    const wanted = closest(key.position, everybody, REPLICATION).map(({ id }) => id);
    found += told.filter((peer) => wanted.includes(peer)).length;
  }
  // With a walk for each end of a region not all of the closest are known, but nearly.
  assert(found > 0.9 * keys.length * REPLICATION, `${found} of ${keys.length * REPLICATION}`);
  assert(it.walks.length < keys.length / 2, `${it.walks.length} walks`);
});

Deno.test("keys get to nearly all of their closest peers, though few walks are made for them", async () => {
  const [self, ...everybody] = peersOf(1001) as [Positioned, ...Positioned[]];
  // As after a while in a network of this size: all peers nearby, and some of the rest.
  const table = closest(self.position, everybody, everybody.length)
    .filter((_, index) => index < REPLICATION || index % 4 === 0);
  const keys = keysOf(1000);
  await using it = publisherIn(table);
  it.network.walk = (key) => Promise.resolve(closest(key.position, everybody, REPLICATION));
  it.publisher.add(keys);
  await settle();
  const told = new Map(everybody.map(({ id }) => [id, new Set(it.told(id))]));
  const reached = keys.flatMap(({ text, position }) =>
    closest(position, everybody, REPLICATION).filter(({ id }) => told.get(id)!.has(text))
  );
  const share = reached.length / (keys.length * REPLICATION);
  assert(share > 0.98, `${share} of the records`);
  assert(it.walks.length < keys.length / 5, `${it.walks.length} walks`);
});

Deno.test("Publisher walks to a region once for a while, and anew when a peer came", async () => {
  const peers = peersOf(REPLICATION + 1);
  await using it = publisherIn(peers);
  const key = () => [providerKey("key")];
  it.publisher.add(key());
  await settle();
  it.publisher.add(key());
  await it.clock.advance(REGION_TTL_MS - 1);
  assert.equal(it.walks.length, 1);
  it.publisher.add(key());
  await it.clock.advance(1);
  assert.equal(it.walks.length, 1);
  it.publisher.add(key());
  await settle();
  assert.equal(it.walks.length, 2);
  peers.push(...peersOf(1, REPLICATION + 1));
  it.publisher.peerAdded(peers.at(-1)!);
  it.publisher.add(key());
  await settle();
  assert.equal(it.walks.length, 3);
});

Deno.test("Publisher goes on with the peers it knows where a walk fails", async () => {
  await using it = publisherIn(peersOf(30));
  it.network.walk = () => Promise.reject(new Error("no way"));
  it.publisher.add(keysOf(3));
  await settle();
  assert.equal(it.sent.flatMap(({ texts }) => texts).length, 3 * REPLICATION);
});

Deno.test("a new peer of a large network is told only what belongs to it", async () => {
  const peers = peersOf(100);
  await using it = publisherIn(peers);
  const keys = keysOf(200);
  it.publisher.add(keys);
  await settle();
  const [added] = peersOf(1, 100);
  peers.push(added!);
  it.publisher.peerAdded(added!);
  await settle();
  const belongs = keys.filter(({ position }) =>
    closest(position, peers, REPLICATION).some(({ id }) => id === added!.id)
  );
  assert(belongs.length > 0 && belongs.length < keys.length);
  assert.deepEqual(it.told(added!.id).sort(), textsOf(belongs).sort());
});

Deno.test("in a very large network a new peer waits for the next round", async () => {
  const peers = peersOf(MAX_PEERS_FOR_CATCH_UP + 1);
  await using it = publisherIn(peers);
  it.publisher.add(keysOf(50));
  await settle();
  const before = it.sent.length;
  it.publisher.peerAdded(peers.at(-1)!);
  await settle();
  assert.equal(it.sent.length, before);
});

Deno.test("Publisher.stop() ends everything", async () => {
  const it = publisherIn(peersOf(3));
  it.network.take = () => Promise.reject(new Error("no"));
  it.publisher.add(keysOf(5));
  await settle();
  await it[Symbol.asyncDispose]();
  await settle();
  assert.equal(it.clock.sleepers, 0);
  assert.equal(it.publisher.backlog, 0);
  it.network.take = () => Promise.resolve();
  it.publisher.add(keysOf(5));
  await settle();
  assert.deepEqual(it.sent, []);
});

Deno.test("networkSize() tells a small network exactly and a large one about right", () => {
  assert.equal(networkSize([]), 1);
  assert.equal(networkSize(peersOf(7)), 7);
  const self = keyspacePosition(new TextEncoder().encode("self"));
  for (const count of [100, 1000, 10_000]) {
    const everybody = closest(self, peersOf(count), count);
    assert(networkSize(everybody) >= count);
    // What a routing table holds: all that are near, and some of the others.
    const estimate = networkSize(everybody.slice(0, REPLICATION));
    assert(estimate >= count / 8 && estimate <= count * 8, `${estimate} for ${count}`);
  }
});
