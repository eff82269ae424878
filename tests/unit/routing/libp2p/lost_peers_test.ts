import assert from "node:assert/strict";
import { multiaddr } from "@multiformats/multiaddr";
import { LostPeers, MAX_MISSED, MISSED_TTL_MS } from "../../../../lib/routing/libp2p/lost_peers.ts";

const ID = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
const ADDRESS = multiaddr("/ip4/10.0.0.2/tcp/5001");
const NOWHERE = () => false;

Deno.test("LostPeers looks for a peer where it was, under any identity, until its time is over", () => {
  let now = 1000;
  const lost = new LostPeers(() => now);
  lost.add(ID, [multiaddr(`/ip4/10.0.0.2/tcp/5001/p2p/${ID}`)]);
  now += 5;
  assert.deepEqual(lost.missed(NOWHERE).map(String), [String(ADDRESS)]);
  assert.deepEqual(lost.list(), [{ id: ID, addresses: ["10.0.0.2"], agoMs: 5 }]);
  now += MISSED_TTL_MS - 5;
  assert.deepEqual(lost.missed(NOWHERE), []);
  assert.deepEqual(lost.list(), []);
  assert.equal(lost.has(ID), true);
});

Deno.test("LostPeers forgets a peer that is there again, by identity or by address", () => {
  const lost = new LostPeers(() => 0);
  lost.add("one", [ADDRESS]);
  lost.add("two", [multiaddr("/ip4/10.0.0.3/tcp/5001")]);
  lost.delete("two");
  assert.equal(lost.has("two"), false);
  assert.deepEqual(lost.list().map(({ id }) => id), ["one"]);
  assert.deepEqual(lost.missed((address) => address.equals(ADDRESS)), []);
  assert.deepEqual(lost.list(), []);
});

Deno.test("LostPeers is bounded: who was lost first is forgotten first", () => {
  const lost = new LostPeers(() => 0);
  for (let peer = 0; peer < MAX_MISSED; peer++) lost.add(`peer-${peer}`, [ADDRESS]);
  lost.add("peer-0", [ADDRESS]); // Lost anew.
  lost.add("one more", [ADDRESS]);
  const ids = lost.list().map(({ id }) => id);
  assert.equal(ids.length, MAX_MISSED);
  assert(ids.includes("peer-0") && !ids.includes("peer-1"));
});
