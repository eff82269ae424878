// What traces tell of a transfer: whom was asked, why, and how it ended.
import assert from "node:assert/strict";
import { CHUNK_SIZE } from "../../../lib/oci/chunk_list.ts";
import { sleep } from "../../../lib/sleep.ts";
import { PeerClient } from "../../../lib/transfer/peer_client.ts";
import type { Peer } from "../../../lib/routing/router.ts";
import { makeContent, type TestContent } from "../support/content.ts";
import { drain } from "../support/drain.ts";
import { startFaultPeer } from "../support/fault_peer.ts";
import { blobPath, mirrorOf, TEST_TIMEOUTS } from "../support/mirror_of.ts";
import { type RecordedSpan, RecordedTracing } from "../support/recorded_tracing.ts";
import { startChunkPeer } from "./chunk_peer.ts";
import { listOf } from "./fake_peers.ts";

const CONTENT = makeContent(5 * CHUNK_SIZE + 5);
const LARGE = makeContent(40 * CHUNK_SIZE + 5, 2);
const SMALL = makeContent(5000, 3);

/** Fetches a content with traces on. */
async function traced(content: TestContent, peers: readonly Peer[]): Promise<RecordedTracing> {
  const tracing = new RecordedTracing();
  const { mirror } = await mirrorOf(content.digest, peers, {
    tracing,
    client: new PeerClient({ timeouts: TEST_TIMEOUTS, tracing }),
  });
  const { reader } = await mirror.blob(blobPath(content.digest), undefined);
  const { bytes, error } = await drain(reader, CHUNK_SIZE);
  await reader.close();
  assert.equal(error, undefined);
  assert.equal(bytes.length, content.bytes.length);
  return tracing;
}

function asked({ spans }: RecordedTracing): (readonly [unknown, unknown, unknown])[] {
  return spans.filter(({ name }) => name === "ask peer").map(({ attributes }) =>
    [
      attributes["kagami.peer"],
      attributes["kagami.reason"],
      attributes["kagami.outcome"],
    ] as const
  );
}

function only(spans: RecordedSpan[]): RecordedSpan {
  assert.equal(spans.length, 1);
  return spans[0]!;
}

Deno.test("traces of a blob tell the lookup, the peer and the download, and all of it ends", async () => {
  await using peer = startFaultPeer("peer", SMALL);
  const tracing = await traced(SMALL, [peer.peer]);
  assert.deepEqual(asked(tracing), [["peer", "first", "answered"]]);
  assert.deepEqual(only(tracing.named("resolve")).attributes["kagami.found"], true);
  const download = only(tracing.named("download"));
  assert.equal(download.attributes["kagami.bytes"], SMALL.bytes.length);
  assert.equal(download.attributes["kagami.complete"], true);
  assert.deepEqual(download.events, ["peer delivers"]);
  assert(tracing.spans.every(({ isEnded }) => isEnded));
});

Deno.test("traces tell that a peer was asked beside a slow one, whose answer was not needed", async () => {
  await using slow = startFaultPeer("slow", SMALL, "hangs before the head");
  await using good = startFaultPeer("good", SMALL);
  const tracing = await traced(SMALL, [slow.peer, good.peer]);
  while (tracing.named("ask peer").some(({ isEnded }) => !isEnded)) await sleep(5);
  assert.deepEqual(asked(tracing), [["slow", "first", "not needed"], [
    "good",
    "hedge",
    "answered",
  ]]);
});

Deno.test("traces tell that a peer does not have it, without a fault", async () => {
  await using lacking = startFaultPeer("lacking", SMALL, "not found");
  await using broken = startFaultPeer("broken", SMALL, "server error");
  await using good = startFaultPeer("good", SMALL);
  const tracing = await traced(SMALL, [lacking.peer, broken.peer, good.peer]);
  assert.deepEqual(asked(tracing), [
    ["lacking", "first", "not found"],
    ["broken", "first", "failed"],
    ["good", "first", "answered"],
  ]);
  const failed = tracing.named("ask peer").map(({ error }) => error !== undefined);
  assert.deepEqual(failed, [false, true, false]);
});

Deno.test("traces tell that another peer went on, as a part of the download", async () => {
  await using breaking = startFaultPeer("breaking", CONTENT, "breaks in the body");
  await using good = startFaultPeer("good", CONTENT);
  const tracing = await traced(CONTENT, [breaking.peer, good.peer]);
  assert.deepEqual(asked(tracing), [
    ["breaking", "first", "answered"],
    ["good", "resume", "answered"],
  ]);
  assert.deepEqual(only(tracing.named("download")).events, [
    "peer delivers",
    "peer failed",
    "resumed",
    "peer delivers",
  ]);
  assert.deepEqual(tracing.named("ask peer").map(({ parent }) => parent), [undefined, "download"]);
});

Deno.test("traces tell of every peer that delivers together with others, and of the comparison of their lists", async () => {
  const list = listOf(LARGE);
  const before = () => sleep(20);
  await using one = startChunkPeer("one", LARGE, { ...(list && { list }), before });
  await using two = startChunkPeer("two", LARGE, { ...(list && { list }), before });
  const tracing = await traced(LARGE, [one.peer, two.peer]);
  const lanes = tracing.named("ask peer").filter(({ attributes }) =>
    attributes["kagami.reason"] === "lane"
  );
  assert(lanes.length > 0);
  assert(lanes.every(({ parent }) => parent === "download"));
  assert.equal(only(tracing.named("compare chunk lists")).attributes["kagami.chunks"], 41);
});

Deno.test("PeerClient sends the headers of the span that asks", async () => {
  await using peer = startFaultPeer("peer", SMALL);
  await traced(SMALL, [peer.peer]);
  assert.equal(peer.requests[0]?.headers.get("traceparent"), "ask peer");
});
