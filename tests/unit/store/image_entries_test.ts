import assert from "node:assert/strict";
import { type Digest, parseDigest } from "../../../lib/oci/digest.ts";
import { imageEntries, type StoredContent } from "../../../lib/store/image_entries.ts";
import type { Source, StoreEntry } from "../../../lib/store/store.ts";

/** A digest that is easy to tell from others. */
function digest(letter: string): Digest {
  return parseDigest(`sha256:${letter.repeat(64)}`);
}

const [INDEX, MANIFEST, CONFIG, LAYER, OTHER] = ["1", "2", "3", "4", "5"].map(digest) as [
  Digest,
  Digest,
  Digest,
  Digest,
  Digest,
];

function content(children: readonly Digest[] = [], sources: readonly Source[] = []): StoredContent {
  return { children, sources };
}

/** An image with an index on top. */
function image(): Map<Digest, StoredContent> {
  return new Map([
    [INDEX, content([MANIFEST])],
    [MANIFEST, content([CONFIG, LAYER])],
    [CONFIG, content()],
    [LAYER, content()],
  ]);
}

function source(text: string): Source {
  const slash = text.indexOf("/");
  return { registry: text.slice(0, slash), repository: text.slice(slash + 1) };
}

function byKey(entries: readonly StoreEntry[]): Map<string, StoreEntry> {
  const map = new Map(entries.map((entry) => [entry.key, entry]));
  assert.equal(map.size, entries.length, "each key once");
  return map;
}

function sourcesOf(entries: readonly StoreEntry[], key: Digest): string[] {
  return (byKey(entries).get(key)?.sources ?? [])
    .map(({ registry, repository }) => `${registry}/${repository}`).sort();
}

Deno.test("imageEntries() lists tag, image and content, all with the source that the name tells", () => {
  const name = "reg.test:5000/team/app:v1";
  const sources = [source("reg.test:5000/team/app")];
  assert.deepEqual(
    byKey(imageEntries([{ name, target: INDEX }], image())),
    new Map<string, StoreEntry>([
      [name, { kind: "tag", key: name, digest: INDEX, sources }],
      [INDEX, { kind: "image", key: INDEX, digest: INDEX, sources }],
      [MANIFEST, { kind: "content", key: MANIFEST, digest: MANIFEST, sources }],
      [CONFIG, { kind: "content", key: CONFIG, digest: CONFIG, sources }],
      [LAYER, { kind: "content", key: LAYER, digest: LAYER, sources }],
    ]),
  );
});

Deno.test("imageEntries() leaves out a tag whose target is not stored", () => {
  assert.deepEqual(imageEntries([{ name: "docker.io/app:v1", target: OTHER }], new Map()), []);
  const entries = imageEntries([{ name: "docker.io/app:v1", target: OTHER }], image());
  assert.equal(entries.some(({ kind }) => kind === "tag"), false);
});

Deno.test("imageEntries() makes no tags of names that pin a digest, or are no references", () => {
  const names = [
    `docker.io/app@${INDEX}`,
    `docker.io/app:v1@${INDEX}`,
    INDEX,
    "imported",
    "docker.io/App:v1",
  ];
  const entries = imageEntries(names.map((name) => ({ name, target: INDEX })), image());
  assert.equal(entries.some(({ kind }) => kind === "tag"), false);
  assert.equal(byKey(entries).get(INDEX)?.kind, "image");
  assert.deepEqual(sourcesOf(entries, LAYER), ["docker.io/app"], "but they tell where it is from");
});

Deno.test("imageEntries() knows no sources of what no name leads to", () => {
  const contents = image().set(OTHER, content([LAYER]));
  const entries = imageEntries([{ name: "docker.io/app:v1", target: MANIFEST }], contents);
  assert.deepEqual(
    sourcesOf(entries, INDEX),
    [],
    "a name says nothing of what refers to its target",
  );
  assert.deepEqual(sourcesOf(entries, OTHER), []);
  assert.deepEqual(sourcesOf(entries, LAYER), ["docker.io/app"]);
});

Deno.test("imageEntries() gives content that images share the sources of all of them", () => {
  const contents = image().set(OTHER, content([LAYER]));
  const entries = imageEntries([
    { name: "docker.io/one:v1", target: INDEX },
    { name: "docker.io/one:v2", target: INDEX },
    { name: "ghcr.io/two:v1", target: OTHER },
  ], contents);
  assert.deepEqual(sourcesOf(entries, LAYER), ["docker.io/one", "ghcr.io/two"]);
  assert.deepEqual(sourcesOf(entries, CONFIG), ["docker.io/one"]);
});

Deno.test("imageEntries() adds the sources of labels, each once", () => {
  const labels = ["quay.io/old", "docker.io/app", "quay.io/old"].map(source);
  const contents = image().set(LAYER, content([], labels));
  const entries = imageEntries([{ name: "docker.io/app:v1", target: INDEX }], contents);
  assert.deepEqual(sourcesOf(entries, LAYER), ["docker.io/app", "quay.io/old"]);
  assert.deepEqual(sourcesOf(imageEntries([], contents), LAYER), ["docker.io/app", "quay.io/old"]);
});

Deno.test("imageEntries() prefers a host with its port to the same host in a label without one", () => {
  const labels = ["reg.test/app", "reg.test/other", "other.test/app"].map(source);
  const contents = image().set(LAYER, content([], labels));
  const entries = imageEntries([{ name: "reg.test:5000/app:v1", target: INDEX }], contents);
  assert.deepEqual(sourcesOf(entries, LAYER), [
    "other.test/app",
    "reg.test/other",
    "reg.test:5000/app",
  ]);
});

Deno.test("imageEntries() survives content that refers to itself, in a circle, and to what is missing", () => {
  const contents = new Map([
    [INDEX, content([INDEX, MANIFEST, OTHER])],
    [MANIFEST, content([INDEX])],
  ]);
  const entries = imageEntries([{ name: "docker.io/app:v1", target: INDEX }], contents);
  assert.deepEqual(entries.map(({ key }) => key), ["docker.io/app:v1", INDEX, MANIFEST]);
  assert.deepEqual(sourcesOf(entries, MANIFEST), ["docker.io/app"]);
});

Deno.test("imageEntries() follows a tag that several names of one store share", () => {
  const contents = image().set(OTHER, content());
  const entries = imageEntries([
    { name: "docker.io/app:v1", target: INDEX },
    { name: "docker.io/app:v1", target: OTHER },
  ], contents);
  assert.equal(byKey(entries).get("docker.io/app:v1")?.digest, OTHER);
});
