// What Kagami's nodes tell each other beyond what Spegel does: load, lists of chunks, interim responses, "too busy".
import assert from "node:assert/strict";
import { BusyError, NotFoundError, PeerError, VerificationError } from "../../../lib/errors.ts";
import { CHUNK_SIZE } from "../../../lib/oci/chunk_list.ts";
import type { Peer } from "../../../lib/routing/router.ts";
import { ConnectionPool } from "../../../lib/transfer/connection_pool.ts";
import {
  MAX_CHUNK_LIST_BYTES,
  PeerClient,
  type PeerClientOptions,
  type PeerRequest,
} from "../../../lib/transfer/peer_client.ts";
import { makeContent } from "../support/content.ts";
import { drain } from "../support/drain.ts";
import { blobPath, TEST_TIMEOUTS } from "../support/mirror_of.ts";
import { type RawServer, send, startRawServer, untilClosed } from "../support/raw_server.ts";
import { startRegistryNode } from "../support/registry_node.ts";
import { listOf } from "./fake_peers.ts";

const CONTENT = makeContent(2 * CHUNK_SIZE + 5);
const LIST = listOf(CONTENT)!;
const SIZE = CONTENT.bytes.length;

function client(options: PeerClientOptions = {}): PeerClient {
  return new PeerClient({ timeouts: TEST_TIMEOUTS, ...options });
}

function peerAt(server: RawServer, addresses: readonly string[] = ["127.0.0.1"]): Peer {
  return { id: "peer", addresses, registryPort: server.port };
}

function get(overrides: Partial<PeerRequest> = {}): PeerRequest {
  return { path: blobPath(CONTENT.digest), method: "GET", ...overrides };
}

/** A peer that answers everything with one head, and a body. */
function answering(head: string, body: string | Uint8Array = ""): RawServer {
  return startRawServer(async (_, connection) => {
    await send(connection, `HTTP/1.1 ${head}\r\n\r\n`);
    await send(connection, body);
  });
}

function askForList(server: RawServer, signal?: AbortSignal): ReturnType<PeerClient["chunkList"]> {
  return client().chunkList(peerAt(server), CONTENT.digest, SIZE, signal);
}

