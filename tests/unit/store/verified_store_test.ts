import assert from "node:assert/strict";
import { NotFoundError, UnavailableError } from "../../../lib/errors.ts";
import { CHUNK_SIZE, ChunkList } from "../../../lib/oci/chunk_list.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { LayoutStore } from "../../../lib/store/layout/layout_store.ts";
import { MAX_SMALL_CONTENT } from "../../../lib/store/small_contents.ts";
import type { Store, StoreEvent } from "../../../lib/store/store.ts";
import {
  MAX_CONCURRENT_VERIFICATIONS,
  VERIFICATION_BUFFER_SIZE,
  VerifiedStore,
} from "../../../lib/store/verified_store.ts";
import { recordingLog } from "../cli/recording_log.ts";
import { BytesReader } from "../support/bytes_reader.ts";
import { makeContent, makeManifest, type TestContent } from "../support/content.ts";
import { drain } from "../support/drain.ts";
import { eventually } from "../support/eventually.ts";
import { LayoutFolder } from "../support/layout_folder.ts";
import { TrackedStore } from "../support/tracked_store.ts";
import { testStoreCompliance } from "./compliance.ts";
import { memoryFixture } from "./memory_fixture.ts";

testStoreCompliance(
  "VerifiedStore",
  () => Promise.resolve(memoryFixture((inner) => new VerifiedStore(inner, { log: silentLogger }))),
);

const CONTENT = makeContent(100_000);
const LARGE = makeContent(3 * VERIFICATION_BUFFER_SIZE + 5, 2);

/** The same bytes but for one. */
function corrupted({ bytes, digest }: TestContent): TestContent {
  const wrong = new Uint8Array(bytes);
  wrong[50] = (wrong[50] ?? 0) ^ 1;
  return { bytes: wrong, digest };
}

interface Fixture {
  readonly inner: TrackedStore;
  readonly store: VerifiedStore;
  /** Digests that were reported as corrupt. */
  readonly corrupt: Digest[];
}

function verified(...contents: readonly TestContent[]): Fixture {
  const inner = new TrackedStore();
  for (const { bytes, digest } of contents) inner.put(bytes, [], digest);
  const corrupt: Digest[] = [];
  const store = new VerifiedStore(inner, {
    log: silentLogger,
    onCorrupt: (digest) => corrupt.push(digest),
  });
  return { inner, store, corrupt };
}

/** All bytes of a content; how many readers were opened for it. */
async function fetch(
  { inner, store }: Pick<Fixture, "inner" | "store">,
  digest: Digest,
): Promise<{ bytes: Uint8Array; opened: number }> {
  const before = inner.opened;
  const reader = await store.open(digest);
  const { bytes, error } = await drain(reader);
  await reader.close();
  assert.equal(error, undefined);
  return { bytes, opened: inner.opened - before };
}

/** Readers that are opened for a content that is not verified yet: to look, to verify, to serve. */
const FIRST = 3;

Deno.test("VerifiedStore hands out right content, and hashes it only the first time", async () => {
  for (const content of [CONTENT, LARGE, makeContent(0)]) {
    const fixture = verified(content);
    const { bytes, opened } = await fetch(fixture, content.digest);
    assert.deepEqual(bytes, new Uint8Array(content.bytes));
    assert.equal(opened, FIRST);
    assert.equal((await fetch(fixture, content.digest)).opened, 1);
    assert.equal(fixture.inner.openReaders.size, 0);
    assert.deepEqual(fixture.corrupt, []);
  }
});

Deno.test("VerifiedStore hashes the whole of a content before it hands out a part", async () => {
  const right = verified(LARGE);
  const reader = await right.store.open(LARGE.digest, { start: 10, end: 19 });
  assert.deepEqual((await drain(reader)).bytes, LARGE.bytes.slice(10, 20));
  await reader.close();
  const wrong = verified(corrupted(LARGE));
  await assert.rejects(wrong.store.open(LARGE.digest, { start: 1000, end: 1009 }), NotFoundError);
});

