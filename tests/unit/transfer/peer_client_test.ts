import assert from "node:assert/strict";
import { NotFoundError, PeerError, RangeNotSatisfiableError } from "../../../lib/errors.ts";
import { MANIFEST_MEDIA_TYPES } from "../../../lib/oci/media_types.ts";
import type { Peer } from "../../../lib/routing/router.ts";
import {
  PeerClient,
  type PeerClientOptions,
  type PeerRequest,
} from "../../../lib/transfer/peer_client.ts";
import { makeContent } from "../support/content.ts";
import { drain } from "../support/drain.ts";
import { startFaultPeer } from "../support/fault_peer.ts";
import { blobPath, manifestPath, TEST_TIMEOUTS } from "../support/mirror_of.ts";
import { type RawServer, send, startRawServer, untilClosed } from "../support/raw_server.ts";

const BLOB = makeContent(10);

function client(options: PeerClientOptions = {}): PeerClient {
  return new PeerClient({ timeouts: TEST_TIMEOUTS, ...options });
}

function peerAt(server: RawServer, addresses: readonly string[] = ["127.0.0.1"]): Peer {
  return { id: "peer", addresses, registryPort: server.port };
}

function get(overrides: Partial<PeerRequest> = {}): PeerRequest {
  return { path: blobPath(BLOB.digest), method: "GET", ...overrides };
}

/** A peer that answers everything with one head, and a body where the head promises one. */
function answering(head: string, body: string | Uint8Array = ""): RawServer {
  return startRawServer(async (_, connection) => {
    await send(connection, `HTTP/1.1 ${head}\r\n\r\n`);
    await send(connection, body);
  });
}

Deno.test("PeerClient sends what marks a request between mirrors", async () => {
  await using server = startFaultPeer("peer", BLOB);
  const asking = client({ authorization: "Basic abc" });
  const answer = await asking.request(server.peer, get());
  assert.deepEqual((await drain(answer.response)).bytes, new Uint8Array(BLOB.bytes));
  answer.response.close();
  const headers = server.requests[0]?.headers;
  assert.equal(headers?.get("x-spegel-mirrored"), "true");
  assert.equal(headers?.get("authorization"), "Basic abc");
  assert.equal(headers?.get("accept"), "*/*");
  assert.equal(headers?.has("range"), false);
  assert.equal(answer.address, `127.0.0.1:${server.port}`);
  assert.equal(answer.digest, BLOB.digest);
  assert.deepEqual([answer.size, answer.start, answer.end], [10, 0, 9]);
});

Deno.test("PeerClient accepts all kinds of manifests, and sends no credentials it was not given", async () => {
  await using server = startFaultPeer("peer", BLOB);
  const answer = await client().request(server.peer, get({ path: manifestPath("1.0") }));
  answer.response.close();
  const headers = server.requests[0]?.headers;
  assert.equal(headers?.get("accept"), MANIFEST_MEDIA_TYPES.join(", "));
  assert.equal(headers?.has("authorization"), false);
});

Deno.test("PeerClient reads the bounds of a part", async () => {
  await using server = startFaultPeer("peer", BLOB);
  const answer = await client().request(server.peer, get({ range: "bytes=2-4" }));
  assert.deepEqual([answer.size, answer.start, answer.end], [10, 2, 4]);
  const { bytes } = await drain(answer.response);
  answer.response.close();
  assert.deepEqual(bytes, new Uint8Array(BLOB.bytes.subarray(2, 5)));
});

Deno.test("PeerClient takes the media type without parameters, or a plain one", async () => {
  const cases = [
    ["Content-Type: text/html; charset=utf-8\r\n", "text/html"],
    ["Content-Type: application/json\r\n", "application/json"],
    ["", "application/octet-stream"],
  ] as const;
  for (const [header, mediaType] of cases) {
    await using server = answering(`200 OK\r\n${header}Content-Length: 0`);
    const answer = await client().request(peerAt(server), get());
    answer.response.close();
    assert.equal(answer.mediaType, mediaType);
  }
});

Deno.test("PeerClient ignores a digest header that is none", async () => {
  await using server = answering("200 OK\r\nDocker-Content-Digest: abc\r\nContent-Length: 0");
  const answer = await client().request(peerAt(server), get());
  answer.response.close();
  assert.equal(answer.digest, undefined);
});

