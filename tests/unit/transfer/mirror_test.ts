import assert from "node:assert/strict";
import {
  NotFoundError,
  RangeNotSatisfiableError,
  UnavailableError,
  VerificationError,
} from "../../../lib/errors.ts";
import { OCI_MANIFEST } from "../../../lib/oci/media_types.ts";
import { MemoryNetwork, MemoryRouter } from "../../../lib/routing/memory_router.ts";
import type { Peer, Router } from "../../../lib/routing/router.ts";
import { sleep } from "../../../lib/sleep.ts";
import { OPEN_DEADLINE_MS } from "../../../lib/transfer/peer_search.ts";
import { PeerBook } from "../../../lib/transfer/peer_book.ts";
import { PeerClient } from "../../../lib/transfer/peer_client.ts";
import { makeContent, makeManifest } from "../support/content.ts";
import { drain } from "../support/drain.ts";
import { type Fault, startFaultPeer } from "../support/fault_peer.ts";
import { blobPath, manifestPath, mirrorOf } from "../support/mirror_of.ts";
import { send, startRawServer } from "../support/raw_server.ts";

const BLOB = makeContent(100_000);
/** Of several chunks. */
const LARGE = makeContent(5_500_000, 3);
const MANIFEST = makeManifest(makeContent(100, 2), [BLOB]);

/** A port at which nobody listens. */
function closedPort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** A router of which a test replaces parts. */
function routerWith(parts: Partial<Router>): Router {
  const router = new MemoryRouter({
    network: new MemoryNetwork(),
    self: { id: "self", addresses: ["127.0.0.1"], registryPort: 1 },
  });
  return Object.assign(router, parts);
}

Deno.test("Mirror.blob() delivers the bytes and describes them", async () => {
  await using good = startFaultPeer("good", BLOB);
  const { mirror, events } = await mirrorOf(BLOB.digest, [good.peer]);
  const { descriptor, reader, from } = await mirror.blob(blobPath(BLOB.digest), undefined);
  assert.deepEqual(descriptor, {
    digest: BLOB.digest,
    mediaType: "application/octet-stream",
    size: BLOB.bytes.length,
  });
  assert.equal(from, `127.0.0.1:${good.port}`);
  const { bytes, error } = await drain(reader);
  await reader.close();
  assert.equal(error, undefined);
  assert.deepEqual(bytes, new Uint8Array(BLOB.bytes));
  assert.deepEqual(events, ["resolved"]);
  const request = good.requests[0];
  assert.equal(request?.target, `/v2/library/test/blobs/${BLOB.digest}?ns=docker.io`);
  assert.equal(request?.headers.get("x-spegel-mirrored"), "true");
  assert.equal(request?.headers.has("range"), false);
});

Deno.test("Mirror.blob() delivers empty content", async () => {
  const empty = makeContent(0);
  await using good = startFaultPeer("good", empty);
  const { mirror } = await mirrorOf(empty.digest, [good.peer]);
  const { descriptor, reader } = await mirror.blob(blobPath(empty.digest), undefined);
  assert.equal(descriptor.size, 0);
  assert.deepEqual(await drain(reader), { bytes: new Uint8Array(0), error: undefined });
  await reader.close();
});

const FAULTS_BEFORE_THE_BODY: readonly Fault[] = [
  "hangs before the head",
  "not found",
  "server error",
  "wrong digest header",
];
for (const fault of FAULTS_BEFORE_THE_BODY) {
  Deno.test(`Mirror.blob() takes the next peer when one answers: ${fault}`, async () => {
    await using bad = startFaultPeer("bad", BLOB, fault);
    await using good = startFaultPeer("good", BLOB);
    const { mirror } = await mirrorOf(BLOB.digest, [bad.peer, good.peer]);
    const { reader, from } = await mirror.blob(blobPath(BLOB.digest), undefined);
    const { bytes, error } = await drain(reader);
    await reader.close();
    assert.equal(error, undefined);
    assert.deepEqual(bytes, new Uint8Array(BLOB.bytes));
    assert.equal(from, `127.0.0.1:${good.port}`);
    assert.equal(bad.requests.length, 1);
  });
}