Deno.test("VerifiedStore treats corrupt content as absent, and says so once", async () => {
  const { log, lines } = recordingLog();
  const inner = new TrackedStore();
  const digest = inner.put(corrupted(CONTENT).bytes, [], CONTENT.digest);
  const corrupt: Digest[] = [];
  const store = new VerifiedStore(inner, { log, onCorrupt: (found) => corrupt.push(found) });
  assert.equal((await store.descriptor(digest)).digest, digest, "nobody has looked yet");
  for (let count = 0; count < 3; count++) await assert.rejects(store.open(digest), NotFoundError);
  await assert.rejects(store.descriptor(digest), NotFoundError);
  assert.deepEqual(corrupt, [digest]);
  assert.equal(lines.length, 1);
  assert.equal(lines[0]?.["level"], "ERROR");
  assert.match(String(lines[0]?.["remedy"]), /crictl rmi <image>$/);
  assert.equal(inner.openReaders.size, 0);
});

Deno.test("VerifiedStore hashes corrupt content only once, too", async () => {
  const { inner, store } = verified(corrupted(CONTENT));
  await assert.rejects(store.open(CONTENT.digest), NotFoundError);
  const before = inner.opened;
  await assert.rejects(store.open(CONTENT.digest), NotFoundError);
  assert.equal(inner.opened - before, 1);
});

Deno.test("VerifiedStore takes content that ends early for corrupt", async () => {
  const { inner, store, corrupt } = verified(LARGE);
  inner.open = () =>
    Promise.resolve(inner.track(
      new BytesReader(LARGE.bytes.slice(0, 2_000_000), { size: LARGE.bytes.length }),
    ));
  await assert.rejects(store.open(LARGE.digest), NotFoundError);
  assert.deepEqual(corrupt, [LARGE.digest]);
  assert.equal(inner.openReaders.size, 0);
});

Deno.test("VerifiedStore lists corrupt content no more, nor the tag that points to it", async () => {
  const manifest = makeManifest(makeContent(5, 3), [CONTENT]);
  const { inner, store } = verified(CONTENT, corrupted(manifest));
  inner.tag("docker.io/app:v1", manifest.digest);
  const keys = async () => (await store.list()).map(({ key }) => key).sort();
  assert.deepEqual(await keys(), ["docker.io/app:v1", CONTENT.digest, manifest.digest].sort());
  await assert.rejects(store.open(manifest.digest), NotFoundError);
  assert.deepEqual(await keys(), [CONTENT.digest]);
});

Deno.test("VerifiedStore forgets corrupt content that is gone, and judges it anew when it is back", async () => {
  const { inner, store } = verified(corrupted(CONTENT));
  await assert.rejects(store.open(CONTENT.digest), NotFoundError);
  assert.deepEqual(await store.list(), []);
  inner.remove(CONTENT.digest);
  assert.deepEqual(await store.list(), []);
  inner.put(CONTENT.bytes);
  assert.deepEqual((await store.list()).map(({ key }) => key), [CONTENT.digest]);
  assert.equal((await fetch({ inner, store }, CONTENT.digest)).bytes.length, 100_000);
  await store.close();
});

/** A store over real files, whose versions tell when they were replaced. */
async function withLayout(
  run: (folder: LayoutFolder, store: VerifiedStore) => Promise<void>,
): Promise<void> {
  await using folder = await LayoutFolder.create();
  const manifest = makeManifest(makeContent(5, 3), [CONTENT]);
  await folder.add("docker.io/app:v1", { manifest, blobs: [CONTENT] });
  const inner: Store = new LayoutStore({ path: folder.path });
  const store = new VerifiedStore(inner, { log: silentLogger });
  try {
    await run(folder, store);
  } finally {
    await store.close();
  }
}

/** Puts other bytes in the place of a content, as a new file. */
async function replace(folder: LayoutFolder, content: TestContent): Promise<void> {
  const path = folder.blobPath(content);
  await Deno.writeFile(`${path}.new`, content.bytes);
  await Deno.rename(`${path}.new`, path);
}

