import assert from "node:assert/strict";
import { digestOf, providerKey } from "../../../../lib/routing/libp2p/provider_key.ts";
import {
  type Mark,
  markKey,
  markOf,
  MAX_ORDERED_PEERS,
  TellingOrder,
} from "../../../../lib/routing/libp2p/telling.ts";

const EPOCH = "0123456789abcdef";

function batch(sequence: number, epoch = EPOCH): Mark {
  return { kind: "goes on", epoch, sequence };
}

Deno.test("a mark is a key like others, and is read from it", () => {
  for (const kind of ["begins", "goes on", "ends"] as const) {
    for (const sequence of [0, 1, 2 ** 40 + 3]) {
      const mark = { kind, epoch: EPOCH, sequence };
      const key = markKey(mark);
      assert.equal(key.length, providerKey("a").multihash.length);
      assert.deepEqual(markOf(digestOf(key)!), mark);
    }
  }
});

Deno.test("no other key is a mark, nor is one of a kind that is not known", () => {
  for (const text of ["", "kagami: a batch of keys", "docker.io/library/nginx:1.27"]) {
    assert.equal(markOf(digestOf(providerKey(text).multihash)!), undefined);
  }
  const digest = digestOf(markKey(batch(1)))!.slice();
  digest[15] = 9;
  assert.equal(markOf(digest), undefined);
});

Deno.test("TellingOrder takes a stream for stale once a newer batch has begun on another one", () => {
  const order = new TellingOrder();
  const [first, second] = [{}, {}];
  assert.equal(order.isStale("peer", first), false);
  order.begin("peer", batch(1), first);
  assert.equal(order.isStale("peer", first), false);
  order.begin("peer", batch(2), second);
  assert.equal(order.isStale("peer", first), true);
  assert.equal(order.isStale("peer", second), false);
  assert.equal(order.isStale("another peer", first), false);
  order.begin("peer", batch(3), first);
  assert.equal(order.isStale("peer", first), false);
  assert.equal(order.isStale("peer", second), true);
});

Deno.test("a node that was restarted counts anew, and what it sent before is stale", () => {
  const order = new TellingOrder();
  const [before, after] = [{}, {}];
  order.begin("peer", batch(500), before);
  order.begin("peer", batch(1, "fedcba9876543210"), after);
  assert.equal(order.isStale("peer", after), false);
  assert.equal(order.isStale("peer", before), true);
});

Deno.test("TellingOrder remembers a bounded number of peers, those that told last", () => {
  const order = new TellingOrder();
  const [first, second] = [{}, {}];
  order.begin("peer", batch(1), first);
  order.begin("peer", batch(2), second);
  for (let number = 1; number < MAX_ORDERED_PEERS; number++) {
    order.begin(`peer ${number}`, batch(1), {});
  }
  assert.equal(order.isStale("peer", first), true);
  order.begin("one more", batch(1), {});
  assert.equal(order.isStale("peer", first), false);
});
