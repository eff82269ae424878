import assert from "node:assert/strict";
import { MAX_MEASURED_BYTES, Measurer } from "../../../lib/debug/measure.ts";
import { PeerError, UnavailableError } from "../../../lib/errors.ts";
import type { DigestPath, DistributionPath } from "../../../lib/oci/distribution.ts";
import { sha256Digest } from "../../../lib/oci/digest.ts";
import { createFilter } from "../../../lib/oci/filter.ts";
import { OCI_INDEX } from "../../../lib/oci/media_types.ts";
import { parseReference } from "../../../lib/oci/reference.ts";
import { MemoryRouter } from "../../../lib/routing/memory_router.ts";
import { type RegistryNode, startRegistryNode } from "../support/registry_node.ts";
import { makeContent, makeManifest, type TestContent } from "../support/content.ts";
import { mirrorOf, type TestMirror } from "../support/mirror_of.ts";

const NAME = "docker.io/library/test:v1";
const NEVER = new AbortController().signal;
const CONFIG = makeContent(100, 2);
const LAYERS = [makeContent(3_000_000, 3), makeContent(50, 4)];
const MANIFEST = makeManifest(CONFIG, LAYERS);

/** A peer with an image. */
async function peerWith(
  target: TestContent,
  contents: readonly TestContent[],
): Promise<RegistryNode> {
  const node = await startRegistryNode({ id: "peer" });
  for (const { bytes } of contents) node.store.put(bytes);
  node.store.put(target.bytes);
  node.store.tag(NAME, target.digest);
  return node;
}

/** A mirror for which the peer announces all of it. */
async function mirrorFor(node: RegistryNode, keys: readonly string[]): Promise<TestMirror> {
  const mirror = await mirrorOf(NAME, [node.peer]);
  await new MemoryRouter({ network: mirror.network, self: node.peer }).advertise(keys);
  return mirror;
}

function measurerOf({ mirror, router }: TestMirror, changes: object = {}): Measurer {
  return new Measurer({
    mirror,
    router,
    filter: createFilter({ mirroredRegistries: [], registryFilters: [] }),
    platform: "linux/amd64",
    now: () => performance.now(),
    ...changes,
  });
}

const ALL = [MANIFEST, CONFIG, ...LAYERS];

Deno.test("Measurer gets manifest, config and layers from peers, and tells of each", async () => {
  await using node = await peerWith(MANIFEST, ALL);
  const mirror = await mirrorFor(node, ALL.map(({ digest }) => digest));
  const result = await measurerOf(mirror).measure(parseReference(NAME), NEVER);
  const from = `127.0.0.1:${node.port}`;
  assert.deepEqual(result.found.map(({ peer }) => peer), [from]);
  assert.equal(result.incomplete, undefined);
  assert.equal(result.digest, MANIFEST.digest);
  assert.deepEqual(
    result.contents.map((one) => [one.kind, one.digest, one.size, one.from, one.failure]),
    [
      ["manifest", MANIFEST.digest, MANIFEST.bytes.length, from, undefined],
      ["config", CONFIG.digest, 100, from, undefined],
      ["layer", LAYERS[0]!.digest, 3_000_000, from, undefined],
      ["layer", LAYERS[1]!.digest, 50, from, undefined],
    ],
  );
  for (const { kind, firstByteMs, durationMs } of result.contents) {
    if (kind === "manifest") assert.equal(firstByteMs, undefined);
    else assert.ok(firstByteMs! >= 0 && firstByteMs! <= durationMs);
  }
  assert.equal(result.size, MANIFEST.bytes.length + 3_000_150);
  assert.equal(result.durationMs, result.contents.reduce((sum, one) => sum + one.durationMs, 0));
});

Deno.test("Measurer follows an index for this node's platform", async () => {
  const index = (architecture: string): TestContent => {
    const { digest, bytes } = MANIFEST;
    const platform = { os: "linux", architecture };
    const manifests = [{
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest,
      size: bytes.length,
      platform,
    }];
    const text = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });
    return {
      bytes: new TextEncoder().encode(text),
      digest: sha256Digest(new TextEncoder().encode(text)),
    };
  };
  const right = index("amd64");
  await using node = await peerWith(right, ALL);
  const mirror = await mirrorFor(node, ALL.map(({ digest }) => digest));
  const { contents } = await measurerOf(mirror).measure(parseReference(NAME), NEVER);
  assert.deepEqual(contents.map(({ kind }) => kind), [
    "index",
    "manifest",
    "config",
    "layer",
    "layer",
  ]);
  const other = measurerOf(mirror, { platform: "linux/arm64" });
  const { incomplete } = await other.measure(parseReference(NAME), NEVER);
  assert.equal(incomplete, "the index has nothing for linux/arm64");
});

