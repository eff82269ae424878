import assert from "node:assert/strict";
import { UnavailableError } from "../../../lib/errors.ts";
import { createFilter, type FilterOptions } from "../../../lib/oci/filter.ts";
import { MemoryNetwork, MemoryRouter } from "../../../lib/routing/memory_router.ts";
import type { Router } from "../../../lib/routing/router.ts";
import { MemoryStore } from "../../../lib/store/memory_store.ts";
import type { StoreEntry } from "../../../lib/store/store.ts";
import {
  type AdvertisedCounts,
  DEBOUNCE_MS,
  MAX_PAUSE_MS,
  MAX_WALK_SHARE,
  RETRY_MS,
  Sync,
  UNKNOWN_REGISTRY,
  WALK_INTERVAL_MS,
} from "../../../lib/sync/sync.ts";
import { recordingLog } from "../cli/recording_log.ts";
import { makeContent, makeManifest } from "../support/content.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

const LAYER = makeContent(100, 1);
const CONFIG = makeContent(10, 2);
const MANIFEST = makeManifest(CONFIG, [LAYER]);
const TAG = "docker.io/library/test:v1";

/** A running sync with everything that it ties together. */
interface Fixture {
  readonly clock: FakeClock;
  readonly store: MemoryStore;
  readonly sync: Sync;
  readonly lines: readonly Record<string, unknown>[];
  /** What the router was told, e.g. `+ docker.io/a:v1`. */
  readonly told: string[];
  /** Times at which the store was listed. */
  readonly looks: number[];
  readonly counts: AdvertisedCounts[];
  /** Keys that others find now. */
  keys(): string[];
  stop(): Promise<void>;
}

interface FixtureOptions {
  readonly filter?: Partial<FilterOptions>;
  /** Changes the parts before the sync runs. */
  readonly prepare?: (parts: { store: MemoryStore; router: Router; clock: FakeClock }) => void;
}

/** Puts an image into a store. */
function addImage(store: MemoryStore, tag = TAG): void {
  for (const { bytes } of [LAYER, CONFIG, MANIFEST]) store.put(bytes);
  store.tag(tag, MANIFEST.digest);
}

function start(options: FixtureOptions = {}): Fixture {
  const clock = new FakeClock();
  const store = new MemoryStore();
  const network = new MemoryNetwork();
  const router = new MemoryRouter({
    network,
    self: { id: "self", addresses: ["127.0.0.1"], registryPort: 1 },
  });
  options.prepare?.({ store, router, clock });

  const looks: number[] = [];
  const list = store.list.bind(store);
  store.list = () => {
    looks.push(clock.now());
    return list();
  };
  const told: string[] = [];
  for (const [name, sign] of [["advertise", "+"], ["withdraw", "-"]] as const) {
    const tell = router[name].bind(router);
    router[name] = async (keys) => {
      await tell(keys);
      told.push(...keys.map((key) => `${sign} ${key}`));
    };
  }
  const { log, lines } = recordingLog();
  const counts: AdvertisedCounts[] = [];
  const abort = new AbortController();
  const sync = new Sync({
    store,
    router,
    filter: createFilter({ mirroredRegistries: [], registryFilters: [], ...options.filter }),
    log,
    onAdvertised: (advertised) => counts.push(advertised),
    now: clock.now,
    sleep: clock.sleep,
  });
  const running = sync.run(abort.signal);
  return {
    clock,
    store,
    sync,
    lines,
    told,
    looks,
    counts,
    keys: () => [...network.records.keys()].sort(),
    async stop() {
      abort.abort();
      await running;
      assert.equal(clock.sleepers, 0, "nothing waits any more");
    },
  };
}

const IMAGE_KEYS = [TAG, MANIFEST.digest, CONFIG.digest, LAYER.digest].sort();

Deno.test("Sync advertises at start what the store holds", async () => {
  const { clock, sync, keys, stop } = start({ prepare: ({ store }) => addImage(store) });
  await clock.advance(0);
  assert.deepEqual(keys(), IMAGE_KEYS);
  assert.equal(sync.size, 4);
  await stop();
});

