import assert from "node:assert/strict";
import type { Logger, PeerId, Stream } from "@libp2p/interface";
import { AbstractMessageStream, type SendResult } from "@libp2p/utils";
import {
  MAX_NODE_INFO_BYTES,
  MAX_NODE_INFOS,
  NODE_INFO_ATTEMPTS,
  NODE_INFO_PROTOCOL,
  type NodeInfo,
  type NodeInfoHost,
  NodeInfos,
  parseNodeInfo,
} from "../../../../lib/routing/libp2p/node_info.ts";
import { eventually } from "../../support/eventually.ts";
import { type BareNode, startBareNode } from "../../support/libp2p_node.ts";
import { makePeerId } from "../../support/peer_ids.ts";

const NEVER = new AbortController().signal;

/** Nodes that speak nothing but what a test has them speak. */
function startNode(): Promise<BareNode> {
  return startBareNode(() => {});
}

function infosOf({ node }: BareNode, own: NodeInfo): NodeInfos {
  return new NodeInfos(node as unknown as NodeInfoHost, own, { retryMs: 1 });
}

/** Connects two nodes; the one that asks, and whom it asks. */
async function connected(): Promise<AsyncDisposable & { asking: BareNode; asked: BareNode }> {
  await using stack = new AsyncDisposableStack();
  const [asking, asked] = [stack.use(await startNode()), stack.use(await startNode())];
  await asking.node.dial(asked.node.getMultiaddrs());
  const nodes = stack.move();
  return { asking, asked, [Symbol.asyncDispose]: () => nodes.disposeAsync() };
}

Deno.test("NodeInfos tell each other version and zone", async () => {
  await using pair = await connected();
  const { asking, asked } = pair;
  const here = infosOf(asking, { version: "1.0.0", zone: "eu-1a" });
  const there = infosOf(asked, { version: "1.2.3", zone: "eu-1b" });
  await Promise.all([here.start(), there.start()]);
  await Promise.all([
    here.ask(asked.node.peerId, NEVER),
    there.ask(asking.node.peerId, NEVER),
  ]);
  assert.deepEqual(here.get(asked.id), { version: "1.2.3", zone: "eu-1b" });
  assert.deepEqual(there.get(asking.id), { version: "1.0.0", zone: "eu-1a" });
  here.delete(asked.id);
  assert.equal(here.get(asked.id), undefined);
  await here.ask(asked.node.peerId, NEVER);
  assert.equal(here.get(asked.id)?.version, "1.2.3", "asked again once it is forgotten");
});

Deno.test("NodeInfos know nothing of a peer that does not speak the protocol, or is gone", async () => {
  await using pair = await connected();
  const { asking, asked } = pair;
  const infos = infosOf(asking, { version: "1.0.0" });
  await infos.ask(asked.node.peerId, NEVER);
  assert.equal(infos.get(asked.id), undefined);
  await asked.node.stop();
  await infos.ask(asked.node.peerId, NEVER);
  assert.equal(infos.get(asked.id), undefined);
});

/** Asks a peer that answers as it is told. */
async function answered(
  answer: (stream: Stream) => Promise<void>,
  signal: AbortSignal = NEVER,
): Promise<{ info: NodeInfo | undefined; streams: Stream[] }> {
  await using pair = await connected();
  const { asking, asked } = pair;
  const streams: Stream[] = [];
  await asked.node.handle(NODE_INFO_PROTOCOL, async (stream) => {
    streams.push(stream);
    await answer(stream).catch(() => {});
  });
  const infos = infosOf(asking, { version: "1.0.0" });
  await infos.ask(asked.node.peerId, signal);
  await eventually("the asked one has nothing open", () => {
    return streams.every(({ status }) => status !== "open");
  });
  return { info: infos.get(asked.id), streams };
}

const encode = (text: string) => new TextEncoder().encode(text);

