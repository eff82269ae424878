import assert from "node:assert/strict";
import type { Stream } from "@libp2p/interface";
import { PeerError } from "../../../../lib/errors.ts";
import { DHT_PROTOCOL } from "../../../../lib/routing/libp2p/dht.ts";
import { withoutPeerId } from "../../../../lib/routing/libp2p/peer_addresses.ts";
import { providerKey } from "../../../../lib/routing/libp2p/provider_key.ts";
import {
  encodeFormerProvider,
  encodeProvider,
} from "../../../../lib/routing/libp2p/provider_message.ts";
import {
  ProviderStreams,
  type ProviderStreamsOptions,
  STREAM_IDLE_MILLISECONDS,
} from "../../../../lib/routing/libp2p/provider_stream.ts";
import { eventually } from "../../support/eventually.ts";
import { type BareNode, startBareNode } from "../../support/libp2p_node.ts";

const NEVER = new AbortController().signal;

function keysFrom(first: number, count: number) {
  return Array.from({ length: count }, (_, index) => providerKey(`key ${first + index}`));
}

/** A sender, and streams from it to a receiver that count how often one was opened. */
async function senderTo(receiver: BareNode, options: Partial<ProviderStreamsOptions> = {}) {
  const sender = await startBareNode(() => {});
  const opened: Stream[] = [];
  const streams = new ProviderStreams({
    open: async (_peer, signal) => {
      const addresses = receiver.node.getMultiaddrs();
      const stream = await sender.node.dialProtocol(addresses, DHT_PROTOCOL, { signal });
      opened.push(stream);
      return stream;
    },
    provider: () =>
      encodeProvider(
        sender.node.peerId.toMultihash().bytes,
        sender.node.getMultiaddrs().map((address) => withoutPeerId(address).bytes),
      ),
    formerProvider: encodeFormerProvider(sender.node.peerId.toMultihash().bytes),
    ...options,
  });
  return {
    sender,
    streams,
    opened,
    send: (keys: ReturnType<typeof keysFrom>, signal = NEVER) =>
      streams.send(
        receiver.id,
        { begins: true, announced: keys, withdrawn: [], ends: true },
        signal,
      ),
    [Symbol.asyncDispose]: async () => {
      streams.close();
      await sender.node.stop();
    },
  };
}

Deno.test("ProviderStreams.send() returns when kad-dht has recorded every key and the addresses", async () => {
  await using receiver = await startBareNode();
  await using from = await senderTo(receiver);
  const keys = keysFrom(0, 256);
  await from.send(keys);
  for (const { recordName } of keys) {
    const peers = receiver.records.providersOf(recordName).map(({ peer }) => peer);
    assert.deepEqual(peers, [from.sender.id]);
  }
  const known = await receiver.node.peerStore.get(from.sender.node.peerId);
  assert.deepEqual(
    known.addresses.map(({ multiaddr }) => multiaddr.toString()),
    from.sender.node.getMultiaddrs().map((address) => withoutPeerId(address).toString()),
  );
});

Deno.test("ProviderStreams keeps the stream for the next batch", async () => {
  await using receiver = await startBareNode();
  await using from = await senderTo(receiver);
  for (let first = 0; first < 1000; first += 100) await from.send(keysFrom(first, 100));
  assert.equal(from.opened.length, 1);
  assert.equal(receiver.records.providerRecords, 1000);
});

Deno.test("ProviderStreams closes a stream that is idle before kad-dht resets it", async () => {
  await using receiver = await startBareNode();
  await using from = await senderTo(receiver);
  await from.send(keysFrom(0, 1));
  assert.equal(from.opened[0]!.status, "open");
  await eventually("the idle stream is closed", () => from.opened[0]!.status !== "open");
  assert(STREAM_IDLE_MILLISECONDS < 10_000, "kad-dht's limit");
  await from.send(keysFrom(1, 1));
  assert.equal(from.opened.length, 2);
  assert.equal(receiver.records.providerRecords, 2);
});

Deno.test("ProviderStreams opens another stream where the kept one was closed meanwhile", async () => {
  await using receiver = await startBareNode();
  await using from = await senderTo(receiver);
  await from.send(keysFrom(0, 10));
  for (const connection of receiver.node.getConnections()) connection.abort(new Error("cut"));
  await from.send(keysFrom(10, 10));
  assert.equal(from.opened.length, 2);
  assert.equal(receiver.records.providerRecords, 20);
});

Deno.test("ProviderStreams gives up a peer that never acknowledges, and asks it anew the next time", async () => {
  let isDeaf = true;
  await using receiver = await startBareNode((stream) => {
    stream.addEventListener("message", ({ data }) => {
      // A PING comes back as it is; it is the end of what was sent.
      if (!isDeaf) stream.send(data.subarray(data.byteLength - 3));
    });
  });
  await using from = await senderTo(receiver, { acknowledgeMilliseconds: 1500 });
  const isPeerError = (error: Error) =>
    error instanceof PeerError && error.message.includes(receiver.id);
  await assert.rejects(from.send(keysFrom(0, 1)), isPeerError);
  await assert.rejects(from.send(keysFrom(0, 1)), isPeerError);
  assert.equal(from.opened.length, 2);
  assert(from.opened.every(({ status }) => status !== "open"), "no stream is left");
  isDeaf = false;
  await from.send(keysFrom(0, 1));
});

Deno.test("ProviderStreams gives up a peer that reads nothing", async () => {
  await using receiver = await startBareNode((stream) => stream.pause());
  await using from = await senderTo(receiver, { acknowledgeMilliseconds: 500 });
  await assert.rejects(from.send(keysFrom(0, 20_000)), PeerError);
  assert.notEqual(from.opened[0]!.status, "open");
});

Deno.test("ProviderStreams.send() fails where no stream can be opened", async () => {
  await using receiver = await startBareNode();
  await using from = await senderTo(receiver, { open: () => Promise.reject(new Error("no way")) });
  await assert.rejects(
    from.send(keysFrom(0, 1)),
    (error: Error) => error instanceof PeerError && (error.cause as Error).message === "no way",
  );
});

Deno.test("ProviderStreams.send() ends with its signal, without another try", async () => {
  await using receiver = await startBareNode(() => {});
  await using from = await senderTo(receiver, { acknowledgeMilliseconds: 60_000 });
  const abort = new AbortController();
  const sent = from.send(keysFrom(0, 1), abort.signal);
  await eventually("the stream is open", () => from.opened.length === 1);
  abort.abort();
  await assert.rejects(sent, PeerError);
  await assert.rejects(from.send(keysFrom(0, 1), abort.signal), PeerError);
  assert(from.opened.every(({ status }) => status !== "open"));
});

Deno.test("ProviderStreams.close() takes down all streams, also one that waits", async () => {
  await using receiver = await startBareNode(() => {});
  await using from = await senderTo(receiver, { acknowledgeMilliseconds: 60_000 });
  const sent = from.send(keysFrom(0, 1));
  await eventually("the stream is open", () => from.opened.length === 1);
  from.streams.close();
  await assert.rejects(sent, PeerError);
  assert.notEqual(from.opened[0]!.status, "open");
});
