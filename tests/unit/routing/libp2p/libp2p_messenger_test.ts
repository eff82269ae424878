import assert from "node:assert/strict";
import type { Stream } from "@libp2p/interface";
import { PeerError } from "../../../../lib/errors.ts";
import { encodeJson, parseJson, readToEnd } from "../../../../lib/routing/libp2p/json_stream.ts";
import {
  Libp2pMessenger,
  type MessengerHost,
  SHARE_PROTOCOL,
} from "../../../../lib/routing/libp2p/libp2p_messenger.ts";
import { type NodeInfoHost, NodeInfos } from "../../../../lib/routing/libp2p/node_info.ts";
import { MAX_MESSAGE_BYTES } from "../../../../lib/routing/messenger.ts";
import type { Peer } from "../../../../lib/routing/router.ts";
import { sleep } from "../../../../lib/sleep.ts";
import { eventually } from "../../support/eventually.ts";
import { type BareNode, startBareNode } from "../../support/libp2p_node.ts";

const LIMIT_MS = 30_000;

function peerOf(id: string): Peer {
  return { id, addresses: ["127.0.0.1"], registryPort: 5000 };
}

function messengerOf(bare: BareNode, answering: readonly BareNode[] = []): Libp2pMessenger {
  return new Libp2pMessenger({
    host: bare.node as unknown as MessengerHost,
    answering: () => answering.map(({ id }) => id),
    describe: (id) => Promise.resolve(peerOf(id.toString())),
  });
}

interface Pair extends AsyncDisposable {
  readonly asker: BareNode;
  readonly answerer: BareNode;
}

async function startPair(): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const asker = stack.use(await startBareNode(() => {}));
  const answerer = stack.use(await startBareNode(() => {}));
  await asker.node.dial(answerer.node.getMultiaddrs());
  const owned = stack.move();
  return { asker, answerer, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

Deno.test("Libp2pMessenger asks a node and gets its answer, and tells it who asks", async () => {
  await using pair = await startPair();
  const { asker, answerer } = pair;
  await messengerOf(answerer).serve((from, question) => Promise.resolve({ from, question }));
  const messenger = messengerOf(asker, [answerer]);
  const question = { text: "x".repeat(10_000) };
  // libp2p ends a connection on which many streams come before the other side is through with setting it up.
  await messenger.ask(answerer.id, question, AbortSignal.timeout(LIMIT_MS));
  const answers = await Promise.all(
    Array.from(
      { length: 50 },
      () => messenger.ask(answerer.id, question, AbortSignal.timeout(LIMIT_MS)),
    ),
  );
  for (const answer of answers) assert.deepEqual(answer, { from: peerOf(asker.id), question });
  assert.deepEqual(messenger.neighbours().map(({ id }) => id), [answerer.id]);
  assert.equal(messenger.self.id, asker.id);
  assert.equal(messenger.place("key").length, messenger.self.position.length);
  assert.deepEqual(await messenger.describe(answerer.id), peerOf(answerer.id));
});

Deno.test("Libp2pMessenger fails when there is no answer, no sense in it, or too much of it", async () => {
  await using pair = await startPair();
  const { asker, answerer } = pair;
  const messenger = messengerOf(asker);
  const ask = (question: unknown, limitMs = LIMIT_MS) =>
    messenger.ask(answerer.id, question, AbortSignal.timeout(limitMs));
  await assert.rejects(ask("unknown protocol"), PeerError);
  const tooLong = "x".repeat(MAX_MESSAGE_BYTES);
  await messengerOf(answerer).serve((_from, question) => {
    if (question === "fail") return Promise.reject(new Error("no"));
    if (question === "hang") return sleep(LIMIT_MS, AbortSignal.timeout(1000));
    return Promise.resolve(question === "long" ? tooLong : undefined);
  });
  for (const question of ["fail", "long", "nothing", tooLong]) {
    await assert.rejects(ask(question), PeerError);
  }
  await assert.rejects(ask("hang", 50), PeerError);
});

Deno.test("readToEnd() reads what had come, and had ended, before it was called", async () => {
  await using pair = await startPair();
  const { asker, answerer } = pair;
  await answerer.node.handle(SHARE_PROTOCOL, (stream: Stream) => {
    stream.send(encodeJson({ early: true }));
    stream.close().catch(() => {});
  });
  const stream = await asker.node.dialProtocol(answerer.node.peerId, SHARE_PROTOCOL);
  await eventually("the end has come", () => stream.remoteWriteStatus === "closed");
  const bytes = await readToEnd(stream, 1000, AbortSignal.timeout(LIMIT_MS));
  assert.deepEqual(parseJson(bytes), { early: true });
});

Deno.test("NodeInfos learns who shares, and asks again when there was no answer", async () => {
  await using pair = await startPair();
  const { asker, answerer } = pair;
  const host = answerer.node as unknown as NodeInfoHost;
  await new NodeInfos(host, { version: "1.2.3", shares: true }).start();
  let failures = 1;
  const infos = new NodeInfos({
    handle: () => Promise.resolve(),
    dialProtocol: (peer, protocol, options) =>
      failures-- > 0
        ? Promise.reject(new Error("reset"))
        : asker.node.dialProtocol(peer, protocol, options),
  }, { version: "1.2.3" });
  await infos.ask(answerer.node.peerId, new AbortController().signal);
  assert.deepEqual(infos.get(answerer.id), { version: "1.2.3", shares: true });
  assert.deepEqual(infos.sharing(), [answerer.id]);
  infos.delete(answerer.id);
  assert.deepEqual(infos.sharing(), []);
});
