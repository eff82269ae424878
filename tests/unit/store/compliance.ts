/**
 * What every store must do. Runs against all implementations.
 *
 * @module
 */
import assert from "node:assert/strict";
import { NotFoundError, RangeNotSatisfiableError } from "../../../lib/errors.ts";
import { type Digest, sha256Digest } from "../../../lib/oci/digest.ts";
import type { ContentReader, Store, StoreEntry, StoreEvent } from "../../../lib/store/store.ts";
import { makeContent, makeManifest, type TestContent } from "../support/content.ts";

/** An image to put into a store. */
export interface TestImage {
  readonly manifest: TestContent;
  /** Config and layers. */
  readonly blobs: readonly TestContent[];
}

/** A store to test and ways to change it. */
export interface StoreFixture extends AsyncDisposable {
  readonly store: Store;
  /** Puts an image in under a full reference with a tag. */
  add(reference: string, image: TestImage): Promise<void>;
  /** Takes an image's name out, and its content unless another name needs it. */
  remove(reference: string): Promise<void>;
}

/** Options of the tests. */
export interface ComplianceOptions {
  readonly ignore?: boolean;
  /** Why resources outlive a test, if the sanitizers have to be off. */
  readonly sanitizeOps?: boolean;
  readonly sanitizeResources?: boolean;
}

/** Makes an image; other seeds make other content. */
export function makeImage(seed: number, layerSizes: readonly number[] = [70_000, 3]): TestImage {
  const layers = layerSizes.map((size, index) => makeContent(size, seed * 100 + index + 1));
  const configBytes = new TextEncoder().encode(JSON.stringify({
    architecture: "amd64",
    os: "linux",
    config: { Labels: { seed: String(seed) } },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.digest) },
  }));
  const config = { bytes: configBytes, digest: sha256Digest(configBytes) };
  return { manifest: makeManifest(config, layers), blobs: [config, ...layers] };
}

const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const ABSENT = `sha256:${"0".repeat(64)}` as Digest;

/**
 * Registers the tests.
 *
 * @param name Name of the implementation.
 * @param create Makes an empty store.
 * @param options Options for all of the tests.
 */
