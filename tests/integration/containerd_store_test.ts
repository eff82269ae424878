/**
 * The containerd store over a real containerd: what every store does, and what is special to this one.
 *
 * @module
 */
import assert from "node:assert/strict";
import { NotFoundError, UnavailableError } from "../../lib/errors.ts";
import { type Logger, silentLogger } from "../../lib/observability/logger.ts";
import { ContainerdStore } from "../../lib/store/containerd/containerd_store.ts";
import type { ContentReader } from "../../lib/store/store.ts";
import { recordingLog } from "../unit/cli/recording_log.ts";
import {
  makeImage,
  type StoreFixture,
  type TestImage,
  testStoreCompliance,
} from "../unit/store/compliance.ts";
import { testConformance } from "../conformance/suite.ts";
import { makeContent } from "../unit/support/content.ts";
import { drain } from "../unit/support/drain.ts";
import { ContainerdDaemon, NAMESPACE } from "./harness/containerd_daemon.ts";
import { CONTAINERD_MAJOR, type ContainerdSettings } from "./harness/containerd_program.ts";
import { ContainerdWriter } from "./harness/containerd_writer.ts";
import { makeImage as makeRealImage } from "./harness/images.ts";
import { TestNetwork } from "./harness/network.ts";
import { eventually } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";

/**
 * The CRI gives images of its own namespace further names, sooner or later. Tests that must know all names use
 * another one.
 */
const OTHER_NAMESPACE = "team";

/** A content that neither a socket nor containerd takes in at once. */
const LARGE = 32 * 1024 * 1024;

/** A containerd with a store over it and a client that changes it. */
class StoreBed implements AsyncDisposable {
  private constructor(
    private readonly stack: AsyncDisposableStack,
    readonly folder: string,
    readonly containerd: ContainerdDaemon,
    readonly writer: ContainerdWriter,
    readonly store: ContainerdStore,
  ) {}

  static async start(
    options: {
      readonly settings?: ContainerdSettings;
      readonly contentPath?: string;
      readonly namespace?: string;
      readonly log?: Logger;
    } = {},
  ): Promise<StoreBed> {
    await using stack = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir({ prefix: "kagami-store-" });
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const network = stack.use(await TestNetwork.create());
    const node = await network.addNode("node");
    const containerd = stack.use(await ContainerdDaemon.start(node, folder, options.settings));
    const { namespace = NAMESPACE } = options;
    const writer = stack.use(new ContainerdWriter(containerd.sock, namespace));
    const store = new ContainerdStore({
      sock: containerd.sock,
      namespace,
      contentPath: options.contentPath ?? containerd.contentPath,
      log: options.log ?? silentLogger,
    });
    stack.defer(() => store.close());
    return new StoreBed(stack.move(), folder, containerd, writer, store);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack.disposeAsync();
  }
}

/** Puts an image in as a pull does, apart from labels that name its source. */
async function add(writer: ContainerdWriter, reference: string, image: TestImage): Promise<void> {
  const { manifest, blobs } = image;
  await writer.leased(async () => {
    for (const { bytes } of blobs) await writer.putContent(bytes);
    const references = blobs.map(({ digest }, index) => [
      `containerd.io/gc.ref.content.${index}`,
      digest,
    ]);
    await writer.putContent(manifest.bytes, Object.fromEntries(references));
    const size = manifest.bytes.length;
    await writer.putImage(reference, { mediaType: MANIFEST_TYPE, digest: manifest.digest, size });
  });
}

async function readAll(reader: ContentReader): Promise<Uint8Array> {
  try {
    const { bytes, error } = await drain(reader, 100_000);
    if (error !== undefined) throw error;
    return bytes;
  } finally {
    await reader.close();
  }
}

/** The two ways to content: its file, and containerd's socket. */
const WAYS = [
  { name: "ContainerdStore", options: {} },
  { name: "ContainerdStore without the content path", options: { contentPath: "/nowhere/at/all" } },
] as const;

async function createFixture(options: { readonly contentPath?: string }): Promise<StoreFixture> {
  const bed = await StoreBed.start({ ...options, namespace: OTHER_NAMESPACE });
  return {
    store: bed.store,
    add: (reference, image) => add(bed.writer, reference, image),
    remove: (reference) => bed.writer.deleteImage(reference, true),
    [Symbol.asyncDispose]: () => bed[Symbol.asyncDispose](),
  };
}