Deno.test("Sync advertises what comes and withdraws what goes, and tells only what has changed", async () => {
  const { clock, store, told, keys, stop } = start({ prepare: ({ store }) => addImage(store) });
  await clock.advance(DEBOUNCE_MS);
  told.length = 0;
  const other = store.put(makeContent(5, 9).bytes);
  store.tag("docker.io/library/test:v2", MANIFEST.digest);
  await clock.advance(DEBOUNCE_MS);
  assert.deepEqual(told.sort(), [`+ ${other}`, "+ docker.io/library/test:v2"].sort());
  told.length = 0;
  store.untag(TAG);
  store.remove(LAYER.digest);
  await clock.advance(DEBOUNCE_MS);
  assert.deepEqual(told.sort(), [`- ${LAYER.digest}`, `- ${TAG}`].sort());
  assert.equal(keys().includes(TAG), false);
  await stop();
});

Deno.test("Sync waits for the store's first event, which says that no change can be missed", async () => {
  const { clock, looks, stop } = start({
    prepare({ store }) {
      store.watch = async function* (signal) {
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        yield* [];
      };
    },
  });
  await clock.advance(WALK_INTERVAL_MS - 1);
  assert.deepEqual(looks, []);
  await clock.advance(1);
  assert.deepEqual(looks, [WALK_INTERVAL_MS], "but not for ever");
  await stop();
});

Deno.test("Sync looks once for changes that come together", async () => {
  const { clock, store, looks, keys, stop } = start();
  await clock.advance(WALK_INTERVAL_MS / 2);
  looks.length = 0;
  for (let count = 0; count < 10; count++) {
    store.put(makeContent(10, 100 + count).bytes);
    await clock.advance(DEBOUNCE_MS / 20);
  }
  await clock.advance(DEBOUNCE_MS);
  assert.equal(looks.length, 1);
  assert.equal(keys().length, 10);
  await stop();
});

Deno.test("Sync looks again after a while without any change", async () => {
  const { clock, store, looks, keys, stop } = start();
  await clock.advance(DEBOUNCE_MS);
  looks.length = 0;
  // A change of which the store tells nothing.
  const list = store.list.bind(store);
  const silent: StoreEntry = {
    kind: "tag",
    key: TAG,
    digest: MANIFEST.digest,
    sources: [{ registry: "docker.io", repository: "library/test" }],
  };
  store.list = async () => [...await list(), silent];
  await clock.advance(WALK_INTERVAL_MS);
  assert.deepEqual(keys(), [TAG]);
  assert.equal(looks.length, 1);
  await stop();
});

Deno.test("Sync looks again for a change that comes while it looks", async () => {
  let isFirst = true;
  const { clock, keys, stop } = start({
    prepare({ store }) {
      const list = store.list.bind(store);
      store.list = async () => {
        const entries = await list();
        if (!isFirst) return entries;
        isFirst = false;
        addImage(store); // Too late for this listing.
        await settle();
        return entries;
      };
    },
  });
  await clock.advance(0);
  await settle();
  assert.equal(isFirst, false);
  assert.deepEqual(keys(), []);
  await clock.advance(DEBOUNCE_MS);
  assert.deepEqual(keys(), IMAGE_KEYS);
  await stop();
});

for (
  const [durationMs, pauseMs] of [
    [1, DEBOUNCE_MS],
    [100, 100 * (MAX_WALK_SHARE - 1)],
    [2000, MAX_PAUSE_MS],
  ] as const
) {
  Deno.test(`Sync pauses ${pauseMs} ms after a look of ${durationMs} ms, however many changes come`, async () => {
    const { clock, store, looks, stop } = start({
      prepare({ store, clock }) {
        const list = store.list.bind(store);
        store.list = async () => {
          await clock.sleep(durationMs);
          return await list();
        };
      },
    });
    for (let at = 0; at < 4 * (durationMs + pauseMs); at += 1) {
      store.put(makeContent(4, at + 1).bytes);
      await clock.advance(1);
    }
    assert.ok(looks.length >= 4);
    for (const [index, startedAt] of looks.slice(1).entries()) {
      assert.equal(startedAt - looks[index]!, durationMs + pauseMs);
    }
    const stopped = stop();
    await clock.advance(durationMs);
    await stopped;
  });
}

Deno.test("Sync tries again when the store cannot be listed, and says so once", async () => {
  let failures = 3;
  const { clock, looks, lines, keys, stop } = start({
    prepare({ store }) {
      addImage(store);
      const list = store.list.bind(store);
      store.list = () => {
        failures -= 1;
        if (failures >= 0) return Promise.reject(new UnavailableError("containerd is away"));
        return list();
      };
    },
  });
  await clock.advance(3 * (RETRY_MS + DEBOUNCE_MS) - 1);
  assert.deepEqual(keys(), []);
  assert.equal(looks.length, 3);
  assert.deepEqual(
    lines.map(({ level, store, error }) => [level, store, error]),
    [["WARN", "memory", "ERR_UNAVAILABLE: containerd is away"]],
  );
  await clock.advance(1);
  assert.deepEqual(keys(), IMAGE_KEYS);
  await stop();
});