Deno.test("PeerClient tells that it understands interim responses, and reports them", async () => {
  await using server = startRawServer(async (_, connection) => {
    await send(
      connection,
      "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n",
    );
    await send(connection, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  let interims = 0;
  const answer = await client().request(
    peerAt(server),
    get({ onInterim: () => void (interims += 1) }),
  );
  answer.response.close();
  assert.equal(interims, 2);
  assert.ok(server.requests[0]?.headers.has("x-kagami-interim"));
});

Deno.test("PeerClient keeps to the time limit that a request brings", async () => {
  await using server = startRawServer((_, connection) => untilClosed(connection));
  await assert.rejects(client().request(peerAt(server), get({ headMs: 30 })), /within 30 ms/);
});

const LOADS: readonly [string | undefined, number | undefined][] = [
  [undefined, undefined],
  ["0", 0],
  ["0.5", 0.5],
  ["0.333", 0.333],
  ["1", 1],
  ["1.5", undefined],
  ["-1", undefined],
  ["NaN", undefined],
  ["", undefined],
  ["0x1", undefined],
];
Deno.test("PeerClient takes a load only if it is one", async () => {
  for (const [text, load] of LOADS) {
    const header = text === undefined ? "" : `X-Kagami-Load: ${text}\r\n`;
    await using server = answering(`200 OK\r\n${header}Content-Length: 0`);
    const answer = await client().request(peerAt(server), get());
    answer.response.close();
    assert.equal(answer.load, load, `load ${text}`);
  }
});

Deno.test("PeerClient tells whether the peer has a list of chunks", async () => {
  for (
    const [header, hasChunks] of [["X-Kagami-Chunks: 1048576\r\n", true], ["", false]] as const
  ) {
    await using server = answering(`200 OK\r\n${header}Content-Length: 0`);
    const answer = await client().request(peerAt(server), get());
    answer.response.close();
    assert.equal(answer.hasChunks, hasChunks);
  }
});

const WAITS: readonly [string | undefined, number][] = [
  [undefined, 1000],
  ["3", 3000],
  ["0", 0],
  ["9999", 9_999_000],
  ["soon", 1000],
  ["-5", 1000],
  ["Wed, 21 Oct 2026 07:28:00 GMT", 1000],
  ["99999999", 1000],
];
Deno.test("PeerClient tells that a peer is busy, and for how long", async () => {
  for (const [text, ms] of WAITS) {
    const header = text === undefined ? "" : `Retry-After: ${text}\r\n`;
    await using server = answering(`429 Too Many Requests\r\n${header}Content-Length: 0`);
    await assert.rejects(
      // At its other address the peer would be as busy.
      client().request(peerAt(server, ["127.0.0.1", "127.0.0.1"]), get()),
      (error) => error instanceof BusyError && error.retryAfterMs === ms,
    );
    assert.equal(server.requests.length, 1);
  }
});

const OTHER_PARTS: readonly [asked: string, told: string, length: number][] = [
  ["bytes=2-4", "0-4/10", 5],
  ["bytes=2-4", "2-3/10", 2],
  ["bytes=2-4", "2-5/10", 4],
  ["bytes=2-", "2-8/10", 7],
  ["bytes=-3", "6-8/10", 3],
  ["bytes=-3", "6-9/10", 4],
  ["bytes=5-20", "5-8/10", 4],
];
for (const [asked, told, length] of OTHER_PARTS) {
  Deno.test(`PeerClient refuses ${told} as the answer to ${asked}`, async () => {
    await using server = answering(
      `206 Partial Content\r\nContent-Range: bytes ${told}\r\nContent-Length: ${length}`,
    );
    await assert.rejects(
      client().request(peerAt(server), get({ range: asked })),
      /peer answered with another range/,
    );
  });
}

const GOOD_PARTS: readonly [asked: string, told: string, length: number][] = [
  ["bytes=2-", "2-9/10", 8],
  ["bytes=-3", "7-9/10", 3],
  ["bytes=-30", "0-9/10", 10],
  ["bytes=5-20", "5-9/10", 5],
];
Deno.test("PeerClient takes the part that was asked for, cut off at the content's end", async () => {
  for (const [asked, told, length] of GOOD_PARTS) {
    await using server = answering(
      `206 Partial Content\r\nContent-Range: bytes ${told}\r\nContent-Length: ${length}`,
    );
    const answer = await client().request(peerAt(server), get({ range: asked }));
    answer.response.close();
    assert.equal(`${answer.start}-${answer.end}/${answer.size}`, told);
  }
});

Deno.test("PeerClient.chunkList() fetches a list, with what marks requests between mirrors", async () => {
  await using server = startRawServer(async (_, connection) => {
    await send(connection, `HTTP/1.1 200 OK\r\nContent-Length: ${LIST.bytes.length}\r\n\r\n`);
    for (let at = 0; at < LIST.bytes.length; at += 7) {
      await send(connection, LIST.bytes.subarray(at, at + 7));
    }
  });
  const asking = client({ authorization: "Basic abc" });
  const list = await asking.chunkList(peerAt(server), CONTENT.digest, SIZE);
  assert.ok(list.equals(LIST));
  const [request] = server.requests;
  assert.equal(request?.target, `/kagami/v1/chunks/${CONTENT.digest}`);
  assert.equal(request?.headers.get("authorization"), "Basic abc");
  assert.equal(request?.headers.get("x-spegel-mirrored"), "true");
});

Deno.test("PeerClient.chunkList() gets a list from a real node, over the connection that the content came by", async () => {
  await using node = await startRegistryNode({
    chunkList: (digest) => Promise.resolve(digest === CONTENT.digest ? LIST : undefined),
  });
  node.store.put(CONTENT.bytes);
  using pool = new ConnectionPool();
  const asking = client({ pool });
  const answer = await asking.request(node.peer, get());
  assert.equal((await drain(answer.response, CHUNK_SIZE)).bytes.length, SIZE);
  answer.response.close();
  assert.equal(answer.hasChunks, true);
  assert.equal(pool.size, 1);
  const list = await asking.chunkList(node.peer, CONTENT.digest, SIZE);
  assert.ok(list.equals(LIST));
  assert.equal(pool.size, 1);
  const other = makeContent(5, 9);
  await assert.rejects(asking.chunkList(node.peer, other.digest, 5), NotFoundError);
});

const wrong = LIST.bytes.slice();
wrong[wrong.length - 1]! ^= 1;
type ErrorClass = abstract new (...args: never[]) => Error;
const BAD_LISTS: Readonly<Record<string, [head: string, body: Uint8Array, ErrorClass]>> = {
  "there is none": ["404 Not Found\r\nContent-Length: 0", new Uint8Array(), NotFoundError],
  "the peer is busy": [
    "429 Too Many Requests\r\nContent-Length: 0",
    new Uint8Array(),
    PeerError,
  ],
  "the peer fails": ["503 No\r\nContent-Length: 0", new Uint8Array(), PeerError],
  "its end is not the content's digest": [
    `200 OK\r\nContent-Length: ${wrong.length}`,
    wrong,
    VerificationError,
  ],
  "it has too few entries": [
    `200 OK\r\nContent-Length: 36`,
    LIST.bytes.subarray(-36),
    VerificationError,
  ],
  "it has no length": ["200 OK", LIST.bytes, VerificationError],
  "it is empty": ["200 OK\r\nContent-Length: 0", new Uint8Array(), VerificationError],
  "it is too long": [
    `200 OK\r\nContent-Length: ${MAX_CHUNK_LIST_BYTES + 1}`,
    new Uint8Array(10),
    PeerError,
  ],
  "it ends early": [
    `200 OK\r\nContent-Length: ${LIST.bytes.length}`,
    LIST.bytes.subarray(5),
    PeerError,
  ],
};
for (const [name, [head, body, expected]] of Object.entries(BAD_LISTS)) {
  Deno.test(`PeerClient.chunkList() fails when ${name}`, async () => {
    await using server = answering(head, body);
    await assert.rejects(askForList(server), expected);
  });
}

Deno.test("PeerClient.chunkList() ends with its signal", async () => {
  await using server = startRawServer(async (_, connection) => {
    await send(connection, `HTTP/1.1 200 OK\r\nContent-Length: ${LIST.bytes.length}\r\n\r\n`);
    await untilClosed(connection);
  });
  const abort = new AbortController();
  const asking = askForList(server, abort.signal);
  while (server.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  abort.abort();
  await assert.rejects(asking, PeerError);
});
