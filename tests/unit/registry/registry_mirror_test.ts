import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { type Digest, parseDigest } from "../../../lib/oci/digest.ts";
import { OCI_MANIFEST, OCTET_STREAM } from "../../../lib/oci/media_types.ts";
import { basicAuthorization } from "../../../lib/registry/basic_auth.ts";
import { MemoryNetwork } from "../../../lib/routing/memory_router.ts";
import { makeContent, makeManifest } from "../support/content.ts";
import { eventually } from "../support/eventually.ts";
import { type Fault, startFaultPeer } from "../support/fault_peer.ts";
import { announce } from "../support/mirror_of.ts";
import { type RawAnswer, RawClient } from "../support/raw_client.ts";
import {
  type RawHandler,
  type RawRequest,
  send,
  startRawServer,
  untilClosed,
} from "../support/raw_server.ts";
import {
  type RegistryNode,
  type RegistryNodeOptions,
  startRegistryNode,
} from "../support/registry_node.ts";

const MiB = 1024 * 1024;
const BLOB = makeContent(100_000);
/** More than one buffer. */
const MEDIUM = makeContent(3 * MiB, 4);
/** More than any socket buffers. */
const LARGE = makeContent(32 * MiB, 2);
const MANIFEST = makeManifest(makeContent(10, 3), [BLOB]);
const TAG = "docker.io/app:v1";
const MANIFEST_TARGET = "/v2/app/manifests/v1?ns=docker.io";

function blobTarget(digest: string): string {
  return `/v2/app/blobs/${digest}?ns=docker.io`;
}

/** A node with nothing, and one that has the contents and has told so. */
interface Pair extends AsyncDisposable {
  readonly node: RegistryNode;
  readonly neighbour: RegistryNode;
}

async function startPair(
  nodeOptions: RegistryNodeOptions = {},
  neighbourOptions: RegistryNodeOptions = {},
): Promise<Pair> {
  const network = new MemoryNetwork();
  await using stack = new AsyncDisposableStack();
  const node = stack.use(await startRegistryNode({ network, id: "node", ...nodeOptions }));
  const neighbour = stack.use(
    await startRegistryNode({ network, id: "neighbour", ...neighbourOptions }),
  );
  const { store, peer } = neighbour;
  for (const { bytes, digest } of [BLOB, LARGE, MANIFEST]) {
    store.put(bytes, [], digest);
    await announce(network, peer, digest);
  }
  store.tag(TAG, MANIFEST.digest);
  await announce(network, peer, TAG);
  const nodes = stack.move();
  return { node, neighbour, [Symbol.asyncDispose]: () => nodes.disposeAsync() };
}

function codeOf({ body }: RawAnswer): string {
  return JSON.parse(new TextDecoder().decode(body)).errors[0].code;
}

Deno.test("Registry fetches a manifest from a peer, by tag and by digest, for GET and HEAD", async () => {
  await using pair = await startPair();
  const { node, neighbour } = pair;
  for (const target of [MANIFEST_TARGET, `/v2/app/manifests/${MANIFEST.digest}?ns=docker.io`]) {
    for (const method of ["GET", "HEAD"]) {
      const { status, headers, body } = await node.request(method, target);
      assert.equal(status, 200);
      assert.equal(headers.get("content-type"), OCI_MANIFEST);
      assert.equal(headers.get("content-length"), String(MANIFEST.bytes.length));
      assert.equal(headers.get("docker-content-digest"), MANIFEST.digest);
      assert.equal(headers.get("etag"), `"${MANIFEST.digest}"`);
      assert.equal(headers.get("oci-namespace"), "docker.io");
      assert.equal(headers.get("x-kagami-source"), `peer 127.0.0.1:${neighbour.port}`);
      assert.deepEqual(body, method === "GET" ? MANIFEST.bytes : new Uint8Array(0));
    }
  }
  assert.deepEqual(node.lookups, [TAG, TAG, MANIFEST.digest, MANIFEST.digest]);
  assert.deepEqual(neighbour.lookups, [], "a peer that is asked by a mirror asks nobody");
});