Deno.test("VerifiedStore judges anew what was replaced: right, wrong, and right again", async () => {
  await withLayout(async (folder, store) => {
    for (let round = 0; round < 2; round++) {
      const reader = await store.open(CONTENT.digest);
      assert.deepEqual((await drain(reader)).bytes, new Uint8Array(CONTENT.bytes));
      await reader.close();
      await replace(folder, corrupted(CONTENT));
      await assert.rejects(store.open(CONTENT.digest), NotFoundError);
      await assert.rejects(store.descriptor(CONTENT.digest), NotFoundError);
      await replace(folder, CONTENT);
      assert.equal((await store.descriptor(CONTENT.digest)).size, CONTENT.bytes.length);
    }
  });
});

Deno.test("VerifiedStore lists replaced content again, though nobody has asked for it", async () => {
  await withLayout(async (folder, store) => {
    const isListed = async () => (await store.list()).some(({ key }) => key === CONTENT.digest);
    await replace(folder, corrupted(CONTENT));
    await assert.rejects(store.open(CONTENT.digest), NotFoundError);
    assert.equal(await isListed(), false);
    assert.equal(await isListed(), false);
    await replace(folder, CONTENT);
    assert.equal(await isListed(), true);
  });
});

Deno.test("VerifiedStore lets a reader go on whose content is replaced", async () => {
  await withLayout(async (folder, store) => {
    const reader = await store.open(CONTENT.digest);
    await replace(folder, corrupted(CONTENT));
    assert.deepEqual((await drain(reader)).bytes, new Uint8Array(CONTENT.bytes));
    await reader.close();
  });
});

/** Makes the reads of a content wait. */
function gate(inner: TrackedStore, ...contents: readonly TestContent[]): { open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const open = inner.open.bind(inner);
  inner.open = (digest, range) => {
    const content = contents.find((gated) => gated.digest === digest);
    if (content === undefined || range !== undefined) return open(digest, range);
    return Promise.resolve(inner.track(new BytesReader(content.bytes, { before: () => promise })));
  };
  return { open: resolve };
}

Deno.test("VerifiedStore lets concurrent opens of one content share one verification", async () => {
  const fixture = verified(LARGE);
  const { inner, store } = fixture;
  const gated = gate(inner, LARGE);
  const opening = Array.from({ length: 10 }, () => store.open(LARGE.digest));
  await eventually("it is being verified", () => inner.openReaders.size === 1);
  gated.open();
  const readers = await Promise.all(opening);
  assert.equal(inner.opened, 10 + 1 + 10);
  for (const reader of readers) await reader.close();
});

Deno.test("VerifiedStore lets concurrent opens of corrupt content fail together", async () => {
  const { inner, store, corrupt } = verified(corrupted(LARGE));
  const gated = gate(inner, corrupted(LARGE));
  const opening = Array.from({ length: 10 }, () => store.open(LARGE.digest));
  gated.open();
  for (const { status } of await Promise.allSettled(opening)) assert.equal(status, "rejected");
  assert.deepEqual(corrupt, [LARGE.digest]);
  assert.equal(inner.openReaders.size, 0);
});

Deno.test("VerifiedStore hashes only so many layers at a time, and lets a manifest pass them", async () => {
  const layers = [11, 12, 13, 14].map((seed) => makeContent(LARGE.bytes.length, seed));
  const { inner, store } = verified(...layers, CONTENT);
  let running = 0;
  let most = 0;
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  const innerOpen = inner.open.bind(inner);
  inner.open = async (digest, range) => {
    const reader = await innerOpen(digest, range);
    if (digest === CONTENT.digest) return reader;
    let isRunning = false;
    return Object.assign(reader, {
      read: async (into: Uint8Array) => {
        if (!isRunning) most = Math.max(most, running += 1);
        isRunning = true;
        await opened;
        const count = await BytesReader.prototype.read.call(bodies.get(digest), into);
        if (count === 0) running -= 1;
        return count;
      },
    });
  };
  const bodies = new Map(layers.map(({ bytes, digest }) => [digest, new BytesReader(bytes)]));
  const opening = layers.map(({ digest }) => store.open(digest));
  await eventually("two are being verified", () => running === MAX_CONCURRENT_VERIFICATIONS);
  await (await store.open(CONTENT.digest)).close();
  open();
  for (const reader of await Promise.all(opening)) await reader.close();
  assert.equal(most, MAX_CONCURRENT_VERIFICATIONS);
});