for (const { name, options } of WAYS) {
  testStoreCompliance(name, () => createFixture(options), REQUIRES_TEST_BED);

  // containerd keeps content by digests of sha256 alone.
  testConformance(name, () => createFixture(options), { ...REQUIRES_TEST_BED, omits: ["sha512"] });

  Deno.test({
    name: `${name} reads a large content to its end that is deleted meanwhile`,
    ...REQUIRES_TEST_BED,
    async fn() {
      await using bed = await StoreBed.start(options);
      const { bytes } = makeContent(LARGE);
      const digest = await bed.writer.putContent(bytes);
      const reader = await bed.store.open(digest);
      const first = new Uint8Array(1000);
      const count = await reader.read(first);
      await bed.writer.deleteContent(digest);
      await assert.rejects(bed.store.open(digest), NotFoundError);
      assert.deepEqual(await readAll(reader), bytes.slice(count));
    },
  });
}

Deno.test({
  name: "ContainerdStore describes nothing that is gone, however short ago it was there",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using bed = await StoreBed.start({ namespace: OTHER_NAMESPACE });
    const { containerd, store, writer } = bed;
    const image = makeImage(1);
    await add(writer, "registry.test/team/app:v1", image);
    const { digest, bytes } = image.blobs[0]!;
    for (let times = 0; times < 3; times++) {
      assert.equal((await store.descriptor(digest)).size, bytes.length);
    }
    // Together with all that belongs to it, files included.
    await writer.deleteImage("registry.test/team/app:v1", true);
    await assert.rejects(Deno.stat(containerd.blobPath(digest)), Deno.errors.NotFound);
    await assert.rejects(store.descriptor(digest), NotFoundError);
    await assert.rejects(store.open(digest), NotFoundError);
  },
});

Deno.test({
  name:
    "ContainerdStore tells the sources that labels name, with ports where image names have them",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using bed = await StoreBed.start();
    const { store, writer } = bed;
    const source = (host: string) => `containerd.io/distribution.source.${host}`;
    const alone = await writer.putContent(makeContent(1000, 1).bytes, {
      [source("docker.io")]: "library/nginx,team/app",
      [source("ghcr.io")]: "team/app",
    });
    const manifest = await writer.putContent(makeContent(1000, 2).bytes, {
      [source("registry.test")]: "team/app",
    });
    await writer.putImage("registry.test:5000/team/app:v1", {
      mediaType: MANIFEST_TYPE,
      digest: manifest,
      size: 1000,
    });
    const sources = new Map((await store.list()).map((entry) => [entry.key, entry.sources]));
    const byName = (a: { registry: string; repository: string }, b: typeof a) =>
      `${a.registry}/${a.repository}` < `${b.registry}/${b.repository}` ? -1 : 1;
    assert.deepEqual([...sources.get(alone)!].sort(byName), [
      { registry: "docker.io", repository: "library/nginx" },
      { registry: "docker.io", repository: "team/app" },
      { registry: "ghcr.io", repository: "team/app" },
    ]);
    assert.deepEqual(sources.get(manifest), [
      { registry: "registry.test:5000", repository: "team/app" },
    ]);
  },
});

Deno.test({
  name: "ContainerdStore lists an image that ctr has imported, with the source that its name tells",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using bed = await StoreBed.start();
    const { containerd, store, folder } = bed;
    const image = await makeRealImage(`${folder}/image`, {
      layers: [40_000, 50_000],
      seed: 1,
      platforms: ["amd64", "arm64"],
    });
    const reference = await containerd.importImage(image, "registry.test/team/imported");
    assert.equal(await store.resolve(reference), image.digest);
    const entries = new Map((await store.list()).map((entry) => [entry.key, entry]));
    const sources = [{ registry: "registry.test", repository: "team/imported" }];
    assert.deepEqual(entries.get(reference), {
      kind: "tag",
      key: reference,
      digest: image.digest,
      sources,
    });
    assert.equal(entries.get(image.digest)?.kind, "image");
    for (const digest of [image.digest, image.config, ...image.layers]) {
      assert.deepEqual(entries.get(digest)?.sources, sources, digest);
    }
    const index = await store.descriptor(entries.get(reference)!.digest);
    assert.equal(index.mediaType, "application/vnd.oci.image.index.v1+json");
  },
});