Deno.test("Registry fetches a blob from a peer", async () => {
  await using pair = await startPair();
  const { node, neighbour } = pair;
  for (const { bytes, digest } of [BLOB, LARGE]) {
    const { status, headers, body } = await node.request("GET", blobTarget(digest));
    assert.equal(status, 200);
    assert.equal(Buffer.compare(body, bytes), 0);
    assert.equal(headers.get("content-type"), OCTET_STREAM);
    assert.equal(headers.get("content-length"), String(bytes.length));
    assert.equal(headers.get("accept-ranges"), "bytes");
    assert.equal(headers.get("docker-content-digest"), digest);
    assert.equal(headers.get("x-kagami-source"), `peer 127.0.0.1:${neighbour.port}`);
  }
  await eventually("the peer's readers are closed", () => neighbour.store.openReaders.size === 0);
  const [exchange] = node.exchanges;
  assert.equal(exchange?.answer.facts.handler, "mirror");
  assert.equal(exchange?.bytes, BLOB.bytes.length);
});

Deno.test("Registry describes a peer's blob without fetching it", async () => {
  await using pair = await startPair();
  const { node, neighbour } = pair;
  const target = blobTarget(LARGE.digest);
  const head = await node.request("HEAD", target);
  assert.equal(head.status, 200);
  assert.equal(head.headers.get("content-length"), String(LARGE.bytes.length));
  const unmodified = await node.request("GET", target, { "If-None-Match": `"${LARGE.digest}"` });
  assert.equal(unmodified.status, 304);
  const mismatched = await node.request("GET", target, { "If-Match": '"other"' });
  assert.equal(mismatched.status, 412);
  assert.deepEqual(neighbour.exchanges.map(({ method }) => method), ["HEAD", "HEAD", "HEAD"]);
  assert.equal(neighbour.store.opened, 0);
});

Deno.test("Registry answers 304 for a peer's manifest, and 412", async () => {
  await using pair = await startPair();
  const { node } = pair;
  const same = { "If-None-Match": `"${MANIFEST.digest}"` };
  const { status, body } = await node.request("GET", MANIFEST_TARGET, same);
  assert.deepEqual([status, body.length], [304, 0]);
  const other = await node.request("GET", MANIFEST_TARGET, { "If-Match": '"other"' });
  assert.equal(other.status, 412);
});

for (
  const [range, start, end] of [
    ["bytes=0-0", 0, 0],
    ["bytes=500-99000", 500, 99_000],
    ["bytes=99000-", 99_000, 99_999],
    ["bytes=-100", 99_900, 99_999],
    ["bytes=-1000000", 0, 99_999],
    ["bytes=99000-1000000", 99_000, 99_999],
  ] as const
) {
  Deno.test(`Registry fetches bytes ${start} to ${end} from a peer for Range ${range}`, async () => {
    await using pair = await startPair();
    const answer = await pair.node.request("GET", blobTarget(BLOB.digest), { Range: range });
    assert.equal(answer.status, 206);
    assert.deepEqual(answer.body, BLOB.bytes.slice(start, end + 1));
    assert.equal(answer.headers.get("content-range"), `bytes ${start}-${end}/100000`);
    assert.equal(answer.headers.get("content-length"), String(end - start + 1));
  });
}

Deno.test("Registry answers 416 with the size that a peer tells", async () => {
  await using pair = await startPair();
  for (const range of ["bytes=100000-", "bytes=-0"]) {
    const answer = await pair.node.request("GET", blobTarget(BLOB.digest), { Range: range });
    assert.equal(answer.status, 416);
    assert.equal(answer.headers.get("content-range"), "bytes */100000");
    assert.equal(codeOf(answer), "UNSUPPORTED");
  }
});

Deno.test("Registry fetches all of a peer's blob where Range or If-Range makes no sense", async () => {
  await using pair = await startPair();
  for (
    const headers of [
      { Range: "bytes=0-1,5-6" },
      { Range: "bytes=5-2" },
      // The beginning of a fetch in parts, which is not begun where the parts may fail.
      { Range: "bytes=0-" },
      { "Range": "bytes=5-9", "If-Range": '"other"' },
    ]
  ) {
    const answer = await pair.node.request("GET", blobTarget(BLOB.digest), headers);
    assert.equal(answer.status, 200);
    assert.equal(answer.body.length, BLOB.bytes.length);
  }
  const ifRange = { "Range": "bytes=5-9", "If-Range": `"${BLOB.digest}"` };
  const part = await pair.node.request("GET", blobTarget(BLOB.digest), ifRange);
  assert.equal(part.status, 206);
});

