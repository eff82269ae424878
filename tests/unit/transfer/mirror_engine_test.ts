// The mirror over sockets where content is large: lists of chunks, several peers at the same time, limits.
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { NotFoundError, RangeNotSatisfiableError, VerificationError } from "../../../lib/errors.ts";
import { TransferLimits } from "../../../lib/net/transfer_limits.ts";
import { CHUNK_SIZE, ChunkList } from "../../../lib/oci/chunk_list.ts";
import { sleep } from "../../../lib/sleep.ts";
import { ChunkBuffers } from "../../../lib/transfer/chunk_buffers.ts";
import { ConnectionPool } from "../../../lib/transfer/connection_pool.ts";
import type { MirroredBlob } from "../../../lib/transfer/mirror.ts";
import { PeerBook } from "../../../lib/transfer/peer_book.ts";
import { PeerClient } from "../../../lib/transfer/peer_client.ts";
import { makeContent } from "../support/content.ts";
import { drain } from "../support/drain.ts";
import { eventually } from "../support/eventually.ts";
import { startFaultPeer } from "../support/fault_peer.ts";
import { blobPath, mirrorOf, TEST_TIMEOUTS } from "../support/mirror_of.ts";
import { send, startRawServer } from "../support/raw_server.ts";
import { startChunkPeer } from "./chunk_peer.ts";
import { listOf, lyingListOf } from "./fake_peers.ts";

const CONTENT = makeContent(5 * CHUNK_SIZE + 5);
const LIST = listOf(CONTENT)!;
/** Enough for several peers. */
const LARGE = makeContent(40 * CHUNK_SIZE + 5, 2);
const SIZE = CONTENT.bytes.length;

const WRONG = CONTENT.bytes.slice();
WRONG[2 * CHUNK_SIZE]! ^= 1;

/** A list that could be one of the content, and is not. */
const OTHER_LIST = (() => {
  const bytes = LIST.bytes.slice();
  bytes[0]! ^= 1;
  return ChunkList.parse(bytes, CONTENT.digest, SIZE)!;
})();

async function read({ reader }: MirroredBlob): ReturnType<typeof drain> {
  const drained = await drain(reader, CHUNK_SIZE);
  await reader.close();
  return drained;
}

function isSame(bytes: Uint8Array, expected: Uint8Array): boolean {
  return Buffer.compare(bytes, expected) === 0;
}

Deno.test("Mirror.blob() fetches a wrong chunk elsewhere before it is handed out, and asks the liar no more", async () => {
  await using liar = startChunkPeer("liar", CONTENT, { bytes: WRONG, list: LIST });
  await using good = startChunkPeer("good", CONTENT, { list: LIST });
  const { mirror, events } = await mirrorOf(CONTENT.digest, [liar.peer, good.peer]);
  const { bytes, error } = await read(await mirror.blob(blobPath(CONTENT.digest), undefined));
  assert.equal(error, undefined);
  assert.ok(isSame(bytes, CONTENT.bytes));
  assert.deepEqual(liar.ranges, [`0-${SIZE - 1}`]);
  assert.deepEqual(good.ranges, [`${2 * CHUNK_SIZE}-${SIZE - 1}`]);
  assert.deepEqual(events, ["resolved", "failed liar", "wrong liar", "resumed"]);
});

Deno.test("Mirror.blob() takes the list of a second peer when the first one has none", async () => {
  await using liar = startChunkPeer("liar", CONTENT, { bytes: WRONG });
  await using good = startChunkPeer("good", CONTENT, { list: LIST });
  const { mirror } = await mirrorOf(CONTENT.digest, [liar.peer, good.peer]);
  const { bytes, error } = await read(await mirror.blob(blobPath(CONTENT.digest), undefined));
  assert.equal(error, undefined);
  assert.ok(isSame(bytes, CONTENT.bytes));
});