Deno.test("Sync keeps what it has advertised while the store cannot be listed", async () => {
  const { clock, store, told, keys, stop } = start({ prepare: ({ store }) => addImage(store) });
  await clock.advance(DEBOUNCE_MS);
  told.length = 0;
  const list = store.list.bind(store);
  store.list = () => Promise.reject(new UnavailableError("containerd is away"));
  store.untag(TAG);
  await clock.advance(10 * RETRY_MS);
  assert.deepEqual(told, []);
  assert.deepEqual(keys(), IMAGE_KEYS);
  store.list = list;
  await clock.advance(RETRY_MS + DEBOUNCE_MS);
  assert.deepEqual(told, [`- ${TAG}`]);
  await stop();
});

for (const failing of ["advertise", "withdraw"] as const) {
  Deno.test(`Sync tells the router again when it could not ${failing}`, async () => {
    let failures = 0;
    const { clock, store, keys, lines, sync, stop } = start({
      prepare({ router }) {
        const tell = router[failing].bind(router);
        router[failing] = (keys) => {
          failures -= 1;
          if (failures >= 0) return Promise.reject(new Error("router is stopped"));
          return tell(keys);
        };
      },
    });
    const digest = store.put(makeContent(5, 9).bytes);
    await clock.advance(DEBOUNCE_MS);
    assert.deepEqual(keys(), [digest]);
    failures = 2;
    store.remove(digest);
    addImage(store);
    await clock.advance(DEBOUNCE_MS);
    assert.ok(sync.size === 1, "what could not be told is not taken for told");
    await clock.advance(3 * (RETRY_MS + DEBOUNCE_MS));
    assert.deepEqual(keys(), IMAGE_KEYS);
    assert.equal(lines.length, 1, "the same trouble is told once");
    await stop();
  });
}

Deno.test("Sync advertises only tags that the filter lets pass", async () => {
  const { clock, keys, stop } = start({
    filter: { mirroredRegistries: ["docker.io"], registryFilters: [/:latest$/] },
    prepare({ store }) {
      addImage(store);
      store.tag("docker.io/library/test:latest", MANIFEST.digest);
      store.tag("ghcr.io/team/app:v1", MANIFEST.digest);
    },
  });
  await clock.advance(0);
  assert.deepEqual(keys(), IMAGE_KEYS, "the content itself also comes from a registry that passes");
  await stop();
});