Deno.test("Registry fetches empty blobs, and blobs by their sha512 digest", async () => {
  await using pair = await startPair();
  const { node, neighbour } = pair;
  const hex = createHash("sha512").update(BLOB.bytes).digest("hex");
  const sha512 = neighbour.store.put(BLOB.bytes, [], parseDigest(`sha512:${hex}`));
  const empty = neighbour.store.put(new Uint8Array(0));
  for (const digest of [sha512, empty]) await announce(neighbour.network, neighbour.peer, digest);
  const answer = await node.request("GET", blobTarget(sha512));
  assert.equal(answer.status, 200);
  assert.equal(Buffer.compare(answer.body, BLOB.bytes), 0);
  assert.equal(answer.headers.get("docker-content-digest"), sha512);
  for (const method of ["GET", "HEAD"]) {
    const { status, headers } = await node.request(method, blobTarget(empty));
    assert.deepEqual([status, headers.get("content-length")], [200, "0"]);
  }
});

Deno.test("Registry sends its credentials to peers, which want them, too", async () => {
  const credentials = { username: "user", password: "secret" };
  const authorization = basicAuthorization(credentials);
  await using trusted = await startPair({ credentials, authorization }, { credentials });
  const headers = { Authorization: authorization };
  const target = blobTarget(BLOB.digest);
  assert.equal((await trusted.node.request("GET", target, headers)).status, 200);
  await using stranger = await startPair({}, { credentials });
  assert.equal((await stranger.node.request("GET", target)).status, 404);
});

Deno.test("Registry names a registry with a port to its peers as containerd did", async () => {
  await using pair = await startPair();
  const { node, neighbour } = pair;
  const tag = "reg.test:5000/team/app:v1";
  neighbour.store.tag(tag, MANIFEST.digest);
  await announce(neighbour.network, neighbour.peer, tag);
  const answer = await node.request("GET", "/v2/team/app/manifests/v1?ns=reg.test:5000");
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("oci-namespace"), "reg.test:5000");
});

Deno.test("Registry asks in no circle when two nodes believe that the other has it", async () => {
  await using pair = await startPair();
  const { node, neighbour } = pair;
  const absent = `sha256:${"0".repeat(64)}` as Digest;
  for (const { peer } of [node, neighbour]) await announce(node.network, peer, absent);
  const answer = await node.request("GET", blobTarget(absent));
  assert.equal(answer.status, 404);
  assert.equal(codeOf(answer), "BLOB_UNKNOWN");
  assert.deepEqual(node.lookups, [absent]);
  assert.deepEqual(neighbour.lookups, []);
  assert.equal(neighbour.exchanges.length, 1);
});

/** A node whose only neighbour behaves as told. */
async function withPeer(
  handler: RawHandler,
  run: (node: RegistryNode) => Promise<void>,
  digest: Digest = BLOB.digest,
): Promise<void> {
  await using server = startRawServer(handler);
  await using node = await startRegistryNode();
  const peer = { id: "odd", addresses: ["127.0.0.1"], registryPort: server.port };
  await announce(node.network, peer, digest);
  await run(node);
}

/** Head of the answer of a peer that has a content of so many bytes. */
function headFor(request: RawRequest, size: number): string {
  const match = /^bytes=([0-9]+)-([0-9]*)$/.exec(request.headers.get("range") ?? "");
  const start = Number(match?.[1] ?? 0);
  const end = Math.min(size - 1, match?.[2] ? Number(match[2]) : size - 1);
  const part = match === null ? "" : `Content-Range: bytes ${start}-${end}/${size}\r\n`;
  const status = match === null ? "200 OK" : "206 Partial Content";
  return `HTTP/1.1 ${status}\r\nContent-Length: ${end - start + 1}\r\n${part}\r\n`;
}