for (const first of ["liar", "good"] as const) {
  Deno.test(`Mirror.blob() leaves content to upstream whose peers have different lists, the ${first} first`, async () => {
    // The bytes come slowly, so that both lists are there before the end.
    const before = () => new Promise<void>((resolve) => setTimeout(resolve, 20));
    await using liar = startChunkPeer("liar", CONTENT, { list: OTHER_LIST, before });
    await using good = startChunkPeer("good", CONTENT, { list: LIST, before });
    const peers = first === "liar" ? [liar.peer, good.peer] : [good.peer, liar.peer];
    const { mirror, events } = await mirrorOf(CONTENT.digest, peers);
    const { bytes, error } = await read(await mirror.blob(blobPath(CONTENT.digest), undefined));
    assert.ok(error instanceof VerificationError, String(error));
    assert.ok(isSame(bytes, CONTENT.bytes.subarray(0, bytes.length)));
    assert.ok(bytes.length < SIZE);
    assert.ok(events.some((event) => event.startsWith("wrong ")));
    await assert.rejects(mirror.blob(blobPath(CONTENT.digest), "bytes=5-"), NotFoundError);
  });
}

Deno.test("Mirror.blob() hands out nothing of a liar with a list of its own when another list comes a little later", async () => {
  const bytes = CONTENT.bytes.map((byte) => byte ^ 0xff);
  const chunk = Promise.withResolvers<void>();
  await using liar = startChunkPeer("liar", CONTENT, {
    bytes,
    list: lyingListOf(CONTENT, bytes),
    before: (at) => Promise.resolve(at < CHUNK_SIZE ? undefined : chunk.resolve()),
  });
  // Time enough for the chunk to be checked and handed out, if it is not held back.
  const beforeList = () => chunk.promise.then(() => sleep(30));
  await using good = startChunkPeer("good", CONTENT, { list: LIST, beforeList });
  const { mirror } = await mirrorOf(CONTENT.digest, [liar.peer, good.peer]);
  const drained = await read(await mirror.blob(blobPath(CONTENT.digest), undefined));
  assert.ok(drained.error instanceof VerificationError, String(drained.error));
  assert.equal(drained.bytes.length, 0);
});

Deno.test("Mirror.blob() waits for a list only so long", async () => {
  await using peer = startChunkPeer("peer", CONTENT, { list: "hangs" });
  const { mirror } = await mirrorOf(CONTENT.digest, [peer.peer], {
    client: new PeerClient({ timeouts: { ...TEST_TIMEOUTS, headMs: 600_000 } }),
  });
  const { bytes, error } = await read(await mirror.blob(blobPath(CONTENT.digest), undefined));
  assert.equal(error, undefined);
  assert.ok(isSame(bytes, CONTENT.bytes));
});

Deno.test("Mirror.blob() asks for no list where content has one chunk", async () => {
  const small = makeContent(CHUNK_SIZE);
  await using peer = startChunkPeer("peer", small, { list: listOf(small)! });
  const { mirror } = await mirrorOf(small.digest, [peer.peer]);
  const { error } = await read(await mirror.blob(blobPath(small.digest), undefined));
  assert.equal(error, undefined);
  assert.equal(peer.requests.length, 1);
});

Deno.test("Mirror.blob() ends the request for a list with the reader", async () => {
  await using peer = startChunkPeer("peer", CONTENT, { list: "hangs" });
  const { mirror } = await mirrorOf(CONTENT.digest, [peer.peer]);
  const { reader } = await mirror.blob(blobPath(CONTENT.digest), undefined);
  await eventually("the list is asked for", () => peer.requests.length === 2);
  // The test's sanitizers find a connection that is left.
  await reader.close();
});