Deno.test("Sync advertises content only if one of its sources passes the filter", async () => {
  const passes = makeContent(5, 11);
  const isFiltered = makeContent(5, 12);
  const both = makeContent(5, 13);
  const unknown = makeContent(5, 14);
  const allowed = { registry: "docker.io", repository: "library/test" };
  const refused = { registry: "docker.io", repository: "private/test" };
  const { clock, keys, stop } = start({
    filter: { registryFilters: [/^docker\.io\/private\//] },
    prepare({ store }) {
      store.put(passes.bytes, [allowed]);
      store.put(isFiltered.bytes, [refused]);
      store.put(both.bytes, [refused, allowed]);
      store.put(unknown.bytes);
    },
  });
  await clock.advance(0);
  assert.deepEqual(keys(), [passes.digest, both.digest].sort());
  await stop();
});

Deno.test("Sync advertises content of unknown origin where nothing is filtered", async () => {
  const unknown = makeContent(5, 14);
  const { clock, keys, counts, stop } = start({
    prepare: ({ store }) => void store.put(unknown.bytes),
  });
  await clock.advance(0);
  assert.deepEqual(keys(), [unknown.digest]);
  assert.deepEqual(counts.at(-1)?.contents, new Map([[UNKNOWN_REGISTRY, 1]]));
  await stop();
});

Deno.test("Sync advertises no names that the filter cannot judge", async () => {
  const { clock, keys, stop } = start({
    filter: { mirroredRegistries: ["docker.io"] },
    prepare({ store }) {
      const list = store.list.bind(store);
      store.list = async () => {
        const entries = await list();
        const odd: StoreEntry = { kind: "tag", key: "odd", digest: MANIFEST.digest, sources: [] };
        return [...entries, odd];
      };
    },
  });
  await clock.advance(0);
  assert.deepEqual(keys(), []);
  await stop();
});

Deno.test("Sync counts what it advertises by registry", async () => {
  const { clock, store, counts, stop } = start({ prepare: ({ store }) => addImage(store) });
  store.tag("ghcr.io/team/app:v1", MANIFEST.digest);
  store.tag("ghcr.io/team/app:v2", MANIFEST.digest);
  await clock.advance(0);
  assert.deepEqual(counts, [{
    tags: new Map([["docker.io", 1], ["ghcr.io", 2]]),
    images: new Map([["docker.io", 1], ["ghcr.io", 1]]),
    contents: new Map([["docker.io", 3], ["ghcr.io", 3]]),
  }]);
  await stop();
});

Deno.test("Sync watches anew when the watch fails or ends, and says so", async () => {
  let watches = 0;
  const { clock, lines, keys, stop } = start({
    prepare({ store }) {
      const watch = store.watch.bind(store);
      store.watch = async function* (signal) {
        watches += 1;
        if (watches === 1) throw new Error("no more descriptors");
        if (watches === 2) return;
        yield* watch(signal);
      };
      addImage(store);
    },
  });
  await clock.advance(RETRY_MS - 1);
  assert.equal(watches, 1);
  assert.deepEqual(lines.map(({ level, error }) => [level, error]), [[
    "ERROR",
    "no more descriptors",
  ]]);
  await clock.advance(1);
  assert.equal(watches, 2);
  await clock.advance(RETRY_MS);
  assert.equal(watches, 3);
  await clock.advance(DEBOUNCE_MS);
  assert.deepEqual(keys(), IMAGE_KEYS);
  await stop();
});

Deno.test("Sync stops wherever it is, and leaves nothing behind", async () => {
  const never = () => new Promise<never>(() => {});
  const stages: Readonly<Record<string, { options?: FixtureOptions; advanceMs: number }>> = {
    "before the first event": {
      options: {
        prepare({ store }) {
          store.watch = async function* (signal) {
            await Promise.race([
              never(),
              new Promise((resolve) => signal.addEventListener("abort", resolve)),
            ]);
            yield* [];
          };
        },
      },
      advanceMs: 10,
    },
    "in the wait for a change": { advanceMs: DEBOUNCE_MS * 5 },
    "in the pause after a look": { advanceMs: DEBOUNCE_MS / 2 },
    "in the wait for another try": {
      options: {
        prepare({ store }) {
          store.list = () => Promise.reject(new Error("away"));
        },
      },
      advanceMs: RETRY_MS / 2,
    },
    "in the wait for another watch": {
      options: {
        prepare({ store }) {
          // deno-lint-ignore require-yield -- it fails before its first event
          store.watch = async function* () {
            await Promise.resolve();
            throw new Error("away");
          };
        },
      },
      advanceMs: RETRY_MS / 2,
    },
  };
  for (const [stage, { options, advanceMs }] of Object.entries(stages)) {
    const { clock, store, looks, stop } = start(options);
    await clock.advance(0);
    if (stage.includes("pause")) store.put(LAYER.bytes);
    await clock.advance(advanceMs);
    await stop();
    const before = looks.length;
    store.put(CONFIG.bytes);
    await clock.advance(10 * WALK_INTERVAL_MS);
    assert.equal(looks.length, before, stage);
  }
});

Deno.test("Sync that is stopped in the middle of a look ends after it", async () => {
  const listing = Promise.withResolvers<void>();
  const { clock, looks, stop } = start({
    prepare({ store }) {
      const list = store.list.bind(store);
      store.list = async () => {
        await listing.promise;
        return await list();
      };
    },
  });
  await clock.advance(0);
  assert.equal(looks.length, 1);
  const stopped = stop();
  listing.resolve();
  await stopped;
  assert.equal(looks.length, 1);
});

Deno.test("Sync runs by the system's clock where none is given", async () => {
  const store = new MemoryStore();
  addImage(store);
  const network = new MemoryNetwork();
  const self = { id: "self", addresses: ["127.0.0.1"], registryPort: 1 };
  const advertised = Promise.withResolvers<void>();
  const sync = new Sync({
    store,
    router: new MemoryRouter({ network, self }),
    filter: createFilter({ mirroredRegistries: [], registryFilters: [] }),
    log: recordingLog().log,
    debounceMs: 1,
    intervalMs: 5,
    onAdvertised: () => advertised.resolve(),
  });
  const abort = new AbortController();
  const running = sync.run(abort.signal);
  await advertised.promise;
  assert.deepEqual([...network.records.keys()].sort(), IMAGE_KEYS);
  abort.abort();
  await running;
});
