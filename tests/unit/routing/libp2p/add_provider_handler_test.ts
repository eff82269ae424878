import assert from "node:assert/strict";
import type { PeerId } from "@libp2p/interface";
import { multiaddr } from "@multiformats/multiaddr";
import {
  AddProviderHandler,
  ADDRESSES_TTL_MS,
  MAX_TOLD_ADDRESSES,
} from "../../../../lib/routing/libp2p/add_provider_handler.ts";
import { digestOf, providerKey } from "../../../../lib/routing/libp2p/provider_key.ts";
import { markKey, type TellingSource } from "../../../../lib/routing/libp2p/telling.ts";
import { makePeerId } from "../../support/peer_ids.ts";

const KEY = providerKey("docker.io/library/nginx:1.27").multihash;
const [sender, other] = [await makePeerId(1), await makePeerId(2)];
const ADDRESS = multiaddr("/ip4/10.0.0.7/tcp/5001");

/** A handler, and what it has done. */
function recording(options: { readonly merge?: () => Promise<void> } = {}) {
  let time = 1000;
  const done: string[] = [];
  const handler = new AddProviderHandler({
    put: (digest, peer) => void done.push(`record ${digest.toHex()} ${peer}`),
    remove: (digest, peer) => void done.push(`remove ${digest.toHex()} ${peer}`),
    begins: (peer) => void done.push(`begins ${peer}`),
    ends: (peer) => void done.push(`ends ${peer}`),
    merge: async (peer, multiaddrs) => {
      await options.merge?.();
      done.push(`addresses ${peer} ${multiaddrs}`);
    },
    now: () => time,
  });
  const handle = (
    key: Uint8Array,
    provider: PeerId,
    addresses = [ADDRESS],
    source: TellingSource = {},
  ) =>
    handler.handle(sender, {
      key,
      source,
      providers: [{
        id: provider.toMultihash().bytes,
        multiaddrs: addresses.map(({ bytes }) => bytes),
      }],
    });
  return { done, handle, handler, advance: (ms: number) => void (time += ms) };
}

const EPOCH = "0123456789abcdef";
const RECORD = `record ${digestOf(KEY)?.toHex()} ${sender}`;
const ADDRESSES = `addresses ${sender} ${ADDRESS}`;

Deno.test("an announcement is recorded once the address of its sender is known", async () => {
  const { done, handle } = recording();
  await handle(KEY, sender);
  assert.deepEqual(done, [ADDRESSES, RECORD]);
});

Deno.test("addresses that are told again are written again only after a while, or when they change", async () => {
  const { done, handle, advance } = recording();
  await handle(KEY, sender);
  await handle(KEY, sender);
  assert.deepEqual(done.splice(0), [ADDRESSES, RECORD, RECORD]);
  const moved = multiaddr("/ip4/10.0.0.8/tcp/5001");
  await handle(KEY, sender, [moved]);
  assert.deepEqual(done.splice(0), [`addresses ${sender} ${moved}`, RECORD]);
  advance(ADDRESSES_TTL_MS);
  await handle(KEY, sender, [moved]);
  assert.deepEqual(done, [`addresses ${sender} ${moved}`, RECORD]);
});

Deno.test("addresses that could not be written are tried again with the next announcement", async () => {
  let fails = true;
  const { done, handle } = recording({
    merge: () => fails ? Promise.reject(new Error("peer store is closed")) : Promise.resolve(),
  });
  await assert.rejects(handle(KEY, sender), /peer store is closed/);
  assert.deepEqual(done, []);
  fails = false;
  await handle(KEY, sender);
  assert.deepEqual(done, [ADDRESSES, RECORD]);
});

Deno.test("what a peer announces for another one, or withdraws for it, is ignored", async () => {
  const { done, handle } = recording();
  await handle(KEY, other);
  await handle(KEY, other, []);
  await handle(markKey({ kind: "begins", epoch: EPOCH, sequence: 1 }), other, []);
  assert.deepEqual(done, []);
});

