import assert from "node:assert/strict";
import { NotFoundError, UnavailableError } from "../../../lib/errors.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { arrival, ARRIVAL_MS } from "../../../lib/registry/growing.ts";
import { QUEUED_MS } from "../../../lib/share/coordinator.ts";
import type { Sharing } from "../../../lib/registry/content_finder.ts";
import { MemoryNetwork } from "../../../lib/routing/memory_router.ts";
import type { PeerSource } from "../../../lib/routing/peer_source.ts";
import type { Peer } from "../../../lib/routing/router.ts";
import type { ByteRange, ContentReader, Ingests } from "../../../lib/store/store.ts";
import { makeContent, makeManifest } from "../support/content.ts";
import { type RegistryNode, startRegistryNode } from "../support/registry_node.ts";
import { TrackedStore } from "../support/tracked_store.ts";

const BLOB = makeContent(3_000_000);
const MANIFEST = makeManifest(makeContent(10, 3), [BLOB]);
const TARGET = `/v2/app/blobs/${BLOB.digest}?ns=docker.io`;
const AWAITED = { "X-Spegel-Mirrored": "true", "X-Kagami-Growing": "true" };

/** A store into which content is being written, as a test says. */
class GrowingStore extends TrackedStore {
  readonly growing = new Map<Digest, { bytes: Uint8Array; offset: number }>();

  readonly ingests: Ingests = {
    list: () => Promise.resolve([]),
    watch: () => {},
    find: (digest) => {
      const found = this.growing.get(digest);
      if (found === undefined) return Promise.resolve(undefined);
      const { bytes, offset } = found;
      return Promise.resolve({
        digest,
        offset,
        total: bytes.length,
        open: (range?: ByteRange) => Promise.resolve(this.#reader(bytes, range)),
      });
    },
  };

  #reader(bytes: Uint8Array, range?: ByteRange): ContentReader {
    const { start, end } = range ?? { start: 0, end: bytes.length - 1 };
    let at = start;
    return this.track({
      size: bytes.length,
      start,
      end,
      read: (into) => {
        const part = bytes.subarray(at, Math.min(end + 1, at + into.length));
        into.set(part);
        at += part.length;
        return Promise.resolve(part.length);
      },
      close: () => Promise.resolve(),
    });
  }
}

/** Names peers in turn. */
function sourceOf(peers: readonly Peer[], log: string[]): PeerSource {
  const left = [...peers];
  return {
    next: () => {
      const peer = left.shift();
      log.push(`next ${peer?.id}`);
      return Promise.resolve(peer);
    },
    patienceMs: () => 5000,
    progressed: () => {},
    close: (isComplete) => log.push(`close ${isComplete}`),
  };
}

function sharing(parts: Partial<Sharing> = {}): Sharing {
  return {
    join: () => Promise.resolve(undefined),
    resolve: () => Promise.resolve(undefined),
    state: () => undefined,
    isQueued: () => false,
    ...parts,
  };
}

Deno.test("arrival() waits until the content is there", async () => {
  let looks = 0;
  const found = await arrival({
    complete: () => ++looks < 3 ? Promise.reject(new NotFoundError("not yet")) : Promise.resolve(1),
    growing: () => Promise.resolve(undefined),
    isHopeless: () => false,
    isQueued: () => false,
    signal: new AbortController().signal,
  });
  assert.deepEqual([found, looks], [1, 3]);
});

Deno.test("arrival() waits longer for what waits in a queue, but not for ever", async () => {
  const looks = async (isQueued: (now: number) => boolean) => {
    let now = 0;
    const arriving = arrival({
      complete: () => {
        now += 1000;
        return Promise.reject(new NotFoundError("not yet"));
      },
      growing: () => Promise.resolve(undefined),
      isHopeless: () => false,
      isQueued: () => isQueued(now),
      signal: new AbortController().signal,
      now: () => now,
    });
    await assert.rejects(arriving, NotFoundError);
    return now;
  };
  assert.equal(await looks(() => false), ARRIVAL_MS);
  assert.equal(await looks((now) => now <= 3000), 3000 + ARRIVAL_MS);
  assert.equal(await looks(() => true), QUEUED_MS + ARRIVAL_MS);
});

