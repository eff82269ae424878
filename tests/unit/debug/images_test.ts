import assert from "node:assert/strict";
import {
  Images,
  LOCATED_TTL_MS,
  LOOKUPS_AT_ONCE,
  MAX_LISTED_IMAGES,
} from "../../../lib/debug/images.ts";
import { UnavailableError } from "../../../lib/errors.ts";
import { createFilter } from "../../../lib/oci/filter.ts";
import { MemoryNetwork, MemoryRouter } from "../../../lib/routing/memory_router.ts";
import type { Router } from "../../../lib/routing/router.ts";
import { MemoryStore } from "../../../lib/store/memory_store.ts";
import { makeContent } from "../support/content.ts";
import { eventually } from "../support/eventually.ts";
import { FakeClock } from "../support/fake_clock.ts";

const ALL = createFilter({ mirroredRegistries: [], registryFilters: [] });
const PEER = { id: "b", addresses: ["10.0.0.2"], registryPort: 5000 };
const NGINX = "docker.io/library/nginx:1.27";
const APP = "ghcr.io/team/app:v1";

interface Setup {
  readonly images: Images;
  readonly store: MemoryStore;
  readonly clock: FakeClock;
  readonly router: Router;
  readonly network: MemoryNetwork;
  readonly ending: AbortController;
}

function setUp(filter = ALL): Setup {
  const network = new MemoryNetwork();
  const self = { id: "a", addresses: ["10.0.0.1"], registryPort: 5000 };
  const router = new MemoryRouter({ network, self });
  const store = new MemoryStore();
  const clock = new FakeClock();
  const ending = new AbortController();
  const images = new Images({ store, router, now: clock.now }, filter, ending.signal);
  return { images, store, clock, router, network, ending };
}

/** Puts images into a store. */
function add(store: MemoryStore, ...names: string[]): string {
  const digest = store.put(makeContent(10).bytes);
  for (const name of names) store.tag(name, digest);
  return digest;
}

Deno.test("Images lists tags by name, and some time later who has them", async () => {
  const { images, store, clock, network } = setUp();
  const digest = add(store, NGINX, APP);
  await new MemoryRouter({ network, self: PEER }).advertise([NGINX]);
  const first = await images.list("");
  assert.deepEqual(first, {
    images: [
      { name: NGINX, digest, isMirrored: true },
      { name: APP, digest, isMirrored: true },
    ],
    matching: 2,
    total: 2,
  });
  const located = await eventually("they are located", async () => {
    const { images: list } = await images.list("");
    return list.every((image) => image.located !== undefined) ? list : undefined;
  });
  assert.deepEqual(located.map((image) => image.located), [
    { peers: [PEER], complete: true, agoMs: 0 },
    { peers: [], complete: true, agoMs: 0 },
  ]);
  await clock.advance(1234);
  assert.equal((await images.list("")).images[0]?.located?.agoMs, 1234);
});

Deno.test("Images looks up anew when what it knows is old", async () => {
  const { images, store, clock, network } = setUp();
  add(store, NGINX);
  const peersAre = async (count: number) =>
    await eventually(`${count} peers`, async () => {
      return (await images.list("")).images[0]?.located?.peers.length === count;
    });
  await peersAre(0);
  await new MemoryRouter({ network, self: PEER }).advertise([NGINX]);
  await clock.advance(LOCATED_TTL_MS);
  await peersAre(1);
});

Deno.test("Images filters by a part of the name, and tells what is not mirrored", async () => {
  const filter = createFilter({ mirroredRegistries: ["ghcr.io"], registryFilters: [] });
  const { images, store } = setUp(filter);
  add(store, NGINX, APP, "ghcr.io/team/other:v1");
  const { images: list, matching, total } = await images.list("TEAM/a");
  assert.deepEqual(list.map(({ name, isMirrored }) => [name, isMirrored]), [[APP, true]]);
  assert.deepEqual([matching, total], [1, 3]);
  assert.deepEqual((await images.list("nginx")).images[0]?.isMirrored, false);
});

Deno.test("Images bounds the list and the lookups at the same time", async () => {
  const { images, store, router, ending } = setUp();
  add(
    store,
    ...Array.from({ length: MAX_LISTED_IMAGES + 5 }, (_, i) => `docker.io/a/b:${i + 100}`),
  );
  const waiting: (() => void)[] = [];
  let most = 0;
  let asked = 0;
  router.lookup = async function* () {
    asked += 1;
    const { promise, resolve } = Promise.withResolvers<never[]>();
    waiting.push(() => resolve([]));
    most = Math.max(most, waiting.length);
    yield* await promise;
  };
  const list = await images.list("");
  assert.deepEqual([list.images.length, list.matching], [MAX_LISTED_IMAGES, MAX_LISTED_IMAGES + 5]);
  await images.list("");
  await eventually("all were asked for", () => {
    waiting.splice(0).forEach((answer) => answer());
    return asked === MAX_LISTED_IMAGES;
  });
  assert.equal(most, LOOKUPS_AT_ONCE);
  ending.abort();
  waiting.splice(0).forEach((answer) => answer());
});

Deno.test("Images tries again after a lookup that failed, and fails with the store", async () => {
  const { images, store, router } = setUp();
  add(store, NGINX);
  const lookup = router.lookup.bind(router);
  router.lookup = () => {
    throw new UnavailableError("router is stopped");
  };
  await images.list("");
  assert.equal((await images.list("")).images[0]?.located, undefined);
  router.lookup = lookup;
  await eventually("it is located", async () => (await images.list("")).images[0]?.located);
  store.list = () => Promise.reject(new UnavailableError("containerd is away"));
  await assert.rejects(images.list(""), UnavailableError);
});