Deno.test("VerifiedStore passes on that its store fails, which says nothing of the content", async () => {
  const { inner, store, corrupt } = verified(CONTENT);
  const open = inner.open.bind(inner);
  const failure = new UnavailableError("containerd is away");
  let opened = 0;
  inner.open = async (digest, range) => {
    opened += 1;
    if (opened === 1) return await open(digest, range);
    return inner.track(new BytesReader(CONTENT.bytes, { failAt: 1000, failure }));
  };
  await assert.rejects(store.open(CONTENT.digest), UnavailableError);
  assert.deepEqual(corrupt, []);
  assert.equal(inner.openReaders.size, 0);
  inner.open = open;
  assert.equal((await fetch({ inner, store }, CONTENT.digest)).opened, FIRST);
});

Deno.test("VerifiedStore.close() ends verifications, those that wait, too", async () => {
  const layers = [11, 12, 13, 14].map((seed) => makeContent(LARGE.bytes.length, seed));
  const { inner, store, corrupt } = verified(...layers);
  const gated = gate(inner, ...layers);
  const opening = layers.map(({ digest }) => store.open(digest));
  for (const promise of opening) promise.catch(() => {});
  await eventually("all have begun", () => inner.openReaders.size === layers.length);
  await store.close();
  gated.open();
  for (const promise of opening) await assert.rejects(promise, UnavailableError);
  assert.equal(inner.openReaders.size, 0);
  assert.deepEqual(corrupt, []);
});

Deno.test("VerifiedStore tells watchers of corrupt content, and passes on what its store tells", async () => {
  const { inner, store } = verified(corrupted(CONTENT));
  const abort = new AbortController();
  const logs: StoreEvent[][] = [[], []];
  const watching = logs.map(async (log) => {
    for await (const event of store.watch(abort.signal)) log.push(event);
  });
  const both = (matches: (event: StoreEvent) => boolean) => () =>
    logs.every((log) => log.some(matches));
  await eventually("both watch", both(({ type }) => type === "reset"));
  await assert.rejects(store.open(CONTENT.digest), NotFoundError);
  await eventually(
    "both know",
    both((event) => "digest" in event && event.digest === CONTENT.digest),
  );
  inner.tag("docker.io/app:v1", CONTENT.digest);
  await eventually(
    "both know",
    both((event) => "reference" in event && event.reference === "docker.io/app:v1"),
  );
  abort.abort();
  await Promise.all(watching);
});

Deno.test("VerifiedStore passes on that the watch of its store failed, also while the watcher is busy", async () => {
  const { inner, store } = verified();
  inner.watch = async function* () {
    yield { type: "reset" } as const;
    await Promise.resolve();
    throw new UnavailableError("containerd is away");
  };
  const watch = store.watch(new AbortController().signal)[Symbol.asyncIterator]();
  assert.deepEqual((await watch.next()).value, { type: "reset" });
  // The failure comes while nobody waits for an event.
  await new Promise((resolve) => setTimeout(resolve, 0));
  await assert.rejects(watch.next(), UnavailableError);
});

Deno.test("VerifiedStore verifies what is new before anybody asks, not what was there at the start", async () => {
  const added = [21, 22].map((seed) => makeContent(LARGE.bytes.length, seed));
  const fixture = verified(CONTENT);
  const { inner, store } = fixture;
  await store.list();
  await store.list();
  assert.equal(inner.opened, 0);
  for (const { bytes } of added) inner.put(bytes);
  const broken = corrupted(makeContent(1000, 23));
  inner.put(broken.bytes, [], broken.digest);
  await store.list();
  await eventually("all are judged", () => inner.opened === 3 && inner.openReaders.size === 0);
  assert.deepEqual(fixture.corrupt, [broken.digest]);
  for (const { digest } of added) assert.equal((await fetch(fixture, digest)).opened, 1);
  assert.equal((await fetch(fixture, CONTENT.digest)).opened, FIRST);
  await store.close();
});