Deno.test("arrival() gives up when it is told that nothing comes, when the asker is gone, and on other errors", async () => {
  const base = {
    complete: () => Promise.reject(new NotFoundError("not there")),
    growing: () => Promise.reject(new NotFoundError("aborted")),
    isHopeless: () => false,
    isQueued: () => false,
    signal: new AbortController().signal,
  };
  await assert.rejects(arrival({ ...base, isHopeless: () => true }), NotFoundError);
  await assert.rejects(arrival({ ...base, signal: AbortSignal.abort() }), NotFoundError);
  const away = () => Promise.reject(new UnavailableError("away"));
  await assert.rejects(arrival({ ...base, complete: away }), UnavailableError);
});

Deno.test("Registry serves a peer that was sent here from a content that grows", async () => {
  const store = new GrowingStore();
  await using node = await startRegistryNode({ store, sharing: sharing() });
  store.growing.set(BLOB.digest, { bytes: BLOB.bytes, offset: 1 });
  const whole = await node.request("GET", TARGET, AWAITED);
  assert.equal(whole.status, 200);
  assert.equal(whole.headers.get("content-length"), String(BLOB.bytes.length));
  assert.equal(whole.headers.get("x-kagami-growing"), "true");
  assert.equal(whole.headers.has("x-kagami-chunks"), false);
  assert.deepEqual(new Uint8Array(whole.body), new Uint8Array(BLOB.bytes));
  store.growing.set(BLOB.digest, { bytes: BLOB.bytes, offset: 2_000_000 });
  const part = await node.request("GET", TARGET, { ...AWAITED, Range: "bytes=1000000-" });
  assert.equal(part.status, 206);
  const range = `bytes 1000000-${BLOB.bytes.length - 1}/${BLOB.bytes.length}`;
  assert.equal(part.headers.get("content-range"), range);
  assert.equal(node.exchanges[0]?.answer.facts.isGrowing, true);
});

Deno.test("Registry keeps what grows from all who do not ask for that", async () => {
  const store = new GrowingStore();
  store.growing.set(BLOB.digest, { bytes: BLOB.bytes, offset: 1_000_000 });
  await using node = await startRegistryNode({ store, sharing: sharing() });
  const { "X-Kagami-Growing": _growing, ...mirrored } = AWAITED;
  assert.equal((await node.request("GET", TARGET, mirrored)).status, 404);
  assert.equal((await node.request("HEAD", TARGET, AWAITED)).status, 404);
  assert.equal((await node.request("GET", TARGET)).status, 404);
  await using off = await startRegistryNode({ store });
  assert.equal((await off.request("GET", TARGET, AWAITED)).status, 404);
});

Deno.test("Registry lets a peer wait for content that is on its way, manifests included", async () => {
  const store = new GrowingStore();
  await using node = await startRegistryNode({ store, sharing: sharing() });
  const manifest = `/v2/app/manifests/${MANIFEST.digest}?ns=docker.io`;
  const requests = [TARGET, manifest].map((target) => node.request("GET", target, AWAITED));
  store.put(BLOB.bytes, [], BLOB.digest);
  store.growing.set(MANIFEST.digest, { bytes: MANIFEST.bytes, offset: MANIFEST.bytes.length });
  store.put(MANIFEST.bytes, [], MANIFEST.digest);
  for (const { status, headers } of await Promise.all(requests)) {
    assert.equal(status, 200);
    assert.equal(headers.has("x-kagami-growing"), false);
  }
});

Deno.test("Registry tells a waiting peer at once that a fetch has failed", async () => {
  await using node = await startRegistryNode({
    store: new GrowingStore(),
    sharing: sharing({ state: () => "failed" }),
  });
  assert.equal((await node.request("GET", TARGET, AWAITED)).status, 404);
});

interface Pair extends AsyncDisposable {
  readonly node: RegistryNode;
  readonly parent: RegistryNode;
  readonly store: GrowingStore;
  readonly log: string[];
  /** What was asked for: key and first byte. */
  readonly joined: string[];
}

