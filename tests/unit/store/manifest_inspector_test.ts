import assert from "node:assert/strict";
import { UnavailableError } from "../../../lib/errors.ts";
import { type Digest, sha256Digest } from "../../../lib/oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../../../lib/oci/manifest.ts";
import { OCI_INDEX, OCI_MANIFEST, OCTET_STREAM } from "../../../lib/oci/media_types.ts";
import { ManifestInspector } from "../../../lib/store/manifest_inspector.ts";
import { BytesReader, type BytesReaderOptions } from "../support/bytes_reader.ts";
import { makeContent, makeManifest } from "../support/content.ts";

const LAYERS = [makeContent(10, 1), makeContent(20, 2)];
const CONFIG = makeContent(5, 3);
const MANIFEST = makeManifest(CONFIG, LAYERS);
const CHILDREN = [CONFIG, ...LAYERS].map(({ digest }) => digest);
const OPAQUE = { mediaType: OCTET_STREAM, children: [] };

/** Opens some bytes, and counts how often and how far. */
function openable(bytes: Uint8Array, options: BytesReaderOptions = {}): {
  open: () => Promise<BytesReader>;
  readers: BytesReader[];
  read: () => number;
} {
  const readers: BytesReader[] = [];
  let furthest = 0;
  return {
    readers,
    read: () => furthest,
    open() {
      const reader = new BytesReader(bytes, {
        ...options,
        before: (position) => {
          furthest = Math.max(furthest, position);
          return Promise.resolve();
        },
      });
      readers.push(reader);
      return Promise.resolve(reader);
    },
  };
}

Deno.test("ManifestInspector tells a manifest's media type and children", async () => {
  const { open, readers } = openable(MANIFEST.bytes);
  const inspection = await new ManifestInspector().inspect(MANIFEST.digest, open);
  assert.deepEqual(inspection, { mediaType: OCI_MANIFEST, children: CHILDREN });
  assert.equal(readers[0]?.closed, 1);
});

Deno.test("ManifestInspector tells an index", async () => {
  const bytes = new TextEncoder().encode(JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [{ mediaType: OCI_MANIFEST, digest: MANIFEST.digest, size: 1 }],
  }));
  assert.deepEqual(
    await new ManifestInspector().inspect(sha256Digest(bytes), openable(bytes).open),
    { mediaType: OCI_INDEX, children: [MANIFEST.digest] },
  );
});

Deno.test("ManifestInspector reads manifests that come piece by piece", async () => {
  const { open } = openable(MANIFEST.bytes, { piece: 7 });
  const { children } = await new ManifestInspector().inspect(MANIFEST.digest, open);
  assert.deepEqual(children, CHILDREN);
});

Deno.test("ManifestInspector looks at each content once, whatever it is", async () => {
  const inspector = new ManifestInspector();
  for (const { bytes, digest } of [MANIFEST, makeContent(100, 4), makeContent(1), makeContent(0)]) {
    const { open, readers } = openable(bytes);
    const first = await inspector.inspect(digest, open);
    assert.deepEqual(await inspector.inspect(digest, open), first);
    assert.deepEqual(readers.map(({ closed }) => closed), [1]);
  }
});

Deno.test("ManifestInspector reads one byte of a layer, and nothing of a large content", async () => {
  const layer = makeContent(1_000_000, 5);
  const { open, read } = openable(layer.bytes);
  assert.deepEqual(await new ManifestInspector().inspect(layer.digest, open), OPAQUE);
  assert.equal(read(), 0, "no read but the first, of one byte, from the beginning");

  const brace = new Uint8Array(MAX_MANIFEST_SIZE + 1).fill(0x7b);
  const { open: openBrace, readers } = openable(brace, { failAt: 0, failure: new Error("read") });
  assert.deepEqual(await new ManifestInspector().inspect(sha256Digest(brace), openBrace), OPAQUE);
  assert.equal(readers[0]?.closed, 1);
});

Deno.test("ManifestInspector takes JSON that is no manifest for a blob", async () => {
  for (const text of ['{"architecture":"amd64"}', "{}", "{not json", "[]"]) {
    const bytes = new TextEncoder().encode(text);
    const digest = sha256Digest(bytes);
    assert.deepEqual(await new ManifestInspector().inspect(digest, openable(bytes).open), OPAQUE);
  }
});

Deno.test("ManifestInspector takes corrupt content for a blob, and looks again the next time", async () => {
  const inspector = new ManifestInspector();
  const corrupt = new Uint8Array(MANIFEST.bytes);
  corrupt[corrupt.length - 2] = 0x20;
  assert.deepEqual(await inspector.inspect(MANIFEST.digest, openable(corrupt).open), OPAQUE);
  const cut = openable(MANIFEST.bytes.slice(0, 50), { size: MANIFEST.bytes.length });
  assert.deepEqual(await inspector.inspect(MANIFEST.digest, cut.open), OPAQUE);
  assert.equal(cut.readers[0]?.closed, 1);
  const repaired = await inspector.inspect(MANIFEST.digest, openable(MANIFEST.bytes).open);
  assert.equal(repaired.mediaType, OCI_MANIFEST);
});

Deno.test("ManifestInspector looks again at what a crash may have left of a manifest", async () => {
  for (const left of [new Uint8Array(0), new Uint8Array(MANIFEST.bytes.length)]) {
    const inspector = new ManifestInspector();
    assert.deepEqual(await inspector.inspect(MANIFEST.digest, openable(left).open), OPAQUE);
    const repaired = await inspector.inspect(MANIFEST.digest, openable(MANIFEST.bytes).open);
    assert.equal(repaired.mediaType, OCI_MANIFEST);
  }
});

Deno.test("ManifestInspector passes on what fails, closes the reader, and looks again", async () => {
  const inspector = new ManifestInspector();
  const failure = new UnavailableError("disk is broken");
  const failing = openable(MANIFEST.bytes, { failAt: 1, failure });
  await assert.rejects(inspector.inspect(MANIFEST.digest, failing.open), UnavailableError);
  assert.equal(failing.readers[0]?.closed, 1);
  const refused = inspector.inspect(MANIFEST.digest, () => Promise.reject(failure));
  await assert.rejects(refused, UnavailableError);
  const { children } = await inspector.inspect(MANIFEST.digest, openable(MANIFEST.bytes).open);
  assert.deepEqual(children, CHILDREN);
});

Deno.test("ManifestInspector forgets the oldest beyond its limit, and only those", async () => {
  const inspector = new ManifestInspector(2);
  const contents = [1, 2, 3].map((seed) => makeContent(10, seed));
  for (const { bytes, digest } of contents) await inspector.inspect(digest, openable(bytes).open);
  const lookedAt: Digest[] = [];
  for (const { bytes, digest } of contents.toReversed()) {
    const { open, readers } = openable(bytes);
    await inspector.inspect(digest, open);
    if (readers.length > 0) lookedAt.push(digest);
  }
  assert.deepEqual(lookedAt, [contents[0]?.digest]);
});