export function testStoreCompliance(
  name: string,
  create: () => Promise<StoreFixture>,
  options: ComplianceOptions = {},
): void {
  const test = (behaviour: string, run: (fixture: StoreFixture) => Promise<void>) =>
    Deno.test({
      name: `${name} ${behaviour}`,
      ...options,
      fn: async () => {
        await using fixture = await create();
        await run(fixture);
      },
    });

  test("resolves a tag to the digest it points to", async ({ store, add }) => {
    const image = makeImage(1);
    await add("registry.test:5000/team/app:v1", image);
    assert.equal(await store.resolve("registry.test:5000/team/app:v1"), image.manifest.digest);
  });

  test("refuses to resolve what it does not know", async ({ store, add }) => {
    await add("registry.test/team/app:v1", makeImage(1));
    await assert.rejects(store.resolve("registry.test/team/app:v2"), NotFoundError);
    await assert.rejects(store.resolve("other.test/team/app:v1"), NotFoundError);
  });

  test("follows a tag that is moved", async ({ store, add }) => {
    await add("registry.test/team/app:v1", makeImage(1));
    const second = makeImage(2);
    await add("registry.test/team/app:v1", second);
    assert.equal(await store.resolve("registry.test/team/app:v1"), second.manifest.digest);
  });

  test("describes manifests and blobs", async ({ store, add }) => {
    const image = makeImage(1);
    await add("registry.test/team/app:v1", image);
    assert.deepEqual(await store.descriptor(image.manifest.digest), {
      digest: image.manifest.digest,
      mediaType: MANIFEST_TYPE,
      size: image.manifest.bytes.length,
    });
    for (const blob of image.blobs) {
      assert.deepEqual(await store.descriptor(blob.digest), {
        digest: blob.digest,
        mediaType: "application/octet-stream",
        size: blob.bytes.length,
      });
    }
    await assert.rejects(store.descriptor(ABSENT), NotFoundError);
  });

  test("tells which manifest another one refers to", async ({ store, add }) => {
    const image = makeImage(1);
    const [config, layer] = makeImage(2).blobs;
    const { digest, bytes } = image.manifest;
    const subject = { mediaType: MANIFEST_TYPE, digest, size: bytes.length };
    const manifest = makeManifest(config!, [layer!], { subject });
    await add("registry.test/team/app:v1", image);
    await add("registry.test/team/app:v1.sig", { manifest, blobs: [config!, layer!] });
    assert.equal((await store.descriptor(manifest.digest)).subject, digest);
    assert.equal((await store.descriptor(digest)).subject, undefined);
  });

  test("tells where content comes from", async ({ store, add }) => {
    const image = makeImage(1);
    await add("registry.test:5000/team/app:v1", image);
    for (const { digest } of [image.manifest, ...image.blobs]) {
      const sources = await store.sources(digest);
      assert.deepEqual(sources, [{ registry: "registry.test:5000", repository: "team/app" }]);
    }
    await assert.rejects(store.sources(ABSENT), NotFoundError);
  });

  test("opens whole content and ranges of it", async ({ store, add }) => {
    const image = makeImage(1);
    await add("registry.test/team/app:v1", image);
    const { bytes, digest } = image.blobs[1]!;
    const last = bytes.length - 1;
    assert.deepEqual(await readAll(await store.open(digest)), bytes);
    for (const [start, end] of [[0, 0], [0, last], [5, 1000], [last, last], [65_000, last]]) {
      const reader = await store.open(digest, { start: start!, end: end! });
      assert.deepEqual([reader.size, reader.start, reader.end], [bytes.length, start, end]);
      assert.deepEqual(await readAll(reader), bytes.slice(start, end! + 1));
    }
  });

  test("refuses ranges outside of the content, and absent content", async ({ store, add }) => {
    const image = makeImage(1);
    await add("registry.test/team/app:v1", image);
    const { bytes, digest } = image.blobs[1]!;
    for (const [start, end] of [[0, bytes.length], [bytes.length, bytes.length], [9, 8]]) {
      await assert.rejects(
        store.open(digest, { start: start!, end: end! }),
        RangeNotSatisfiableError,
      );
    }
    await assert.rejects(store.open(ABSENT), NotFoundError);
    await assert.rejects(store.open(ABSENT, { start: 0, end: 0 }), NotFoundError);
  });

  test("closes readers early, twice, and during a read", async ({ store, add }) => {
    const image = makeImage(1);
    await add("registry.test/team/app:v1", image);
    const reader = await store.open(image.blobs[1]!.digest);
    const reading = reader.read(new Uint8Array(10)).catch(() => 0);
    await reader.close();
    await reader.close();
    await reading;
    await assert.rejects(reader.read(new Uint8Array(10)));
  });

  test("serves many readers of one content at a time", async ({ store, add }) => {
    const image = makeImage(1);
    await add("registry.test/team/app:v1", image);
    const { bytes, digest } = image.blobs[1]!;
    const readers = await Promise.all(Array.from({ length: 8 }, () => store.open(digest)));
    for (const content of await Promise.all(readers.map(readAll))) assert.deepEqual(content, bytes);
  });

  test("keeps a reader going when its content is deleted", async ({ store, add, remove }) => {
    const image = makeImage(1);
    await add("registry.test/team/app:v1", image);
    const { bytes, digest } = image.blobs[1]!;
    const reader = await store.open(digest);
    const first = new Uint8Array(100);
    const count = await reader.read(first);
    await remove("registry.test/team/app:v1");
    await assert.rejects(store.descriptor(digest), NotFoundError);
    assert.deepEqual(await readAll(reader), bytes.slice(count));
  });

  test("lists tags, images and content with their sources", async ({ store, add }) => {
    assert.deepEqual(await store.list(), []);
    const image = makeImage(1);
    await add("registry.test:5000/team/app:v1", image);
    const entries = new Map((await store.list()).map((entry) => [entry.key, entry]));
    const sources = [{ registry: "registry.test:5000", repository: "team/app" }];
    const { digest } = image.manifest;
    assert.deepEqual(
      entries.get("registry.test:5000/team/app:v1"),
      { kind: "tag", key: "registry.test:5000/team/app:v1", digest, sources } satisfies StoreEntry,
    );
    assert.deepEqual(
      entries.get(digest),
      { kind: "image", key: digest, digest, sources } satisfies StoreEntry,
    );
    for (const blob of image.blobs) {
      assert.deepEqual(
        entries.get(blob.digest),
        { kind: "content", key: blob.digest, digest: blob.digest, sources } satisfies StoreEntry,
      );
    }
    assert.equal(entries.size, 2 + image.blobs.length);
  });

  test("lists no more what was removed", async ({ store, add, remove }) => {
    await add("registry.test/team/app:v1", makeImage(1));
    await add("registry.test/team/other:v1", makeImage(2));
    const kept = (await store.list()).filter((entry) =>
      entry.sources.some((source) => source.repository === "team/other")
    );
    await remove("registry.test/team/app:v1");
    assert.deepEqual(keysOf(await store.list()), keysOf(kept));
  });

  test("watches: first reset, then changes", async ({ store, add, remove }) => {
    const abort = new AbortController();
    const events = new EventLog(store.watch(abort.signal));
    await events.until((event) => event.type === "reset");
    events.clear();
    await add("registry.test/team/app:v1", makeImage(1));
    await events.until(() => true);
    await events.quiet();
    events.clear();
    await remove("registry.test/team/app:v1");
    await events.until(() => true);
    abort.abort();
    await events.ended;
  });

  test("says that it is ready", async ({ store }) => {
    assert.equal((await store.status()).ready, true);
  });
}

function keysOf(entries: readonly StoreEntry[]): string[] {
  return entries.map((entry) => entry.key).sort();
}

async function readAll(reader: ContentReader): Promise<Uint8Array> {
  const parts: number[] = [];
  const buffer = new Uint8Array(16_384);
  try {
    for (let count = await reader.read(buffer); count > 0; count = await reader.read(buffer)) {
      for (const byte of buffer.subarray(0, count)) parts.push(byte);
    }
  } finally {
    await reader.close();
  }
  return Uint8Array.from(parts);
}

/** Collects events. */
class EventLog {
  readonly ended: Promise<void>;
  #events: StoreEvent[] = [];
  #wake = Promise.withResolvers<void>();

  constructor(events: AsyncIterable<StoreEvent>) {
    this.ended = (async () => {
      for await (const event of events) {
        this.#events.push(event);
        this.#wake.resolve();
      }
    })();
  }

  clear(): void {
    this.#events = [];
  }

  /** Waits for an event; a store that never sends it is caught by the deadline. */
  async until(matches: (event: StoreEvent) => boolean): Promise<void> {
    const deadline = AbortSignal.timeout(15_000);
    const expired = new Promise<never>((_, reject) => {
      deadline.addEventListener("abort", () => reject(new Error("no such event within 15 s")));
    });
    expired.catch(() => {});
    while (!this.#events.some(matches)) {
      this.#wake = Promise.withResolvers();
      await Promise.race([this.#wake.promise, expired]);
    }
  }

  /** Waits until no event has come for a while. */
  async quiet(): Promise<void> {
    for (let seen = -1; seen !== this.#events.length;) {
      seen = this.#events.length;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }
}