/** A node that is told to follow another one. */
async function startPair(before: readonly Peer[] = []): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const network = new MemoryNetwork();
  const store = new GrowingStore();
  const log: string[] = [];
  const joined: string[] = [];
  const parent = stack.use(
    await startRegistryNode({ network, id: "parent", store, sharing: sharing() }),
  );
  const join = (key: string, offset: number) => {
    joined.push(`${key} ${offset}`);
    return Promise.resolve(sourceOf([...before, parent.peer], log));
  };
  const node = stack.use(
    await startRegistryNode({ network, id: "node", sharing: sharing({ join }) }),
  );
  const owned = stack.move();
  return { node, parent, store, log, joined, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

Deno.test("Registry gets what nobody has from the node that it is told to follow", async () => {
  await using pair = await startPair();
  const { node, store, log, joined, parent } = pair;
  store.growing.set(BLOB.digest, { bytes: BLOB.bytes, offset: 1 });
  const { status, headers, body } = await node.request("GET", TARGET);
  assert.equal(status, 200);
  assert.equal(headers.get("x-kagami-source"), `peer 127.0.0.1:${parent.port}`);
  assert.deepEqual(new Uint8Array(body), new Uint8Array(BLOB.bytes));
  store.put(MANIFEST.bytes, [], MANIFEST.digest);
  const manifest = await node.request("GET", `/v2/app/manifests/${MANIFEST.digest}?ns=docker.io`);
  assert.equal(manifest.status, 200);
  assert.deepEqual(joined, [`${BLOB.digest} 0`, `${MANIFEST.digest} 0`]);
  assert.deepEqual(log, ["next parent", "close true", "next parent", "close true"]);
});

Deno.test("Registry asks who is to be followed with the first byte that is wanted", async () => {
  await using pair = await startPair();
  const { node, store, joined } = pair;
  store.growing.set(BLOB.digest, { bytes: BLOB.bytes, offset: 2_500_000 });
  const { status, body } = await node.request("GET", TARGET, { Range: "bytes=2000000-" });
  assert.equal(status, 206);
  assert.deepEqual(new Uint8Array(body), new Uint8Array(BLOB.bytes.slice(2_000_000)));
  assert.deepEqual(joined, [`${BLOB.digest} 2000000`]);
});

Deno.test("Registry tells whether the client queues its requests: containerd does from 2.0 on", async () => {
  const told: boolean[] = [];
  const join: Sharing["join"] = (_key, _offset, _signal, isQueueing) => {
    told.push(isQueueing);
    return Promise.resolve(undefined);
  };
  await using node = await startRegistryNode({ sharing: sharing({ join }) });
  const agents = ["containerd/1.7.20", "containerd/v2.3.4", "containerd/2.0.0+unknown", "curl/8"];
  for (const agent of agents) await node.request("GET", TARGET, { "User-Agent": agent });
  assert.deepEqual(told, [false, true, true, false]);
});

Deno.test("Registry shares neither HEAD, nor tags, nor the end of a content", async () => {
  await using pair = await startPair();
  const { node, joined } = pair;
  assert.equal((await node.request("HEAD", TARGET)).status, 404);
  assert.equal((await node.request("GET", TARGET, { Range: "bytes=-100" })).status, 404);
  assert.equal((await node.request("GET", "/v2/app/manifests/v1?ns=docker.io")).status, 404);
  assert.deepEqual(joined, []);
});

Deno.test("Registry goes on to the next one when a node that it is told to follow is gone", async () => {
  const gone = { id: "gone", addresses: ["127.0.0.1"], registryPort: 1 };
  await using pair = await startPair([gone]);
  const { node, store, log } = pair;
  store.growing.set(BLOB.digest, { bytes: BLOB.bytes, offset: 1 });
  assert.equal((await node.request("GET", TARGET)).status, 200);
  assert.deepEqual(log, ["next gone", "next parent", "close true"]);
});

Deno.test("Registry never ends a body that turns out wrong, whoever sent it while it grew", async () => {
  await using pair = await startPair();
  const { node, store, log } = pair;
  const wrong = Uint8Array.from(BLOB.bytes);
  wrong[0]! ^= 1;
  store.growing.set(BLOB.digest, { bytes: wrong, offset: 1 });
  await assert.rejects(node.request("GET", TARGET));
  assert.equal(log.at(-1), "close false");
  assert.equal(node.exchanges[0]?.complete, false);
});
