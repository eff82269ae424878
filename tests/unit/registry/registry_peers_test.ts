import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { CHUNK_SIZE, ChunkList } from "../../../lib/oci/chunk_list.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { basicAuthorization } from "../../../lib/registry/basic_auth.ts";
import { VerifiedStore } from "../../../lib/store/verified_store.ts";
import { makeContent, makeManifest } from "../support/content.ts";
import { eventually } from "../support/eventually.ts";
import { RawClient } from "../support/raw_client.ts";
import {
  type RegistryNode,
  type RegistryNodeOptions,
  startRegistryNode,
} from "../support/registry_node.ts";
import { TrackedStore } from "../support/tracked_store.ts";

// What a node does for other mirrors, and for nobody else.

const SMALL = makeContent(1000);
/** More than any socket buffers. */
const LARGE = makeContent(32 * 1024 * 1024, 2);
const MANIFEST = makeManifest(makeContent(10, 3), [SMALL]);
const SMALL_TARGET = `/v2/app/blobs/${SMALL.digest}`;
const LARGE_TARGET = `/v2/app/blobs/${LARGE.digest}`;
const CHUNKS_TARGET = `/kagami/v1/chunks/${LARGE.digest}`;
const MIRRORED = { "X-Spegel-Mirrored": "true" };

async function startNode(options: RegistryNodeOptions = {}): Promise<RegistryNode> {
  const node = await startRegistryNode(options);
  for (const { bytes, digest } of [SMALL, LARGE, MANIFEST]) node.store.put(bytes, [], digest);
  return node;
}

Deno.test("Registry tells peers its load, and of large blobs that there are chunks", async () => {
  await using node = await startNode({ uploads: { maxStreams: 4 } });
  const cases = [
    ["GET", LARGE_TARGET, "0.25", String(CHUNK_SIZE)],
    ["GET", SMALL_TARGET, "0.25", undefined],
    ["GET", `/v2/app/manifests/${MANIFEST.digest}`, "0.25", undefined],
    ["HEAD", LARGE_TARGET, "0.00", undefined],
  ] as const;
  for (const [method, target, load, chunks] of cases) {
    const { status, headers } = await node.request(method, target, MIRRORED);
    assert.equal(status, 200);
    assert.equal(headers.get("x-kagami-load"), load, `${method} ${target}`);
    assert.equal(headers.get("x-kagami-chunks"), chunks);
    await eventually("it is over", () => node.inFlight() === 0);
  }
  const { headers } = await node.request("GET", LARGE_TARGET);
  assert.equal(headers.has("x-kagami-load"), false, "containerd is told nothing of this");
  assert.equal(headers.has("x-kagami-chunks"), false);
});

Deno.test("Registry sends no more bodies to peers than it may, and tells them to come again", async () => {
  await using node = await startNode({ uploads: { maxStreams: 1 } });
  using client = await RawClient.connect(node.port);
  await client.ask("GET", LARGE_TARGET, MIRRORED);
  await client.receiveHead();
  const refused = await node.request("GET", SMALL_TARGET, MIRRORED);
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("retry-after"), "1");
  const { errors } = JSON.parse(new TextDecoder().decode(refused.body));
  assert.equal(errors[0].code, "TOOMANYREQUESTS");
  assert.equal(node.store.openReaders.size, 1, "the refused one is closed");
  assert.equal((await node.request("HEAD", SMALL_TARGET, MIRRORED)).status, 200);
  assert.equal(
    (await node.request("GET", SMALL_TARGET)).status,
    200,
    "containerd is never refused",
  );

  assert.equal(Buffer.compare(await client.take(LARGE.bytes.length), LARGE.bytes), 0);
  await eventually("there is room again", async () => {
    return (await node.request("GET", SMALL_TARGET, MIRRORED)).status === 200;
  });
});

Deno.test("Registry has room again when a peer goes away in the middle of a body", async () => {
  await using node = await startNode({ uploads: { maxStreams: 1 } });
  for (let count = 0; count < 3; count++) {
    using client = await RawClient.connect(node.port);
    await client.ask("GET", LARGE_TARGET, MIRRORED);
    assert.equal((await client.receiveHead()).status, 200);
    client.close();
    await eventually("the request is over", () => node.inFlight() === 0);
  }
  assert.equal(node.store.openReaders.size, 0);
});