Deno.test("a provider without addresses withdraws its record", async () => {
  const { done, handle } = recording();
  await handle(KEY, sender, []);
  assert.deepEqual(done, [`remove ${digestOf(KEY)?.toHex()} ${sender}`]);
});

Deno.test("a peer marks where all of its keys begin and end", async () => {
  const { done, handle } = recording();
  const source = {};
  for (const kind of ["begins", "goes on", "ends"] as const) {
    await handle(markKey({ kind, epoch: EPOCH, sequence: 1 }), sender, [], source);
  }
  assert.deepEqual(done, [`begins ${sender}`, `ends ${sender}`]);
});

Deno.test("a batch that arrives after a newer one, on another stream, changes nothing", async () => {
  const { done, handle } = recording();
  const [older, newer] = [{}, {}];
  const marked = (kind: "begins" | "goes on" | "ends", sequence: number, source: TellingSource) =>
    handle(markKey({ kind, epoch: EPOCH, sequence }), sender, [], source);
  await marked("begins", 1, older);
  await marked("goes on", 2, newer);
  await handle(KEY, sender, [ADDRESS], newer);
  done.length = 0;
  await handle(KEY, sender, [], older);
  await handle(KEY, sender, [ADDRESS], older);
  await marked("ends", 1, older);
  const late = {};
  await marked("begins", 1, late);
  await handle(KEY, sender, [], late);
  assert.deepEqual(done, []);
  await handle(KEY, sender, [], newer);
  assert.deepEqual(done.splice(0), [`remove ${digestOf(KEY)?.toHex()} ${sender}`]);
  await marked("goes on", 3, older);
  await handle(KEY, sender, [ADDRESS], older);
  assert.deepEqual(done, [RECORD], "the older stream may be used again");
});

Deno.test("what comes without marks, as from Spegel, is never too old", async () => {
  const { done, handle } = recording();
  await handle(markKey({ kind: "goes on", epoch: EPOCH, sequence: 9 }), sender, [], {});
  await handle(KEY, sender);
  assert.deepEqual(done, [ADDRESSES, RECORD]);
});

Deno.test("keys other than of sha2-256 are ignored, and a message without a key is an error", async () => {
  const { done, handle, handler } = recording();
  await handle(Uint8Array.from([0x13, 64, ...new Uint8Array(64)]), sender);
  await handle(KEY.subarray(0, 33), sender);
  assert.deepEqual(done, []);
  await assert.rejects(handle(new Uint8Array(), sender), { name: "InvalidMessageError" });
  await assert.rejects(handler.handle(sender, { providers: [] }), { name: "InvalidMessageError" });
});

Deno.test("an address that cannot be read is left out, and a peer that tells no other is ignored", async () => {
  const { done, handler } = recording();
  const unknown = Uint8Array.from([0xcf, 0x07, 1]); // A protocol of the future.
  const tell = (...multiaddrs: Uint8Array[]) =>
    handler.handle(sender, {
      key: KEY,
      providers: [{ id: sender.toMultihash().bytes, multiaddrs }],
    });
  await tell(unknown);
  assert.deepEqual(done, []);
  await tell(unknown, ADDRESS.bytes, ADDRESS.bytes.subarray(0, 3));
  await tell(unknown, ADDRESS.bytes, ADDRESS.bytes.subarray(0, 3));
  assert.deepEqual(done, [ADDRESSES, RECORD, RECORD]);
});

Deno.test("a bounded number of addresses of a bounded length is taken", async () => {
  const { done, handle } = recording();
  const endless = multiaddr(`/dns4/${"n".repeat(60)}.${"n".repeat(60)}.example.test/tcp/5001`);
  const many = Array.from(
    { length: 1000 },
    (_, index) => multiaddr(`/ip4/10.0.0.7/tcp/${index + 1}`),
  );
  await handle(KEY, sender, [endless, ...many]);
  assert.deepEqual(done, [`addresses ${sender} ${many.slice(0, MAX_TOLD_ADDRESSES)}`, RECORD]);
  done.length = 0;
  await handle(KEY, sender, [endless]);
  assert.deepEqual(done, []);
});