const ANSWERS: Readonly<Record<string, [pieces: readonly string[], NodeInfo | undefined]>> = {
  "in pieces": [['{"version"', ':"1.2.3","zo', 'ne":"a"}'], { version: "1.2.3", zone: "a" }],
  "with fields of a later version": [
    ['{"version":"9","zone":"a","load":[1,2]}'],
    { version: "9", zone: "a" },
  ],
  "as long as it may be": [
    [`{"version":"1","pad":"${"x".repeat(MAX_NODE_INFO_BYTES - 24)}"}`],
    { version: "1" },
  ],
  "one byte too long": [
    [`{"version":"1","pad":"${"x".repeat(MAX_NODE_INFO_BYTES - 23)}"}`],
    undefined,
  ],
  "that is no JSON": [["version 1"], undefined],
  "that is cut off": [['{"version":"1.2.3","zone'], undefined],
  "that is empty": [[], undefined],
};
for (const [name, [pieces, info]] of Object.entries(ANSWERS)) {
  Deno.test(`NodeInfos read an answer ${name}`, async () => {
    const result = await answered(async (stream) => {
      for (const piece of pieces) {
        stream.send(encode(piece));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await stream.close();
    });
    assert.deepEqual(result.info, info);
    assert.equal(result.streams.length, 1);
  });
}

Deno.test("NodeInfos stop a peer that sends without end", async () => {
  const { info } = await answered(async (stream) => {
    while (stream.status === "open") {
      if (!stream.send(new Uint8Array(65_536))) await stream.onDrain();
    }
  });
  assert.equal(info, undefined);
});

Deno.test("NodeInfos wait for an answer only as long as they may", async () => {
  const abort = new AbortController();
  const { info } = await answered(async (stream) => {
    stream.send(encode('{"version":'));
    abort.abort();
    await Promise.resolve();
  }, abort.signal);
  assert.equal(info, undefined);
});

Deno.test("NodeInfos give up a question that is not answered, and ask again", async () => {
  let questions = 0;
  const { info } = await answered(async (stream) => {
    questions += 1;
    if (questions === 1) return;
    stream.send(encode('{"version":"1.2.3"}'));
    await stream.close();
  });
  assert.deepEqual(info, { version: "1.2.3" });
  assert.equal(questions, 2);
});

Deno.test("NodeInfos ask a peer that does not speak the protocol only so often", async () => {
  let questions = 0;
  const host: NodeInfoHost = {
    handle: () => Promise.resolve(),
    dialProtocol() {
      questions += 1;
      return Promise.reject(new Error("protocol is not supported"));
    },
  };
  const infos = new NodeInfos(host, { version: "1.0.0" }, { retryMs: 1 });
  await infos.ask(await makePeerId(0), NEVER);
  assert.equal(questions, NODE_INFO_ATTEMPTS);
});

Deno.test("NodeInfos ask nobody after the end, and nobody twice", async () => {
  await using pair = await connected();
  const { asking, asked } = pair;
  let questions = 0;
  await asked.node.handle(NODE_INFO_PROTOCOL, (stream) => {
    questions += 1;
    stream.send(encode('{"version":"1.2.3"}'));
    stream.close().catch(() => {});
  });
  const infos = infosOf(asking, { version: "1.0.0" });
  await infos.ask(asked.node.peerId, AbortSignal.abort());
  assert.equal(questions, 0);
  for (let count = 0; count < 3; count++) await infos.ask(asked.node.peerId, NEVER);
  assert.equal(questions, 1);
});

/** A stream on which the answer and its end have come. A pair of streams would cost a hundred times as much. */
class AnsweredStream extends AbstractMessageStream {
  constructor() {
    const log = Object.assign(() => {}, { trace() {}, error() {} });
    super({ log: log as unknown as Logger });
    this.onData(encode('{"version":"1"}'));
    this.onRemoteCloseWrite();
  }

  override sendData(data: { readonly byteLength: number }): SendResult {
    return { sentBytes: data.byteLength, canSendMore: true };
  }

  /** What tells a stream from a connection. */
  closeRead(): Promise<void> {
    return Promise.resolve();
  }

  override sendReset(): void {}
  override sendPause(): void {}
  override sendResume(): void {}

  override close(): Promise<void> {
    this.writeStatus = "closed";
    this.onTransportClosed();
    return Promise.resolve();
  }
}

Deno.test("NodeInfos remember so many peers, and forget the oldest", async () => {
  const host: NodeInfoHost = {
    handle: () => Promise.resolve(),
    dialProtocol: () => Promise.resolve(new AnsweredStream() as unknown as Stream),
  };
  const infos = new NodeInfos(host, { version: "1.0.0" });
  const first = await makePeerId(0);
  await infos.ask(first, NEVER);
  const peers = Array.from(
    { length: MAX_NODE_INFOS },
    (_, index) => ({ toString: () => `peer${index}` }) as PeerId,
  );
  await Promise.all(peers.map((peer) => infos.ask(peer, NEVER)));
  assert.equal(infos.get(first.toString()), undefined);
  assert.ok(peers.every((peer) => infos.get(peer.toString())?.version === "1"));
});

const TEXTS: readonly [text: string, info: NodeInfo | undefined][] = [
  ['{"version":"1"}', { version: "1" }],
  ['{"version":"1","zone":"a"}', { version: "1", zone: "a" }],
  ['{"version":"1","zone":""}', { version: "1" }],
  ['{"version":"1","zone":5}', { version: "1" }],
  ['{"version":"1","zone":null}', { version: "1" }],
  ['{"version":1}', undefined],
  ['{"zone":"a"}', undefined],
  ['["version"]', undefined],
  ['"version"', undefined],
  ["null", undefined],
  ["", undefined],
  ['{"version":"1"} {}', undefined],
];
Deno.test("parseNodeInfo() takes what is of the right type", () => {
  for (const [text, info] of TEXTS) assert.deepEqual(parseNodeInfo(encode(text)), info, text);
  assert.equal(parseNodeInfo(new Uint8Array([0xff, 0xfe])), undefined);
});