for (const behaviour of ["closes", "stalls"] as const) {
  Deno.test(`Registry answers 404 when the peer ${behaviour} before the first byte of the body`, async () => {
    await withPeer(async (request, connection) => {
      await send(connection, headFor(request, BLOB.bytes.length));
      if (behaviour === "stalls") await untilClosed(connection);
    }, async (node) => {
      using client = await RawClient.connect(node.port);
      const answer = await client.request("GET", blobTarget(BLOB.digest));
      assert.equal(answer.status, 404);
      assert.equal(codeOf(answer), "BLOB_UNKNOWN");
      assert.equal(answer.headers.get("content-type"), "application/json");
      assert.equal((await client.request("GET", "/v2/")).status, 200, "the connection goes on");
      const [exchange] = node.exchanges;
      assert.equal(exchange?.status, 404);
      assert.equal(exchange.answer.facts.source, undefined, "nothing came from the peer");
    });
  });

  Deno.test(`Registry breaks the connection when the peer ${behaviour} after the first byte`, async () => {
    // More than one buffer, so that the first bytes are on their way when it happens.
    await withPeer(
      async (request, connection) => {
        if (request.headers.has("range")) {
          return await send(connection, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
        await send(connection, headFor(request, LARGE.bytes.length));
        await send(connection, LARGE.bytes.subarray(0, 5 * MiB));
        if (behaviour === "stalls") await untilClosed(connection);
      },
      async (node) => {
        using client = await RawClient.connect(node.port);
        await client.ask("GET", blobTarget(LARGE.digest));
        const { status, headers } = await client.receiveHead();
        assert.equal(status, 200);
        assert.equal(headers.get("content-length"), String(LARGE.bytes.length));
        const { bytes } = await client.ended();
        assert.ok(bytes.length <= 5 * MiB, "never a clean end");
        assert.equal(Buffer.compare(bytes, LARGE.bytes.subarray(0, bytes.length)), 0);
        assert.equal(node.exchanges[0]?.complete, false);
        assert.equal((await node.request("GET", "/v2/")).status, 200);
      },
      LARGE.digest,
    );
  });
}

Deno.test("Registry breaks the connection in the middle of a range, too", async () => {
  let isFirst = true;
  await withPeer(
    async (request, connection) => {
      // It goes on with nothing.
      if (!isFirst) return;
      isFirst = false;
      await send(connection, headFor(request, LARGE.bytes.length));
      await send(connection, LARGE.bytes.subarray(0, 5 * MiB));
    },
    async (node) => {
      using client = await RawClient.connect(node.port);
      await client.ask("GET", blobTarget(LARGE.digest), { Range: "bytes=100-" });
      const { status, headers } = await client.receiveHead();
      assert.equal(status, 206);
      assert.equal(headers.get("content-range"), `bytes 100-33554431/33554432`);
      const { bytes } = await client.ended();
      assert.ok(bytes.length > 0 && bytes.length < LARGE.bytes.length - 100);
      assert.equal(Buffer.compare(bytes, LARGE.bytes.subarray(100, 100 + bytes.length)), 0);
    },
    LARGE.digest,
  );
});

for (const range of [undefined, "bytes=100-"]) {
  const asked = range === undefined ? "all of it" : `Range ${range}`;
  Deno.test(`Registry answers 404, not 416, to ${asked} when the peer that goes on denies that there is more`, async () => {
    let isFirst = true;
    await withPeer(async (request, connection) => {
      const denial = "HTTP/1.1 416 No\r\nContent-Length: 0\r\nContent-Range: bytes */50\r\n\r\n";
      const head = isFirst ? headFor(request, BLOB.bytes.length) : denial;
      isFirst = false;
      await send(connection, head);
    }, async (node) => {
      // A second node that would go on, if it had the content.
      const odd = node.network.nodes.get("odd")!;
      await announce(node.network, { ...odd, id: "other" }, BLOB.digest);
      const headers: Record<string, string> = range === undefined ? {} : { Range: range };
      const answer = await node.request("GET", blobTarget(BLOB.digest), headers);
      assert.equal(answer.status, 404);
      assert.equal(answer.headers.has("content-range"), false);
    });
  });
}

Deno.test("Registry answers 404, not 416, to a client that wanted no range", async () => {
  await withPeer(async (_request, connection) => {
    const head = "HTTP/1.1 416 No\r\nContent-Length: 0\r\nContent-Range: bytes */50\r\n\r\n";
    await send(connection, head);
  }, async (node) => {
    assert.equal((await node.request("GET", blobTarget(BLOB.digest))).status, 404);
  });
});

Deno.test("Registry sends no complete body whose bytes are wrong", async () => {
  await using small = startFaultPeer("small", BLOB, "wrong bytes");
  await using medium = startFaultPeer("medium", MEDIUM, "wrong bytes");
  await using node = await startRegistryNode();
  await announce(node.network, small.peer, BLOB.digest);
  await announce(node.network, medium.peer, MEDIUM.digest);

  const answer = await node.request("GET", blobTarget(BLOB.digest));
  assert.equal(answer.status, 404, "noticed before the first byte has left");
  using client = await RawClient.connect(node.port);
  await client.ask("GET", blobTarget(MEDIUM.digest));
  assert.equal((await client.receiveHead()).status, 200);
  assert.ok((await client.ended()).bytes.length < MEDIUM.bytes.length, "never a clean end");
  // What was wrong is left to upstream for a while.
  for (const { digest } of [BLOB, MEDIUM]) {
    const target = blobTarget(digest);
    assert.equal((await node.request("GET", target, { Range: "bytes=5-" })).status, 404);
  }
});

Deno.test("Registry sends no manifest whose bytes are wrong, or that breaks off", async () => {
  const faults: Fault[] = ["wrong bytes", "breaks in the body", "hangs in the body", "not found"];
  for (const fault of faults) {
    await using bad = startFaultPeer("bad", MANIFEST, fault, OCI_MANIFEST);
    await using node = await startRegistryNode();
    await announce(node.network, bad.peer, MANIFEST.digest);
    const answer = await node.request("GET", `/v2/app/manifests/${MANIFEST.digest}`);
    assert.equal(answer.status, 404, fault);
    assert.equal(codeOf(answer), "MANIFEST_UNKNOWN");
  }
});

Deno.test("Registry goes on with another peer, and the client notices nothing", async () => {
  await using bad = startFaultPeer("bad", MEDIUM, "breaks in the body");
  await using good = startFaultPeer("good", MEDIUM);
  await using node = await startRegistryNode();
  for (const { peer } of [bad, good]) await announce(node.network, peer, MEDIUM.digest);
  const { status, body } = await node.request("GET", blobTarget(MEDIUM.digest));
  assert.equal(status, 200);
  assert.equal(Buffer.compare(body, MEDIUM.bytes), 0);
  assert.equal(good.requests.at(-1)?.headers.get("range"), "bytes=1572864-3145727");
});

Deno.test("Registry lets go of the peer when the client goes away", async () => {
  await using pair = await startPair();
  const { node, neighbour } = pair;
  using client = await RawClient.connect(node.port);
  await client.ask("GET", blobTarget(LARGE.digest));
  await client.take(MiB);
  assert.equal(neighbour.store.openReaders.size, 1);
  client.close();
  await eventually("the request is over", () => node.inFlight() === 0);
  await eventually("the peer's, too", () => neighbour.inFlight() === 0);
  assert.equal(neighbour.store.openReaders.size, 0);
});

Deno.test("Registry lets go of a peer that hangs when the client goes away", async () => {
  const isClosed: boolean[] = [];
  await withPeer(async (_request, connection) => {
    isClosed.push(false);
    await untilClosed(connection);
    isClosed[0] = true;
  }, async (node) => {
    using client = await RawClient.connect(node.port);
    await client.ask("GET", blobTarget(BLOB.digest));
    await eventually("the peer is asked", () => isClosed.length === 1);
    client.close();
    await eventually("the peer is let go", () => isClosed[0]);
    await eventually("the request is over", () => node.inFlight() === 0);
  });
});