Deno.test("Mirror.blob() takes the next peer when one cannot be reached", async () => {
  const dead = { id: "dead", addresses: ["127.0.0.1"], registryPort: closedPort() };
  await using good = startFaultPeer("good", BLOB);
  const { mirror, events } = await mirrorOf(BLOB.digest, [dead, good.peer]);
  const { reader } = await mirror.blob(blobPath(BLOB.digest), undefined);
  assert.deepEqual((await drain(reader)).bytes, new Uint8Array(BLOB.bytes));
  await reader.close();
  assert.deepEqual(events, ["resolved", "failed dead"]);
});

Deno.test("Mirror.blob() forgets a peer only for the key that it does not have", async () => {
  await using without = startFaultPeer("without", BLOB, "not found");
  await using failing = startFaultPeer("failing", BLOB, "server error");
  await using good = startFaultPeer("good", BLOB);
  const peers = [without.peer, failing.peer, good.peer];
  const { mirror, router, events } = await mirrorOf(BLOB.digest, peers);
  const { reader } = await mirror.blob(blobPath(BLOB.digest), undefined);
  await reader.close();
  const left = await Array.fromAsync(router.lookup(BLOB.digest));
  assert.deepEqual(left.map((peer) => peer.id), ["failing", "good"]);
  assert.deepEqual(events, ["resolved", "failed failing"], "a 404 is no failure of the peer");
});

for (const fault of ["breaks in the body", "hangs in the body"] as const) {
  Deno.test(`Mirror.blob() goes on at the next byte with another peer when one ${fault}`, async () => {
    await using bad = startFaultPeer("bad", BLOB, fault);
    await using good = startFaultPeer("good", BLOB);
    const { mirror, events } = await mirrorOf(BLOB.digest, [bad.peer, good.peer]);
    const { reader, from } = await mirror.blob(blobPath(BLOB.digest), undefined);
    const { bytes, error } = await drain(reader);
    await reader.close();
    assert.equal(error, undefined);
    assert.deepEqual(bytes, new Uint8Array(BLOB.bytes));
    assert.equal(from, `127.0.0.1:${bad.port}`);
    assert.equal(good.requests[0]?.headers.get("range"), "bytes=50000-99999");
    assert.deepEqual(events, ["resolved", "failed bad", "resumed"]);
  });
}

