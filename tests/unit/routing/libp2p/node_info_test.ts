import assert from "node:assert/strict";
import type { PeerId, Stream } from "@libp2p/interface";
import { type NodeInfoHost, NodeInfos } from "../../../../lib/routing/libp2p/node_info.ts";
import { makePeerId } from "../../support/peer_ids.ts";

const NEVER = new AbortController().signal;

/** A node whose peers answer a question as told, one after the other. */
class AnsweringHost implements NodeInfoHost {
  asked = 0;
  /** Whether the end of the stream comes before somebody reads, and is lost. */
  isEndMissed = false;
  readonly #answers: (string | Error)[];

  constructor(...answers: (string | Error)[]) {
    this.#answers = answers;
  }

  handle(): Promise<void> {
    return Promise.resolve();
  }

  dialProtocol(_peer: PeerId): Promise<Stream> {
    const answer = this.#answers[this.asked++];
    if (typeof answer !== "string") return Promise.reject(answer);
    const bytes = new TextEncoder().encode(answer);
    const { isEndMissed } = this;
    const stream = {
      async *[Symbol.asyncIterator]() {
        yield await Promise.resolve(bytes.subarray(0, 5));
        yield await Promise.resolve(bytes.subarray(5));
        if (isEndMissed) await new Promise(() => {});
      },
      abort: () => {},
      close: () => Promise.resolve(),
    };
    // Of a stream only these parts are used.
    return Promise.resolve(stream as unknown as Stream);
  }
}

const TOLD = JSON.stringify({ version: "1.2.3", zone: "a" });
const PAUSES = [0, 0, 0];

Deno.test("NodeInfos.ask() asks again when the connection was closed", async () => {
  const peer = await makePeerId(1);
  const host = new AnsweringHost(new Error("closed"), new Error("closed"), TOLD);
  const infos = new NodeInfos(host, { version: "1" }, PAUSES);
  await infos.ask(peer, NEVER);
  assert.deepEqual(infos.get(peer.toString()), { version: "1.2.3", zone: "a" });
});

Deno.test("NodeInfos.ask() does not wait for the end of a stream whose answer is whole", async () => {
  const peer = await makePeerId(1);
  const host = new AnsweringHost(TOLD);
  host.isEndMissed = true;
  const infos = new NodeInfos(host, { version: "1" }, PAUSES);
  await infos.ask(peer, NEVER);
  assert.equal(infos.get(peer.toString())?.version, "1.2.3");
});

Deno.test("NodeInfos.ask() gives up in the end, and leaves Spegel alone at once", async () => {
  const peer = await makePeerId(1);
  const gone = new AnsweringHost(...Array.from({ length: 9 }, () => new Error("closed")));
  await new NodeInfos(gone, { version: "1" }, PAUSES).ask(peer, NEVER);
  assert.equal(gone.asked, PAUSES.length);

  const unsupported = Object.assign(new Error("no"), { name: "UnsupportedProtocolError" });
  const spegel = new AnsweringHost(unsupported, TOLD);
  const infos = new NodeInfos(spegel, { version: "1" }, PAUSES);
  await infos.ask(peer, NEVER);
  assert.equal(spegel.asked, 1);
  assert.equal(infos.get(peer.toString()), undefined);
});

Deno.test("NodeInfos.ask() asks nobody twice who has answered, not even nonsense", async () => {
  const peer = await makePeerId(1);
  for (const answer of [TOLD, "nonsense"]) {
    const host = new AnsweringHost(answer, TOLD);
    await new NodeInfos(host, { version: "1" }, PAUSES).ask(peer, NEVER);
    assert.equal(host.asked, 1);
  }
});