Deno.test("Measurer says so when nobody has the image, or it is not mirrored", async () => {
  const mirror = await mirrorOf(NAME, []);
  const nobody = await measurerOf(mirror).measure(parseReference(NAME), NEVER);
  assert.equal(nobody.incomplete, "no peer has the image");
  assert.match(nobody.remedy ?? "", /doctor/);
  assert.deepEqual(nobody.contents, []);
  const filter = createFilter({ mirroredRegistries: ["ghcr.io"], registryFilters: [] });
  const filtered = await measurerOf(mirror, { filter }).measure(parseReference(NAME), NEVER);
  assert.equal(filtered.incomplete, "not mirrored, by configuration");
});

Deno.test("Measurer goes on after a content that does not come, and names it", async () => {
  await using node = await peerWith(MANIFEST, [MANIFEST, CONFIG, LAYERS[1]!]);
  const mirror = await mirrorFor(node, ALL.map(({ digest }) => digest));
  const result = await measurerOf(mirror).measure(parseReference(NAME), NEVER);
  assert.equal(result.incomplete, "not all of it came");
  assert.deepEqual(result.contents.map(({ size }) => size), [MANIFEST.bytes.length, 100, 0, 50]);
  assert.match(result.contents[2]?.failure ?? "", /none of 1 peers delivered/);
  const gone = await peerWith(MANIFEST, ALL);
  const late = await mirrorFor(gone, []);
  await gone[Symbol.asyncDispose]();
  const none = await measurerOf(late).measure(parseReference(NAME), NEVER);
  assert.equal(none.incomplete, "the manifest did not come");
  assert.match(none.contents[0]?.failure ?? "", /no peer|none of 1 peers/);
});

Deno.test("Measurer measures one pull at a time, and ends with its signal", async () => {
  const { router } = await mirrorOf(NAME, [{ id: "b", addresses: ["10.0.0.2"], registryPort: 1 }]);
  const asked = Promise.withResolvers<void>();
  const manifest = (_path: DistributionPath, signal?: AbortSignal) => {
    asked.resolve();
    const { promise, reject } = Promise.withResolvers<never>();
    const end = () => reject(new PeerError("aborted"));
    if (signal?.aborted) end();
    signal?.addEventListener("abort", end);
    return promise;
  };
  const blob = (_path: DigestPath) => Promise.reject(new PeerError("not asked for"));
  const measurer = new Measurer({
    mirror: { manifest, blob },
    router,
    filter: createFilter({ mirroredRegistries: [], registryFilters: [] }),
    platform: "linux/amd64",
    now: () => 0,
  });
  const abort = new AbortController();
  const first = measurer.measure(parseReference(NAME), abort.signal);
  await asked.promise;
  await assert.rejects(measurer.measure(parseReference(NAME), NEVER), UnavailableError);
  abort.abort();
  assert.equal((await first).contents[0]?.failure, "it took too long");
  const again = new AbortController();
  const second = measurer.measure(parseReference(NAME), again.signal);
  again.abort();
  await second;
});

Deno.test("Measurer does not begin with what is larger than it measures", async () => {
  const layer = {
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    digest: LAYERS[0]!.digest,
    size: MAX_MEASURED_BYTES,
  };
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: CONFIG.digest,
      size: 100,
    },
    layers: [layer],
  });
  const huge = {
    bytes: new TextEncoder().encode(text),
    digest: sha256Digest(new TextEncoder().encode(text)),
  };
  await using node = await peerWith(huge, [CONFIG]);
  const mirror = await mirrorFor(node, [CONFIG.digest]);
  const { incomplete, contents } = await measurerOf(mirror).measure(parseReference(NAME), NEVER);
  assert.equal(incomplete, "the image is larger than what is measured");
  assert.deepEqual(contents.map(({ kind }) => kind), ["manifest", "config"]);
});