Deno.test("Mirror.blob() leaves no request behind when the client's range has no byte, though the chunk has", async () => {
  let lists = 0;
  await using peer = startRawServer(async ({ target }, connection) => {
    if (target.startsWith("/kagami/")) lists += 1;
    await send(
      connection,
      `HTTP/1.1 206 Partial Content\r\nX-Kagami-Chunks: 1048576\r\nContent-Length: 5\r\n` +
        `Content-Range: bytes ${5 * CHUNK_SIZE}-${SIZE - 1}/${SIZE}\r\n\r\n`,
    );
    await send(connection, CONTENT.bytes.subarray(5 * CHUNK_SIZE));
  });
  const self = { id: "peer", addresses: ["127.0.0.1"], registryPort: peer.port };
  const downloads = new TransferLimits({ maxStreams: 1, bytesPerSecond: 0 });
  const { mirror } = await mirrorOf(CONTENT.digest, [self], { downloads });
  for (let count = 0; count < 3; count++) {
    await assert.rejects(
      mirror.blob(blobPath(CONTENT.digest), `bytes=${SIZE}-`),
      (error) => error instanceof RangeNotSatisfiableError && error.size === SIZE,
    );
    assert.equal(downloads.active, 0);
  }
  assert.equal(lists, 0, "nothing is going to be checked");
});

Deno.test("Mirror.blob() lets no more downloads in than it may", async () => {
  await using peer = startChunkPeer("peer", CONTENT, { list: LIST });
  const downloads = new TransferLimits({ maxStreams: 1, bytesPerSecond: 0 });
  const { mirror } = await mirrorOf(CONTENT.digest, [peer.peer], { downloads });
  const path = blobPath(CONTENT.digest);
  const { reader } = await mirror.blob(path, undefined);
  await assert.rejects(
    mirror.blob(path, undefined),
    /the limit on downloads from peers is reached/,
  );
  await reader.close();
  const { error } = await read(await mirror.blob(path, undefined));
  assert.equal(error, undefined);
  await assert.rejects(mirror.blob(blobPath(makeContent(3).digest), undefined), NotFoundError);
  assert.equal(downloads.active, 0, "what was not found takes no place");
});

Deno.test("Mirror.blob() obeys the limit on bytes from peers, and blames no peer for it", async () => {
  await using first = startChunkPeer("a", CONTENT, { list: LIST });
  await using second = startChunkPeer("b", CONTENT, { list: LIST });
  const downloads = new TransferLimits({ maxStreams: 0, bytesPerSecond: 5_000_000 });
  const { mirror, events } = await mirrorOf(CONTENT.digest, [first.peer, second.peer], {
    downloads,
  });
  const { bytes, error } = await read(await mirror.blob(blobPath(CONTENT.digest), undefined));
  assert.equal(error, undefined);
  assert.ok(isSame(bytes, CONTENT.bytes));
  assert.ok(!events.some((event) => event.startsWith("failed")), String(events));
});

Deno.test("Mirror.blob() goes to the next peer when one is busy, and leaves that one alone", async () => {
  await using busy = startRawServer((_, connection) =>
    send(connection, "HTTP/1.1 429 No\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n")
  );
  await using good = startChunkPeer("good", CONTENT, { list: LIST });
  const self = { id: "busy", addresses: ["127.0.0.1"], registryPort: busy.port };
  let times = 0;
  const events: string[] = [];
  const { mirror } = await mirrorOf(CONTENT.digest, [self, good.peer], {
    events: {
      peerBusy: () => void (times += 1),
      peerFailed: (peer) => events.push(peer.id),
    },
  });
  for (let count = 0; count < 2; count++) {
    const { error } = await read(await mirror.blob(blobPath(CONTENT.digest), undefined));
    assert.equal(error, undefined);
  }
  assert.equal(times, 1);
  assert.equal(busy.requests.length, 1);
  assert.deepEqual(events, [], "it has not failed");
});

Deno.test("Mirror.blob() prefers peers of its own zone", async () => {
  await using far = startChunkPeer("far", CONTENT, { zone: "z2" });
  await using near = startChunkPeer("near", CONTENT, { zone: "z1" });
  const { mirror } = await mirrorOf(CONTENT.digest, [far.peer, near.peer], {
    book: new PeerBook({ zone: "z1" }),
  });
  for (let count = 0; count < 5; count++) {
    const { from } = await mirror.blob(blobPath(CONTENT.digest), "bytes=0-0").then(async (blob) => {
      await read(blob);
      return blob;
    });
    assert.equal(from, `127.0.0.1:${near.port}`);
  }
});

