import assert from "node:assert/strict";
import { NotFoundError, UnavailableError } from "../../../lib/errors.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { DistributionError } from "../../../lib/oci/distribution_error.ts";
import { createFilter } from "../../../lib/oci/filter.ts";
import { type ListDocument, Lists } from "../../../lib/registry/lists.ts";
import { makeContent, makeManifest } from "../support/content.ts";
import { TrackedStore } from "../support/tracked_store.ts";

const CONFIG = makeContent(10);
const IMAGE = makeManifest(CONFIG, [makeContent(20, 2)]);
const APP = { registry: "docker.io", repository: "team/app" };
const SOURCES = [APP];

/** A manifest that refers to the image; other numbers make others. */
function makeReferrer(number: number, fields: Readonly<Record<string, unknown>> = {}) {
  return makeManifest(CONFIG, [], {
    subject: { digest: IMAGE.digest },
    annotations: { number: String(number) },
    ...fields,
  });
}

/** A store with the image under some tags. */
function storeWith(...tags: string[]): TrackedStore {
  const store = new TrackedStore();
  store.put(IMAGE.bytes);
  for (const tag of tags) store.tag(`docker.io/team/app:${tag}`, IMAGE.digest);
  return store;
}

function listsOf(store: TrackedStore, options: { filters?: RegExp[]; maxIndexSize?: number } = {}) {
  const filter = createFilter({ mirroredRegistries: [], registryFilters: options.filters ?? [] });
  const lists = new Lists(store, filter, options.maxIndexSize);
  const signal = new AbortController().signal;
  const ask = (query: string, path: Parameters<Lists["list"]>[0] = APP) =>
    lists.list(path, new URLSearchParams(query), signal);
  return {
    lists,
    tags: async (query = "", path: Parameters<Lists["list"]>[0] = APP): Promise<string[]> =>
      JSON.parse((await ask(query, path)).text).tags,
    referrers: (query = "") => ask(query, { ...APP, subject: IMAGE.digest }),
    ask,
  };
}

function digestsIn(document: ListDocument): Digest[] {
  return JSON.parse(document.text).manifests.map(({ digest }: { digest: Digest }) => digest);
}

/** The query of a `Link` header. */
function nextOf({ headers }: ListDocument): string | undefined {
  return /^<[^?]*\?([^>]*)>; rel="next"$/.exec(headers["Link"] ?? "")?.[1];
}

Deno.test("Lists.list() sorts tags, and leaves out those that a filter refuses", async () => {
  const store = storeWith("b", "a", "latest", "A", "10", "9");
  assert.deepEqual(await listsOf(store).tags(), ["10", "9", "A", "a", "b", "latest"]);
  const { tags } = listsOf(store, { filters: [/:latest$/, /:[ab]$/] });
  assert.deepEqual(await tags(), ["10", "9", "A"]);
  await assert.rejects(listsOf(store, { filters: [/^docker\.io\/team/] }).ask(""), {
    distributionCode: "NAME_UNKNOWN",
  });
});

Deno.test("Lists.list() keeps repositories apart, and registries by their port", async () => {
  const store = storeWith("v1");
  store.tag("docker.io:443/team/app:v2", IMAGE.digest);
  store.tag("docker.io/team/app2:v3", IMAGE.digest);
  store.tag("docker.io/team/app/sub:v4", IMAGE.digest);
  const { tags, ask } = listsOf(store);
  assert.deepEqual(await tags(), ["v1"]);
  assert.deepEqual(await tags("", { ...APP, registry: "docker.io:443" }), ["v2"]);
  assert.deepEqual(await tags("", { ...APP, repository: "team/app/sub" }), ["v4"]);
  for (const path of [{ ...APP, repository: "team" }, { ...APP, registry: "ghcr.io" }]) {
    await assert.rejects(ask("", path), { distributionCode: "NAME_UNKNOWN" });
  }
});

Deno.test("Lists.list() has an empty list for a repository without tags, also where only labels tell of it", async () => {
  const store = new TrackedStore();
  store.put(makeContent(5).bytes, SOURCES);
  const { tags } = listsOf(store);
  assert.deepEqual(await tags(), []);
  assert.deepEqual(await tags("", { ...APP, registry: "docker.io:5000" }), []);
});