const BAD_ANSWERS: readonly [name: string, head: string, range?: string][] = [
  ["an error", "500 Internal Server Error\r\nContent-Length: 0"],
  ["a redirect", "307 Temporary Redirect\r\nLocation: http://a/\r\nContent-Length: 0"],
  ["no content", "204 No Content"],
  ["refused credentials", "401 Unauthorized\r\nContent-Length: 0"],
  ["no length", "200 OK"],
  ["all instead of a part", "200 OK\r\nContent-Length: 10", "bytes=2-4"],
  [
    "a part instead of all",
    "206 Partial Content\r\nContent-Range: bytes 0-4/10\r\nContent-Length: 5",
  ],
  ["a part without bounds", "206 Partial Content\r\nContent-Length: 3", "bytes=2-4"],
  [
    "a part of unknown size",
    "206 Partial Content\r\nContent-Range: bytes 2-4/*\r\nContent-Length: 3",
    "bytes=2-4",
  ],
  [
    "a part beyond the size",
    "206 Partial Content\r\nContent-Range: bytes 2-10/10\r\nContent-Length: 9",
    "bytes=2-10",
  ],
  [
    "a backward part",
    "206 Partial Content\r\nContent-Range: bytes 4-2/10\r\nContent-Length: 0",
    "bytes=2-4",
  ],
  [
    "bounds and length that disagree",
    "206 Partial Content\r\nContent-Range: bytes 2-4/10\r\nContent-Length: 5",
    "bytes=2-4",
  ],
  ["416 without the size", "416 Range Not Satisfiable\r\nContent-Length: 0", "bytes=10-"],
  ["416 where no range was asked for", "416 No\r\nContent-Range: bytes */10\r\nContent-Length: 0"],
  [
    "other content",
    `200 OK\r\nDocker-Content-Digest: sha256:${"0".repeat(64)}\r\nContent-Length: 10`,
  ],
];
for (const [name, head, range] of BAD_ANSWERS) {
  Deno.test(`PeerClient refuses an answer with ${name}`, async () => {
    await using server = answering(head);
    const request = get(range === undefined ? {} : { range });
    await assert.rejects(client().request(peerAt(server), request), PeerError);
  });
}

Deno.test("PeerClient tells that the peer lacks the content", async () => {
  await using server = answering("404 Not Found\r\nContent-Length: 0");
  await assert.rejects(client().request(peerAt(server), get()), NotFoundError);
});

Deno.test("PeerClient tells that a range lies outside, with the size", async () => {
  await using server = answering("416 No\r\nContent-Range: bytes */10\r\nContent-Length: 0");
  await assert.rejects(
    client().request(peerAt(server), get({ range: "bytes=10-" })),
    (error) => error instanceof RangeNotSatisfiableError && error.size === 10,
  );
});

Deno.test("PeerClient tries a peer's addresses in order until one answers", async () => {
  await using server = startFaultPeer("peer", BLOB);
  // Nobody listens on the other loopback addresses.
  const peer = peerAt(server, ["127.0.0.77", "127.0.0.1", "127.0.0.78"]);
  const answer = await client().request(peer, get());
  answer.response.close();
  assert.equal(answer.address, `127.0.0.1:${server.port}`);
});

Deno.test("PeerClient takes an answer that the content is missing as the peer's last word", async () => {
  await using server = answering("404 Not Found\r\nContent-Length: 0");
  const peer = peerAt(server, ["127.0.0.1", "127.0.0.1"]);
  await assert.rejects(client().request(peer, get()), NotFoundError);
  assert.equal(server.requests.length, 1);
});

Deno.test("PeerClient refuses a peer without address", async () => {
  const peer = { id: "peer", addresses: [], registryPort: 5000 };
  await assert.rejects(client().request(peer, get()), /peer peer has no address/);
});

Deno.test("PeerClient asks no further address after an abort", async () => {
  await using server = startRawServer((_, connection) => untilClosed(connection));
  const abort = new AbortController();
  const peer = peerAt(server, ["127.0.0.1", "127.0.0.1"]);
  const asking = client().request(peer, get({ signal: abort.signal }));
  while (server.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  abort.abort();
  await assert.rejects(asking, PeerError);
  assert.equal(server.requests.length, 1);
});