Deno.test("Mirror.blob() goes on with the same peer if it brought bytes and nobody else is left", async () => {
  let isFirst = true;
  await using peer = startRawServer(async (request, connection) => {
    const start = Number(/=(\d+)-/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
    const size = BLOB.bytes.length;
    await send(
      connection,
      `HTTP/1.1 ${start > 0 ? 206 : 200} OK\r\nContent-Length: ${size - start}\r\n` +
        `Content-Range: bytes ${start}-${size - 1}/${size}\r\n\r\n`,
    );
    await send(connection, BLOB.bytes.subarray(start, isFirst ? 1000 : size));
    isFirst = false;
  });
  const only: Peer = { id: "only", addresses: ["127.0.0.1"], registryPort: peer.port };
  const { mirror } = await mirrorOf(BLOB.digest, [only]);
  const { reader } = await mirror.blob(blobPath(BLOB.digest), undefined);
  const { bytes, error } = await drain(reader);
  await reader.close();
  assert.equal(error, undefined);
  assert.deepEqual(bytes, new Uint8Array(BLOB.bytes));
  assert.equal(peer.requests.length, 2);
});

Deno.test("Mirror.blob() goes on only where the peer sends the rest of the same content", async () => {
  const other = makeContent(BLOB.bytes.length + 1, 9);
  await using bad = startFaultPeer("bad", BLOB, "breaks in the body");
  // Names the wanted digest, but has content of another length.
  await using odd = startFaultPeer("odd", { bytes: other.bytes, digest: BLOB.digest });
  await using good = startFaultPeer("good", BLOB);
  const { mirror } = await mirrorOf(BLOB.digest, [bad.peer, odd.peer, good.peer]);
  const { reader } = await mirror.blob(blobPath(BLOB.digest), undefined);
  const { bytes, error } = await drain(reader);
  await reader.close();
  assert.equal(error, undefined);
  assert.deepEqual(bytes, new Uint8Array(BLOB.bytes));
  assert.deepEqual([bad, odd, good].map((peer) => peer.requests.length), [1, 1, 1]);
});

Deno.test("Mirror.blob() fails, and never ends cleanly, when all peers die in the body", async () => {
  const bad = startFaultPeer("bad", LARGE, "hangs in the body");
  const { mirror } = await mirrorOf(LARGE.digest, [bad.peer]);
  const { reader } = await mirror.blob(blobPath(LARGE.digest), undefined);
  const buffer = new Uint8Array(1000);
  assert.ok(await reader.read(buffer) > 0);
  await bad[Symbol.asyncDispose]();
  const { bytes, error } = await drain(reader);
  assert.ok(error instanceof NotFoundError, String(error));
  assert.ok(bytes.length < LARGE.bytes.length / 2);
  await reader.close();
  await assert.rejects(mirror.blob(blobPath(LARGE.digest), undefined), NotFoundError);
});

Deno.test("Mirror.blob() fetches content of one chunk elsewhere when a peer delivers wrong bytes", async () => {
  await using bad = startFaultPeer("bad", BLOB, "wrong bytes");
  await using good = startFaultPeer("good", BLOB);
  const { mirror, events } = await mirrorOf(BLOB.digest, [bad.peer, good.peer]);
  const { reader } = await mirror.blob(blobPath(BLOB.digest), undefined);
  const { bytes, error } = await drain(reader);
  await reader.close();
  assert.equal(error, undefined);
  assert.deepEqual(bytes, new Uint8Array(BLOB.bytes));
  assert.deepEqual(events, ["resolved", "failed bad", "wrong bad", "resumed"]);
});

Deno.test("Mirror.blob() withholds the end of wrong content and leaves it to upstream", async () => {
  await using bad = startFaultPeer("bad", LARGE, "wrong bytes");
  await using good = startFaultPeer("good", LARGE);
  const { mirror, events } = await mirrorOf(LARGE.digest, [bad.peer, good.peer]);
  const { reader } = await mirror.blob(blobPath(LARGE.digest), undefined);
  const { bytes, error } = await drain(reader);
  await reader.close();
  assert.ok(error instanceof VerificationError, String(error));
  assert.ok(bytes.length < LARGE.bytes.length);
  assert.deepEqual(events, ["resolved", "failed bad", "wrong bad"]);

  const asked = good.requests.length;
  for (const range of [undefined, "bytes=99000-"]) {
    await assert.rejects(mirror.blob(blobPath(LARGE.digest), range), NotFoundError);
  }
  await assert.rejects(mirror.describeBlob(blobPath(LARGE.digest)), NotFoundError);
  assert.equal(good.requests.length, asked, "nobody is asked for poisoned content");
});

Deno.test("Mirror.blob() asks a peer that failed only after all others", async () => {
  await using failing = startFaultPeer("failing", BLOB, "server error");
  await using good = startFaultPeer("good", BLOB);
  // Patient: on a busy machine the good one may take so long that the other one is asked beside it.
  const book = Object.defineProperty(new PeerBook({ random: () => 0 }), "hedgeMs", {
    value: 60_000,
  });
  const { mirror } = await mirrorOf(BLOB.digest, [failing.peer, good.peer], { book });
  await (await mirror.blob(blobPath(BLOB.digest), undefined)).reader.close();
  assert.equal(failing.requests.length, 1);
  await (await mirror.blob(blobPath(BLOB.digest), undefined)).reader.close();
  assert.equal(failing.requests.length, 1);
});

Deno.test("Mirror.blob() passes a range on and delivers it", async () => {
  await using good = startFaultPeer("good", BLOB);
  const { mirror } = await mirrorOf(BLOB.digest, [good.peer]);
  const cases = [
    { range: "bytes=0-0", start: 0, end: 0 },
    { range: "bytes=10-19", start: 10, end: 19 },
    { range: "bytes=99990-", start: 99_990, end: 99_999 },
  ];
  for (const { range, start, end } of cases) {
    const { descriptor, reader } = await mirror.blob(blobPath(BLOB.digest), range);
    assert.equal(descriptor.size, BLOB.bytes.length);
    assert.deepEqual([reader.start, reader.end], [start, end], range);
    const { bytes, error } = await drain(reader);
    await reader.close();
    assert.equal(error, undefined);
    assert.deepEqual(bytes, new Uint8Array(BLOB.bytes.subarray(start, end + 1)), range);
  }
});

Deno.test("Mirror.blob() continues a range within its bounds", async () => {
  await using bad = startFaultPeer("bad", BLOB, "breaks in the body");
  await using good = startFaultPeer("good", BLOB);
  const { mirror } = await mirrorOf(BLOB.digest, [bad.peer, good.peer]);
  const { reader } = await mirror.blob(blobPath(BLOB.digest), "bytes=1000-1999");
  const { bytes, error } = await drain(reader);
  await reader.close();
  assert.equal(error, undefined);
  assert.deepEqual(bytes, new Uint8Array(BLOB.bytes.subarray(1000, 2000)));
  assert.equal(good.requests[0]?.headers.get("range"), "bytes=50000-99999", "the whole chunk");
});

Deno.test("Mirror.blob() verifies a range that covers everything", async () => {
  await using bad = startFaultPeer("bad", BLOB, "wrong bytes");
  const { mirror } = await mirrorOf(BLOB.digest, [bad.peer]);
  const { reader } = await mirror.blob(blobPath(BLOB.digest), "bytes=0-");
  const { bytes, error } = await drain(reader);
  assert.ok(error instanceof NotFoundError, String(error));
  assert.equal(bytes.length, 0);
  await reader.close();
});

Deno.test("Mirror.blob() takes the next peer when one ignores the range", async () => {
  await using bad = startFaultPeer("bad", BLOB, "200 to a range");
  await using good = startFaultPeer("good", BLOB);
  const { mirror } = await mirrorOf(BLOB.digest, [bad.peer, good.peer]);
  const { reader } = await mirror.blob(blobPath(BLOB.digest), "bytes=5-9");
  const { bytes } = await drain(reader);
  await reader.close();
  assert.deepEqual(bytes, new Uint8Array(BLOB.bytes.subarray(5, 10)));
});

Deno.test("Mirror.blob() passes on that a range lies outside, with the size", async () => {
  await using peer = startRawServer((_, connection) =>
    send(
      connection,
      "HTTP/1.1 416 No\r\nContent-Range: bytes */100000\r\nContent-Length: 0\r\n\r\n",
    )
  );
  const self: Peer = { id: "peer", addresses: ["127.0.0.1"], registryPort: peer.port };
  const { mirror } = await mirrorOf(BLOB.digest, [self]);
  await assert.rejects(
    mirror.blob(blobPath(BLOB.digest), "bytes=100000-"),
    (error) => error instanceof RangeNotSatisfiableError && error.size === 100_000,
  );
});

Deno.test("Mirror.blob() asks no more peers than it may", async () => {
  await using first = startFaultPeer("a", BLOB, "server error");
  await using second = startFaultPeer("b", BLOB, "server error");
  await using third = startFaultPeer("c", BLOB);
  const peers = [first.peer, second.peer, third.peer];
  const { mirror } = await mirrorOf(BLOB.digest, peers, { resolveRetries: 2 });
  await assert.rejects(mirror.blob(blobPath(BLOB.digest), undefined), NotFoundError);
  assert.equal(third.requests.length, 0);
});

Deno.test("Mirror finds nothing when nobody announces the key", async () => {
  const { mirror, events } = await mirrorOf("other", []);
  const message = new RegExp(`^${BLOB.digest}: no peer found$`);
  const isNotFound = (error: unknown) =>
    error instanceof NotFoundError && message.test(error.message);
  await assert.rejects(mirror.blob(blobPath(BLOB.digest), undefined), isNotFound);
  await assert.rejects(mirror.describeBlob(blobPath(BLOB.digest)), isNotFound);
  await assert.rejects(mirror.manifest(manifestPath(BLOB.digest)), isNotFound);
  assert.deepEqual(events, []);
});

Deno.test("Mirror gives up on a lookup that neither finds nor ends, and ends it", async () => {
  let ended = false;
  const router = routerWith({
    // deno-lint-ignore require-yield -- finds nothing
    async *lookup(_key, options) {
      await sleep(60_000, options?.signal);
      ended = true;
    },
  });
  const { mirror } = await mirrorOf(BLOB.digest, [], { router, resolveTimeoutMs: 20 });
  await assert.rejects(mirror.blob(blobPath(BLOB.digest), undefined), NotFoundError);
  await sleep(0);
  assert.ok(ended);
});

Deno.test("Mirror gives up on peers that all hang", async () => {
  await using first = startFaultPeer("a", BLOB, "hangs before the head");
  await using second = startFaultPeer("b", BLOB, "hangs before the head");
  const timeouts = {
    connectMs: 1000,
    headMs: 10 * OPEN_DEADLINE_MS,
    interimMs: 10 * OPEN_DEADLINE_MS,
    stallMs: 1000,
  };
  const { mirror } = await mirrorOf(BLOB.digest, [first.peer, second.peer], {
    client: new PeerClient({ timeouts }),
  });
  await assert.rejects(mirror.blob(blobPath(BLOB.digest), undefined), (error) => {
    return error instanceof NotFoundError &&
      /no peer answered within [0-9]+ ms/.test(String(error.cause));
  });
});

Deno.test("Mirror reports a router that cannot look up", async () => {
  const router = routerWith({
    // deno-lint-ignore require-yield -- fails before it finds anything
    async *lookup() {
      await Promise.resolve();
      throw new UnavailableError("no network");
    },
  });
  const { mirror } = await mirrorOf(BLOB.digest, [], { router });
  await assert.rejects(mirror.blob(blobPath(BLOB.digest), undefined), UnavailableError);
});

Deno.test("Mirror.blob() ends the search when its signal is aborted", async () => {
  await using hanging = startFaultPeer("a", BLOB, "hangs before the head");
  const { mirror, events } = await mirrorOf(BLOB.digest, [hanging.peer]);
  const abort = new AbortController();
  const opening = mirror.blob(blobPath(BLOB.digest), undefined, abort.signal);
  while (hanging.requests.length === 0) await sleep(1);
  abort.abort();
  await assert.rejects(opening);
  assert.deepEqual(events, ["resolved"], "a peer that was given up on has not failed");
});

Deno.test("Mirror.blob() ends the lookup when its reader is closed, and not before", async () => {
  await using good = startFaultPeer("good", BLOB);
  let ended = false;
  const router = routerWith({
    async *lookup(_key, options) {
      yield good.peer;
      await sleep(60_000, options?.signal);
      ended = true;
    },
  });
  const { mirror } = await mirrorOf(BLOB.digest, [], { router });
  const { reader } = await mirror.blob(blobPath(BLOB.digest), undefined);
  await drain(reader);
  assert.equal(ended, false);
  await reader.close();
  await sleep(0);
  assert.equal(ended, true);
});

Deno.test("Mirror.describeBlob() describes from a HEAD request", async () => {
  await using without = startFaultPeer("without", BLOB, "not found");
  await using good = startFaultPeer("good", BLOB, "none", "application/x-layer; a=b");
  const { mirror } = await mirrorOf(BLOB.digest, [without.peer, good.peer]);
  const { descriptor, from } = await mirror.describeBlob(blobPath(BLOB.digest));
  assert.deepEqual(descriptor, {
    digest: BLOB.digest,
    mediaType: "application/x-layer",
    size: BLOB.bytes.length,
  });
  assert.equal(from, `127.0.0.1:${good.port}`);
  assert.equal(good.requests[0]?.method, "HEAD");
});

for (const wanted of ["1.0", MANIFEST.digest]) {
  const by = wanted === "1.0" ? "tag" : "digest";
  const path = manifestPath(wanted);

  Deno.test(`Mirror.manifest() delivers by ${by}`, async () => {
    await using good = startFaultPeer("good", MANIFEST, "none", OCI_MANIFEST);
    const { mirror } = await mirrorOf(path.key, [good.peer]);
    const { descriptor, bytes, from } = await mirror.manifest(path);
    assert.deepEqual(descriptor, {
      digest: MANIFEST.digest,
      mediaType: OCI_MANIFEST,
      size: MANIFEST.bytes.length,
    });
    assert.deepEqual(bytes, new Uint8Array(MANIFEST.bytes));
    assert.equal(from, `127.0.0.1:${good.port}`);
    assert.match(good.requests[0]?.headers.get("accept") ?? "", /oci\.image\.index/);
  });

  for (const fault of ["wrong bytes", "wrong digest header", "breaks in the body"] as const) {
    Deno.test(`Mirror.manifest() by ${by} takes the next peer on: ${fault}`, async () => {
      await using bad = startFaultPeer("bad", MANIFEST, fault, OCI_MANIFEST);
      await using good = startFaultPeer("good", MANIFEST, "none", OCI_MANIFEST);
      const { mirror, events } = await mirrorOf(path.key, [bad.peer, good.peer]);
      const { bytes, from } = await mirror.manifest(path);
      assert.deepEqual(bytes, new Uint8Array(MANIFEST.bytes));
      assert.equal(from, `127.0.0.1:${good.port}`);
      assert.ok(events.includes("failed bad"));
      assert.equal(events.some((event) => event.startsWith("wrong ")), isWrong(fault, by));
    });
  }

  Deno.test(`Mirror.manifest() by ${by} finds nothing when all peers deliver wrong bytes`, async () => {
    await using bad = startFaultPeer("bad", MANIFEST, "wrong bytes", OCI_MANIFEST);
    const { mirror } = await mirrorOf(path.key, [bad.peer]);
    await assert.rejects(mirror.manifest(path), (error) => {
      return error instanceof NotFoundError && error.cause instanceof VerificationError;
    });
  });
}

/** By digest the header alone gives a wrong answer away, before a byte is read. */
function isWrong(fault: Fault, by: string): boolean {
  return fault === "wrong bytes" || (fault === "wrong digest header" && by === "tag");
}

Deno.test("Mirror.manifest() refuses a manifest over the size limit", async () => {
  await using peer = startRawServer((_, connection) =>
    send(connection, `HTTP/1.1 200 OK\r\nContent-Length: ${5 * 1024 * 1024}\r\n\r\n{`)
  );
  const self: Peer = { id: "peer", addresses: ["127.0.0.1"], registryPort: peer.port };
  const { mirror } = await mirrorOf("docker.io/library/test:1.0", [self]);
  await assert.rejects(mirror.manifest(manifestPath("1.0")), (error) => {
    return error instanceof NotFoundError && /over the limit/.test(String(error.cause));
  });
});