Deno.test("Registry paces what it sends to peers, and not what it sends to containerd", async () => {
  await using node = await startNode({ uploads: { bytesPerSecond: 1_000_000 } });
  using peer = await RawClient.connect(node.port);
  await peer.ask("GET", LARGE_TARGET, MIRRORED);
  await peer.receiveHead();
  const { body } = await node.request("GET", LARGE_TARGET);
  assert.equal(Buffer.compare(body, LARGE.bytes), 0);
  const [first] = node.exchanges;
  assert.equal(
    first?.answer.upload,
    undefined,
    "containerd's was over first, though it came later",
  );
  peer.close();
  await eventually("a peer that waits for its turn is let go", () => node.inFlight() === 0);
  assert.equal(node.store.openReaders.size, 0);
});

/** A node that has verified its content. */
async function startVerified(options: RegistryNodeOptions = {}): Promise<RegistryNode> {
  const inner = new TrackedStore();
  for (const { bytes, digest } of [SMALL, LARGE]) inner.put(bytes, [], digest);
  const store = new VerifiedStore(inner, { log: silentLogger });
  for (const { digest } of [SMALL, LARGE]) await (await store.open(digest)).close();
  return await startNode({
    store,
    chunkList: (digest: Digest) => store.chunkList(digest),
    ...options,
  });
}

Deno.test("Registry hands out the chunks of content that it has found right", async () => {
  await using node = await startVerified();
  const { status, headers, body } = await node.request("GET", CHUNKS_TARGET);
  assert.equal(status, 200);
  assert.equal(headers.get("content-type"), "application/octet-stream");
  assert.ok(ChunkList.parse(body, LARGE.digest, LARGE.bytes.length) !== undefined);
  const head = await node.request("HEAD", CHUNKS_TARGET);
  assert.equal(head.status, 200);
  assert.equal(head.headers.get("content-length"), String(body.length));
});

Deno.test("Registry has no chunks of what is small, absent, or no digest", async () => {
  await using node = await startVerified();
  const absent = `sha256:${"0".repeat(64)}`;
  for (const last of [SMALL.digest, absent, "", "latest", "..%2f..", `${LARGE.digest}/`]) {
    const answer = await node.request("GET", `/kagami/v1/chunks/${last}`);
    assert.equal(answer.status, 404, last);
  }
  assert.deepEqual(node.lookups, []);
});

Deno.test("Registry guards chunks like content: credentials, and nothing but reading", async () => {
  const credentials = { username: "user", password: "secret" };
  await using node = await startVerified({ credentials });
  assert.equal((await node.request("GET", CHUNKS_TARGET)).status, 401);
  const headers = { Authorization: basicAuthorization(credentials) };
  assert.equal((await node.request("GET", CHUNKS_TARGET, headers)).status, 200);
  for (const method of ["POST", "DELETE"]) {
    const answer = await node.request(method, CHUNKS_TARGET, headers);
    assert.equal(answer.status, 405);
    assert.equal(answer.headers.get("allow"), "GET, HEAD");
  }
});

Deno.test("Registry tells a peer that it works on the answer, and nobody else", async () => {
  const store = new TrackedStore();
  store.put(SMALL.bytes);
  const open = store.open.bind(store);
  let gate = Promise.withResolvers<void>();
  store.open = async (digest, range) => {
    await gate.promise;
    return await open(digest, range);
  };
  await using node = await startRegistryNode({ store });
  using peer = await RawClient.connect(node.port);
  await peer.ask("GET", SMALL_TARGET, { ...MIRRORED, "X-Kagami-Interim": "true" });
  assert.equal((await peer.receiveHead()).status, 102);
  assert.equal((await peer.receiveHead()).status, 102);
  gate.resolve();
  let answer = await peer.receive();
  while (answer.status === 102) answer = await peer.receive();
  assert.equal(answer.status, 200);
  assert.equal(Buffer.compare(answer.body, SMALL.bytes), 0);

  gate = Promise.withResolvers();
  using plain = await RawClient.connect(node.port);
  await plain.ask("GET", SMALL_TARGET, MIRRORED);
  await peer.ask("GET", SMALL_TARGET, { ...MIRRORED, "X-Kagami-Interim": "true" });
  assert.equal((await peer.receiveHead()).status, 102);
  gate.resolve();
  assert.equal((await plain.receive()).status, 200, "no interim answer came before it");
});