/** Writes no faster than so many pieces of 256 KiB a second. */
function paced(perSecond: number): () => Promise<void> {
  let next = performance.now();
  return async () => {
    next = Math.max(next, performance.now()) + 1000 / perSecond;
    await new Promise((resolve) => setTimeout(resolve, next - performance.now()));
  };
}

for (const count of [2, 3, 4]) {
  Deno.test(`Mirror.blob() takes large content from ${count} slow peers at the same time`, async () => {
    await using stack = new AsyncDisposableStack();
    const peers = ["a", "b", "c", "d"].slice(0, count).map((id) =>
      stack.use(startChunkPeer(id, LARGE, { list: listOf(LARGE)!, before: paced(40) }))
    );
    using pool = new ConnectionPool();
    const buffers = new ChunkBuffers();
    const { mirror, events } = await mirrorOf(LARGE.digest, peers.map(({ peer }) => peer), {
      client: new PeerClient({ timeouts: { ...TEST_TIMEOUTS, stallMs: 5000 }, pool }),
      buffers,
    });
    const { bytes, error } = await read(await mirror.blob(blobPath(LARGE.digest), undefined));
    assert.equal(error, undefined);
    assert.ok(isSame(bytes, LARGE.bytes));
    assert.ok(events.includes("lane added"));
    const delivering = peers.filter(({ ranges }) => ranges.length > 0);
    assert.ok(delivering.length > 1, "several peers delivered");
    assert.equal(buffers.lent, 0);
  });
}

Deno.test("Mirror.blob() goes on when one of several peers breaks in the middle, and none is left over", async () => {
  await using a = startChunkPeer("a", LARGE, { list: listOf(LARGE)!, before: paced(60) });
  await using b = startChunkPeer("b", LARGE, {
    list: listOf(LARGE)!,
    before: paced(60),
    breakAt: 15 * CHUNK_SIZE + 1000,
  });
  const buffers = new ChunkBuffers();
  const { mirror, events } = await mirrorOf(LARGE.digest, [a.peer, b.peer], {
    client: new PeerClient({ timeouts: { ...TEST_TIMEOUTS, stallMs: 5000 } }),
    buffers,
  });
  const { bytes, error } = await read(await mirror.blob(blobPath(LARGE.digest), undefined));
  assert.equal(error, undefined);
  assert.ok(isSame(bytes, LARGE.bytes));
  assert.ok(events.includes("lane added"));
  assert.ok(events.includes("failed b"));
  assert.equal(buffers.lent, 0);
});

Deno.test("Mirror.blob() leaves nothing behind when its reader is closed while several peers deliver", async () => {
  await using a = startChunkPeer("a", LARGE, { list: listOf(LARGE)!, before: paced(60) });
  await using b = startChunkPeer("b", LARGE, { list: listOf(LARGE)!, before: paced(60) });
  const buffers = new ChunkBuffers();
  const { mirror, events } = await mirrorOf(LARGE.digest, [a.peer, b.peer], {
    client: new PeerClient({ timeouts: { ...TEST_TIMEOUTS, stallMs: 5000 } }),
    buffers,
  });
  const { reader } = await mirror.blob(blobPath(LARGE.digest), undefined);
  while (!events.includes("lane added") || b.ranges.length === 0) {
    assert.ok(await reader.next!() !== undefined);
  }
  await reader.close();
  assert.equal(buffers.lent, 0);
});

Deno.test("Mirror.blob() takes chunks from Kagami's nodes and the end from one that has no lists", async () => {
  await using kagami = startChunkPeer("kagami", CONTENT, { list: LIST, breakAt: 3 * CHUNK_SIZE });
  await using spegel = startFaultPeer("spegel", CONTENT);
  const { mirror } = await mirrorOf(CONTENT.digest, [kagami.peer, spegel.peer]);
  const { bytes, error } = await read(await mirror.blob(blobPath(CONTENT.digest), undefined));
  assert.equal(error, undefined);
  assert.ok(isSame(bytes, CONTENT.bytes));
});