Deno.test({
  name: "ContainerdStore neither lists nor serves what is in another namespace",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using bed = await StoreBed.start();
    const { containerd, store, writer } = bed;
    using elsewhere = new ContainerdWriter(containerd.sock, "moby");
    const image = makeImage(1);
    const own = makeImage(2);
    await add(elsewhere, "registry.test/team/other:v1", image);
    await add(writer, "registry.test/team/own:v1", own);
    const { digest } = image.blobs[1]!;
    // All namespaces share the folder of blobs.
    await Deno.stat(containerd.blobPath(digest));

    const keys = (await store.list()).map(({ key }) => key).sort();
    const ownDigests = [own.manifest, ...own.blobs].map((content) => content.digest);
    assert.deepEqual(keys, [...ownDigests, "registry.test/team/own:v1"].sort());
    await assert.rejects(store.resolve("registry.test/team/other:v1"), NotFoundError);
    await assert.rejects(store.descriptor(digest), NotFoundError);
    await assert.rejects(store.open(digest), NotFoundError);
    await assert.rejects(store.open(digest, { start: 0, end: 9 }), NotFoundError);
  },
});

Deno.test({
  name: "ContainerdStore tells what to do while containerd is not there, and begins when it comes",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using bed = await StoreBed.start();
    const { containerd, store, writer } = bed;
    const image = makeImage(1);
    await add(writer, "registry.test/team/app:v1", image);
    await containerd.stop();
    for (const isSocketThere of [true, false]) {
      if (!isSocketThere) await Deno.remove(containerd.sock).catch(() => {});
      const calls = [
        () => store.resolve("registry.test/team/app:v1"),
        () => store.descriptor(image.manifest.digest),
        () => store.open(image.manifest.digest),
        () => store.list(),
      ];
      for (const call of calls) {
        await assert.rejects(call, (error: Error) => {
          assert(error instanceof UnavailableError, `${call}: ${error}`);
          assert.match(error.message, new RegExp(containerd.sock.replaceAll(".", "\\.")));
          assert.match(error.message, /check that containerd runs and that its socket is mounted/);
          return true;
        });
      }
      const status = await store.status();
      assert.equal(status.ready, false);
      assert.match(status.detail, /check that containerd runs/);
    }

    const abort = new AbortController();
    const events = store.watch(abort.signal)[Symbol.asyncIterator]();
    const first = events.next();
    await containerd.startAgain();
    assert.deepEqual((await first).value, { type: "reset" });
    assert.equal(await store.resolve("registry.test/team/app:v1"), image.manifest.digest);
    assert.equal((await store.status()).ready, true);
    abort.abort();
    await events.return?.();
  },
});

Deno.test({
  name:
    "ContainerdStore.watch() sends a reset after each restart of containerd, and logs an absence once",
  ...REQUIRES_TEST_BED,
  async fn() {
    const recorded = recordingLog();
    await using bed = await StoreBed.start({ log: recorded.log });
    const { containerd, store, writer } = bed;
    const abort = new AbortController();
    let resets = 0;
    const watching = (async () => {
      for await (const { type } of store.watch(abort.signal)) if (type === "reset") resets += 1;
    })();
    const absences = () =>
      recorded.lines.filter(({ msg }) =>
        msg === "containerd does not answer, trying again every second"
      ).length;
    await eventually("the watch has begun", () => Promise.resolve(resets === 1));
    for (const [round, end] of [[1, "kill"], [2, "stop"]] as const) {
      await containerd[end]();
      await eventually("the absence is noticed", () => Promise.resolve(absences() === round));
      const again = containerd.startAgain();
      await eventually("the watch goes on", () => Promise.resolve(resets === round + 1));
      await again;
      assert.equal(absences(), round);
      const reference = `registry.test/team/app:v${round}`;
      await add(writer, reference, makeImage(round));
      assert((await store.list()).some(({ key }) => key === reference));
    }
    abort.abort();
    await watching;
  },
});