Deno.test("VerifiedStore leaves new content that nobody asks for until nothing is on its way any more", async () => {
  const inner = new TrackedStore();
  let isBusy = true;
  let looks = 0;
  const store = new VerifiedStore(inner, {
    log: silentLogger,
    isBusy() {
      looks += 1;
      return isBusy;
    },
  });
  await store.list();
  for (const { bytes, digest } of [CONTENT, LARGE]) inner.put(bytes, [], digest);
  await store.list();
  await eventually("it has looked twice", () => looks >= 2);
  assert.equal(await store.chunkList(LARGE.digest), undefined);
  await (await store.open(CONTENT.digest)).close(); // Does not wait.
  isBusy = false;
  await eventually("it is verified", async () => await store.chunkList(LARGE.digest) !== undefined);
  await store.close();
});

Deno.test("VerifiedStore goes on with the next new content when one cannot be verified", async () => {
  const fixture = verified();
  const { inner, store } = fixture;
  await store.list();
  const gone = makeContent(1000, 31);
  const [first, last] = [makeContent(1000, 32), makeContent(1000, 33)];
  for (const { bytes } of [first, gone, last]) inner.put(bytes);
  const open = inner.open.bind(inner);
  inner.open = (digest, range) => {
    if (digest === gone.digest) return Promise.reject(new NotFoundError("gone again"));
    return open(digest, range);
  };
  await store.list();
  await eventually(
    "the others are judged",
    () => inner.opened === 2 && inner.openReaders.size === 0,
  );
  for (const { digest } of [first, last]) assert.equal((await fetch(fixture, digest)).opened, 1);
  await store.close();
});

Deno.test("VerifiedStore has the chunks of content that was found right, and of no other", async () => {
  const { store } = verified(LARGE, CONTENT, corrupted(makeContent(LARGE.bytes.length, 41)));
  assert.equal(await store.chunkList(LARGE.digest), undefined, "not verified yet");
  await (await store.open(LARGE.digest)).close();
  const list = await store.chunkList(LARGE.digest);
  assert.ok(list !== undefined);
  const read = ChunkList.parse(list.bytes, LARGE.digest, LARGE.bytes.length);
  assert.ok(read?.matches(1, LARGE.bytes.subarray(CHUNK_SIZE, 2 * CHUNK_SIZE)));
  await (await store.open(CONTENT.digest)).close();
  assert.equal(await store.chunkList(CONTENT.digest), undefined, "one chunk is all of it");
});

Deno.test("VerifiedStore has no chunks of content that is gone or was replaced", async () => {
  const { inner, store } = verified(LARGE);
  await (await store.open(LARGE.digest)).close();
  inner.put(LARGE.bytes.slice(0, 2_000_000), [], LARGE.digest);
  assert.equal(await store.chunkList(LARGE.digest), undefined);
  inner.remove(LARGE.digest);
  await assert.rejects(store.chunkList(LARGE.digest), NotFoundError);
});

Deno.test("VerifiedStore is called like its store, and as ready as it", async () => {
  const { inner, store } = verified(CONTENT);
  assert.equal(store.name, inner.name);
  assert.deepEqual(await store.status(), await inner.status());
});

Deno.test("VerifiedStore keeps small content that was found right, and nothing else", async () => {
  const small = makeContent(MAX_SMALL_CONTENT, 3);
  const longer = makeContent(MAX_SMALL_CONTENT + 1, 4);
  const { inner, store } = verified(small, longer);
  assert.equal(store.kept(small.digest), undefined, "nobody has asked for it");
  for (const { digest } of [small, longer]) await (await store.open(digest)).close();
  assert.deepEqual(store.kept(small.digest), small.bytes);
  assert.equal(store.kept(longer.digest), undefined);
  // Replaced by something wrong: found out when it is opened.
  inner.put(small.bytes.slice(1), [], small.digest);
  await assert.rejects(store.open(small.digest), NotFoundError);
  assert.equal(store.kept(small.digest), undefined);
});

Deno.test("VerifiedStore keeps no content that comes in pieces", async () => {
  const { store, inner } = verified(CONTENT);
  const small = makeContent(1000, 5);
  inner.put(small.bytes, [], small.digest);
  inner.open = () => Promise.resolve(inner.track(new BytesReader(small.bytes, { piece: 600 })));
  await (await store.open(small.digest)).close();
  assert.equal(store.kept(small.digest), undefined);
});
