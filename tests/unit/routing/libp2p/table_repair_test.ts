import assert from "node:assert/strict";
import { generateKeyPair } from "@libp2p/crypto/keys";
import type { PeerId } from "@libp2p/interface";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import {
  DHT_PROTOCOL,
  REPLICATION,
  type RoutingTable,
} from "../../../../lib/routing/libp2p/dht.ts";
import { addMissing, REPAIR_MS, repairTable } from "../../../../lib/routing/libp2p/table_repair.ts";

const NEVER = new AbortController().signal;

async function makePeer(): Promise<PeerId> {
  return peerIdFromPrivateKey(await generateKeyPair("Ed25519"));
}

/** A routing table that takes in whoever is not among the silent ones. */
function tableOf(peers: PeerId[], silent: readonly PeerId[] = []) {
  const table: RoutingTable = {
    get size() {
      return peers.length;
    },
    kb: { toIterable: () => peers.map((peerId) => ({ peerId, kadId: new Uint8Array(32) })) },
    add(peer) {
      if (silent.includes(peer)) return Promise.reject(new Error("no answer to a ping"));
      peers.push(peer);
      return Promise.resolve();
    },
    remove: () => Promise.resolve(),
    addEventListener() {},
    removeEventListener() {},
  };
  return table;
}

Deno.test("addMissing() adds connected peers that speak the protocol, and no others", async () => {
  const [known, missing, stranger] = [await makePeer(), await makePeer(), await makePeer()];
  const peers = [known];
  await addMissing({
    table: tableOf(peers),
    connected: () => [known, missing, stranger],
    protocols: (peer) => Promise.resolve(peer === stranger ? ["/ipfs/id/1.0.0"] : [DHT_PROTOCOL]),
  }, NEVER);
  assert.deepEqual(peers, [known, missing]);
});

Deno.test("addMissing() goes on after a peer that does not answer, and tries it again", async () => {
  const [busy, missing] = [await makePeer(), await makePeer()];
  const peers: PeerId[] = [];
  const silent = [busy];
  const options = {
    table: tableOf(peers, silent),
    connected: () => [busy, missing],
    protocols: () => Promise.resolve([DHT_PROTOCOL]),
  };
  await addMissing(options, NEVER);
  assert.deepEqual(peers, [missing]);
  silent.pop();
  await addMissing(options, NEVER);
  assert.deepEqual(peers, [missing, busy]);
});

Deno.test("addMissing() leaves a peer alone whose protocols are not known", async () => {
  const peers: PeerId[] = [];
  const peer = await makePeer();
  await addMissing({
    table: tableOf(peers),
    connected: () => [peer],
    protocols: () => Promise.reject(new Error("not found")),
  }, NEVER);
  assert.deepEqual(peers, []);
});

Deno.test("repairTable() walks ever less often while nothing changes, and often again after a change", async () => {
  const abort = new AbortController();
  const peers = [await makePeer()];
  const newcomer = await makePeer();
  const pauses: number[] = [];
  let walks = 0;
  await repairTable({
    table: tableOf(peers),
    connected: () => walks === 3 ? [newcomer] : [],
    protocols: () => Promise.resolve([DHT_PROTOCOL]),
    walk: () => {
      walks += 1;
      // A walk that fails must not end the repair.
      return walks === 1 ? Promise.reject(new Error("timed out")) : Promise.resolve();
    },
    sleep: (ms) => {
      pauses.push(ms);
      if (pauses.length === 12) abort.abort();
      return Promise.resolve();
    },
  }, abort.signal);
  const { first, most } = REPAIR_MS;
  assert.deepEqual(pauses.slice(0, 6), [first, first * 2, first * 4, first, first * 2, first * 4]);
  assert.equal(pauses.at(-1), most);
  assert.deepEqual(peers.slice(1), [newcomer]);
});

Deno.test("repairTable() does not walk more often for changes of a table that holds many", async () => {
  const abort = new AbortController();
  const peers = await Promise.all(Array.from({ length: REPLICATION }, makePeer));
  const newcomers = await Promise.all(Array.from({ length: 3 }, makePeer));
  const pauses: number[] = [];
  await repairTable({
    table: tableOf(peers),
    connected: () => newcomers.slice(0, pauses.length),
    protocols: () => Promise.resolve([DHT_PROTOCOL]),
    walk: () => Promise.resolve(),
    sleep: (ms) => {
      pauses.push(ms);
      if (pauses.length === 4) abort.abort();
      return Promise.resolve();
    },
  }, abort.signal);
  assert.deepEqual(pauses, [1, 2, 4, 8].map((factor) => factor * REPAIR_MS.first));
  assert.deepEqual(peers.slice(REPLICATION), newcomers);
});

Deno.test("repairTable() looks again sooner while a connected peer could not be taken in", async () => {
  const abort = new AbortController();
  const [known, busy] = [await makePeer(), await makePeer()];
  const peers = [known];
  const silent = [busy];
  const pauses: number[] = [];
  await repairTable({
    table: tableOf(peers, silent),
    connected: () => [busy],
    protocols: () => Promise.resolve([DHT_PROTOCOL]),
    walk: () => Promise.resolve(),
    sleep: (ms) => {
      pauses.push(ms);
      if (pauses.length === 6) silent.pop();
      if (pauses.length === 14) abort.abort();
      return Promise.resolve();
    },
  }, abort.signal);
  const { first, missing, most } = REPAIR_MS;
  assert.deepEqual(pauses.slice(0, 7), [first, first * 2, ...Array(4).fill(missing), first]);
  assert.deepEqual(peers, [known, busy]);
  assert.equal(pauses.at(-1), most);
});

Deno.test("repairTable() does not walk while nobody is known", async () => {
  const abort = new AbortController();
  let pauses = 0;
  await repairTable({
    table: tableOf([]),
    connected: () => [],
    protocols: () => Promise.resolve([]),
    walk: () => assert.fail("walked"),
    sleep: () => {
      if (++pauses === 3) abort.abort();
      return Promise.resolve();
    },
  }, abort.signal);
  assert.equal(pauses, 3);
});