Deno.test({
  name: "ContainerdStore.watch() notices content that comes without an image",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using bed = await StoreBed.start();
    const abort = new AbortController();
    const digests = new Set<string>();
    let changes = 0;
    const watching = (async () => {
      for await (const event of bed.store.watch(abort.signal)) {
        changes += 1;
        if (event.type === "changed" && event.digest !== undefined) digests.add(event.digest);
      }
    })();
    await eventually("the watch has begun", () => changes > 0);
    const written: string[] = [];
    const write = async () => {
      written.push(await bed.writer.putContent(makeContent(5000, written.length + 1).bytes));
    };
    // The first content makes the folder, which the watch has to find.
    const before = changes;
    await write();
    await eventually("something was told", () => changes > before);
    assert((await bed.store.list()).some(({ key }) => key === written[0]));
    await eventually("content is told by its digest", async () => {
      await write();
      return written.some((digest) => digests.has(digest));
    });
    abort.abort();
    await watching;
  },
});

Deno.test({
  name: "a reader over containerd's socket fails when containerd is killed, and when it hangs",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using bed = await StoreBed.start({ contentPath: "/nowhere/at/all" });
    const { containerd, store, writer } = bed;
    const digest = await writer.putContent(makeContent(LARGE).bytes);
    const startReading = async () => {
      const reader = await store.open(digest);
      await reader.read(new Uint8Array(10));
      return reader;
    };
    {
      const reader = await startReading();
      containerd.signal("SIGSTOP");
      const { error } = await drain(reader, 1_000_000);
      containerd.signal("SIGCONT");
      await reader.close();
      assert(error instanceof UnavailableError, String(error));
      assert.match(error.message, /containerd at .* sent no byte/);
    }
    const reader = await startReading();
    await containerd.kill();
    const { error } = await drain(reader, 1_000_000);
    await reader.close();
    assert(error instanceof UnavailableError, String(error));
  },
});

Deno.test({
  name:
    "ContainerdStore warns of settings with which a mirror is of no use, and of a missing content path",
  ...REQUIRES_TEST_BED,
  async fn() {
    const warningsWith = async (
      settings: ContainerdSettings,
      contentPath?: string,
    ): Promise<string[]> => {
      const recorded = recordingLog();
      await using bed = await StoreBed.start({
        settings,
        log: recorded.log,
        ...(contentPath === undefined ? {} : { contentPath }),
      });
      const abort = new AbortController();
      const events = bed.store.watch(abort.signal)[Symbol.asyncIterator]();
      assert.deepEqual((await events.next()).value, { type: "reset" });
      abort.abort();
      await events.return?.();
      const connected = recorded.lines.find(({ msg }) => msg === "connected to containerd");
      assert.equal(connected?.["contentRoot"], bed.containerd.contentPath);
      return recorded.lines.filter(({ level }) => level === "WARN")
        .map(({ msg, remedy }) => `${msg}; ${remedy}`);
    };

    assert.deepEqual(await warningsWith({}), []);
    const warnings = await warningsWith(
      { discardUnpackedLayers: true, usesMirrors: false },
      "/nowhere/at/all",
    );
    assert.match(warnings[0]!, /no content path.*--containerd-content-path/);
    // containerd 2 does not tell its settings for images.
    assert.equal(warnings.length, CONTAINERD_MAJOR < 2 ? 3 : 1, warnings.join("\n"));
    if (CONTAINERD_MAJOR >= 2) return;
    assert.match(warnings[1]!, /discards unpacked layers.*discard_unpacked_layers = false/);
    assert.match(warnings[2]!, /no registry config_path.*config_path = /);
  },
});

Deno.test({
  name: "ContainerdStore tells of a download, and reads it while it grows and through its commit",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using bed = await StoreBed.start();
    const { ingests } = bed.store;
    const { bytes, digest } = makeContent(3_000_000);
    const watching = new AbortController();
    let changes = 0;
    ingests.watch(() => changes++, watching.signal);
    assert.deepEqual(await ingests.list(), []);
    const finish = bed.writer.beginContent(bytes, 1_000_000);
    const ingest = await eventually("the download is seen", () => ingests.find(digest));
    await eventually("its beginning is seen", async () => {
      return (await ingests.find(digest))?.offset === 1_000_000;
    });
    assert.equal(ingest.total, bytes.length);
    assert((await ingests.list()).some((found) => found.digest === digest));
    await eventually("the watch has told", () => changes > 0);

    const whole = await ingest.open();
    const part = await ingest.open({ start: 500_000, end: bytes.length - 1 });
    const reading = Promise.all([readAll(whole), readAll(part)]);
    await finish();
    assert.deepEqual(await reading, [new Uint8Array(bytes), bytes.slice(500_000)]);
    await eventually("the download is over", async () => (await ingests.list()).length === 0);
    watching.abort();
  },
});