Deno.test("Lists.list() refuses an n that is not a number", async () => {
  const { ask } = listsOf(storeWith("v1"));
  for (const n of ["-1", "1.5", "x", "", "1e9", "9".repeat(30)]) {
    await assert.rejects(ask(`n=${n}`), (error: unknown) => {
      return error instanceof DistributionError && error.status === 400;
    });
  }
});

Deno.test("Lists.list() names referrers by their source, and those of no source beside their subject", async () => {
  const store = storeWith("v1");
  const [labelled, nameless, elsewhere, child] = [1, 2, 3, 4].map((n) => makeReferrer(n));
  store.put(labelled!.bytes, SOURCES);
  // As a layout has it: an entry whose name says nothing.
  store.tag("signature", store.put(nameless!.bytes));
  store.put(elsewhere!.bytes, [{ ...APP, repository: "team/other" }]);
  store.put(child!.bytes);
  const { referrers, ask } = listsOf(store);
  assert.deepEqual(
    digestsIn(await referrers()),
    [labelled!.digest, nameless!.digest].sort(),
  );
  const other = await ask("", { ...APP, repository: "team/other", subject: IMAGE.digest });
  assert.deepEqual(digestsIn(other), [elsewhere!.digest]);
});

Deno.test("Lists.list() cuts an index of referrers that grows too large, and goes on behind it", async () => {
  const store = storeWith("v1");
  const referrers = Array.from({ length: 7 }, (_, index) => makeReferrer(index));
  for (const { bytes } of referrers) store.put(bytes, SOURCES);
  const artifactType = "application/vnd.oci.image.config.v1+json";
  const { referrers: ask } = listsOf(store, { maxIndexSize: 600 });
  let query: string | undefined = new URLSearchParams({ artifactType, ns: "docker.io" }).toString();
  const found: Digest[] = [];
  const sizes: number[] = [];
  while (query !== undefined) {
    const document = await ask(query);
    assert.equal(document.headers["OCI-Filters-Applied"], "artifactType");
    const digests = digestsIn(document);
    found.push(...digests);
    sizes.push(digests.length);
    query = nextOf(document);
    if (query !== undefined) assert.equal(new URLSearchParams(query).get("ns"), "docker.io");
  }
  assert.deepEqual(found, referrers.map(({ digest }) => digest).sort());
  assert.deepEqual(sizes, [2, 2, 2, 1]);
  assert.equal(store.openReaders.size, 0);
  // One that is too large by itself comes alone.
  const single = listsOf(store, { maxIndexSize: 1 });
  assert.equal(digestsIn(await single.referrers()).length, 1);
});

Deno.test("Lists.list() leaves out a referrer that went or is corrupt", async () => {
  const store = storeWith("v1");
  const [kept, corrupt, gone] = [1, 2, 3].map((number) => makeReferrer(number));
  for (const referrer of [kept, corrupt, gone]) store.put(referrer!.bytes, SOURCES);
  const open = store.open.bind(store);
  store.open = (digest, range) =>
    digest === corrupt!.digest
      ? Promise.reject(new NotFoundError("it is corrupt"))
      : open(digest, range);
  const descriptor = store.descriptor.bind(store);
  store.descriptor = (digest) => {
    if (digest === gone!.digest) store.remove(digest);
    return descriptor(digest);
  };
  assert.deepEqual(digestsIn(await listsOf(store).referrers()), [kept!.digest]);
});

Deno.test("Lists.list() passes on that the store fails, and lists again the next time", async () => {
  const store = storeWith("v1");
  const list = store.list.bind(store);
  let listings = 0;
  let fails = true;
  store.list = () => {
    listings += 1;
    return fails ? Promise.reject(new UnavailableError("containerd is away")) : list();
  };
  const { tags } = listsOf(store);
  await assert.rejects(tags(), UnavailableError);
  fails = false;
  assert.deepEqual(await Promise.all([tags(), tags(), tags()]), [["v1"], ["v1"], ["v1"]]);
  assert.equal(listings, 2);
});

Deno.test("Lists.list() reads no more when the client is gone", async () => {
  const store = storeWith("v1");
  store.put(makeReferrer(1).bytes, SOURCES);
  const { lists } = listsOf(store);
  const path = { ...APP, subject: IMAGE.digest };
  await assert.rejects(
    lists.list(path, new URLSearchParams(), AbortSignal.abort(new Error("gone"))),
    /gone/,
  );
  assert.equal(store.opened, 0);
});
