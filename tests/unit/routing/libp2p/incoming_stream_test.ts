import assert from "node:assert/strict";
import type { Stream } from "@libp2p/interface";
import { lpStream } from "@libp2p/utils";
import { DHT_PROTOCOL } from "../../../../lib/routing/libp2p/dht.ts";
import {
  decodeDhtMessage,
  type DhtMessage,
  encodeDhtMessage,
} from "../../../../lib/routing/libp2p/dht_message.ts";
import {
  MAX_MESSAGE_BYTES,
  serveIncoming,
} from "../../../../lib/routing/libp2p/incoming_stream.ts";
import { eventually } from "../../support/eventually.ts";
import { startBareNode } from "../../support/libp2p_node.ts";

type Handle = (message: DhtMessage) => Promise<DhtMessage | undefined>;

function message(type: DhtMessage["type"], key = 0): DhtMessage {
  return { type, key: Uint8Array.from([key]), closer: [], providers: [] };
}

/** Answers each message but announcements with itself. */
const echo: Handle = (received) =>
  Promise.resolve(received.type === "ADD_PROVIDER" ? undefined : received);

/** A stream to a node that serves it with a handler. */
async function streamTo(handle: Handle, idleMs?: number) {
  await using stack = new AsyncDisposableStack();
  const incoming = Promise.withResolvers<Stream>();
  const served = Promise.withResolvers<void>();
  const receiver = stack.use(
    await startBareNode((stream) => {
      incoming.resolve(stream);
      serveIncoming(stream, handle, idleMs).then(served.resolve, served.reject);
    }),
  );
  const sender = stack.use(await startBareNode(() => {}));
  const stream = await sender.node.dialProtocol(receiver.node.getMultiaddrs(), DHT_PROTOCOL);
  const owned = stack.move();
  return {
    stream,
    incoming: incoming.promise,
    /** Settles when the stream is no longer served. */
    served: served.promise,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

Deno.test("serveIncoming() answers messages in order, however they are cut", async () => {
  const handled: string[] = [];
  await using to = await streamTo((received) => {
    handled.push(`${received.type} ${received.key?.[0]}`);
    return echo(received);
  });
  const bytes = joined(
    ...[message("ADD_PROVIDER", 1), message("PING", 2), message("ADD_PROVIDER", 3)]
      .map(encodeDhtMessage),
    encodeDhtMessage({ ...message("FIND_NODE", 4), record: new Uint8Array(300) }),
  );
  const messages = lpStream(to.stream);
  for (const byte of bytes) {
    if (!to.stream.send(Uint8Array.of(byte))) await to.stream.onDrain();
  }
  const answers = [await messages.read(), await messages.read()]
    .map((answer) => decodeDhtMessage(answer.subarray()));
  assert.deepEqual(answers.map(({ type, key }) => `${type} ${key?.[0]}`), [
    "PING 2",
    "FIND_NODE 4",
  ]);
  assert.deepEqual(handled, ["ADD_PROVIDER 1", "PING 2", "ADD_PROVIDER 3", "FIND_NODE 4"]);
});

Deno.test("serveIncoming() ends in order when the other side closes the stream", async () => {
  await using to = await streamTo(echo);
  to.stream.send(encodeDhtMessage(message("PING")));
  await lpStream(to.stream).read();
  await to.stream.close();
  await to.served;
  const incoming = await to.incoming;
  await eventually("the stream is closed", () => Promise.resolve(incoming.status === "closed"));
});

const BROKEN: Record<string, Uint8Array> = {
  "a message that is malformed": Uint8Array.of(2, 0x08, 0x06),
  "a message that is too long": joined(
    Uint8Array.of(0x81, 0x80, 0x04), // 64 KiB and a byte
    new Uint8Array(MAX_MESSAGE_BYTES + 1),
  ),
  "a length that does not end": new Uint8Array(20).fill(0x80),
};

for (const [what, bytes] of Object.entries(BROKEN)) {
  Deno.test(`serveIncoming() aborts the stream at ${what}`, async () => {
    await using to = await streamTo(() => assert.fail("handled"));
    to.stream.send(bytes);
    await to.served;
    await eventually("the stream is reset", () => Promise.resolve(to.stream.status === "reset"));
  });
}

Deno.test("serveIncoming() aborts the stream when a message cannot be handled", async () => {
  await using to = await streamTo(() => Promise.reject(new Error("no")));
  to.stream.send(encodeDhtMessage(message("PING")));
  await to.served;
  await eventually("the stream is reset", () => Promise.resolve(to.stream.status === "reset"));
});

Deno.test("serveIncoming() gives an idle stream up, but not while it answers", async () => {
  const release = Promise.withResolvers<void>();
  await using to = await streamTo(async (received) => {
    await release.promise;
    return received;
  }, 50);
  const messages = lpStream(to.stream);
  to.stream.send(encodeDhtMessage(message("PING")));
  await new Promise((resolve) => setTimeout(resolve, 300));
  release.resolve();
  assert.equal(decodeDhtMessage((await messages.read()).subarray()).type, "PING");
  await to.served;
  await eventually("the stream is reset", () => Promise.resolve(to.stream.status === "reset"));
});
