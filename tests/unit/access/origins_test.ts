import assert from "node:assert/strict";
import { AWAITED_TTL_MS, MAX_AWAITED, Origins } from "../../../lib/access/origins.ts";
import { PrivateRegistries } from "../../../lib/access/private_registries.ts";
import { NotFoundError, UnavailableError } from "../../../lib/errors.ts";
import { type Digest, sha256Digest } from "../../../lib/oci/digest.ts";
import type { Source } from "../../../lib/store/store.ts";

const REGISTRY = "registry.test:5000";
const [APP, OTHER] = ["team/app", "team/other"].map((repository) => ({
  registry: REGISTRY,
  repository,
})) as [Source, Source];
const PUBLIC: Source = { registry: "docker.io", repository: "library/nginx" };

function digestOf(seed: number): Digest {
  return sha256Digest(new TextEncoder().encode(String(seed)));
}

const DIGEST = digestOf(1);

class Fixture {
  now = 0;
  /** Undefined for content that the store does not have. */
  sources: readonly Source[] | undefined;
  readonly origins = new Origins({
    registries: new PrivateRegistries([{ host: REGISTRY, url: `http://${REGISTRY}` }]),
    sources: () =>
      this.sources === undefined
        ? Promise.reject(new NotFoundError("not there"))
        : Promise.resolve(this.sources),
    now: () => this.now,
  });

  constructor(sources?: readonly Source[]) {
    this.sources = sources;
  }

  allows(name: Source, digest = DIGEST): Promise<boolean> {
    return this.origins.allows({ ...name, digest });
  }
}

Deno.test("Origins allows private content only under a name that it came under", async () => {
  const known = new Fixture([{ registry: "registry.test", repository: APP.repository }]);
  assert.equal(await known.allows(APP), true);
  assert.equal(await known.allows(OTHER), false);
  assert.equal(await known.allows(PUBLIC), false);
});

Deno.test("Origins allows content that is known from elsewhere, or from nowhere", async () => {
  const shared = new Fixture([{ registry: "registry.test", repository: APP.repository }, PUBLIC]);
  assert.equal(await shared.allows(PUBLIC), true);
  assert.equal(await shared.allows(OTHER), true);
  assert.equal(await new Fixture([]).allows(PUBLIC), true);
  assert.equal(await new Fixture().allows(PUBLIC), true);
});

Deno.test("Origins holds back content on its way, except from those who proved access", async () => {
  for (const sources of [undefined, []]) {
    const fixture = new Fixture(sources);
    fixture.origins.note({ ...APP, digest: DIGEST }, false);
    assert.equal(await fixture.allows(PUBLIC), false);
    assert.equal(await fixture.allows(APP), false);
    fixture.origins.note({ ...APP, digest: DIGEST }, true);
    assert.equal(await fixture.allows(APP), true);
    assert.equal(await fixture.allows(PUBLIC), false);
    fixture.origins.note({ ...OTHER, digest: DIGEST }, false);
    assert.equal(await fixture.allows(APP), true, "nobody's failure takes it away");
    assert.equal(await fixture.allows(OTHER), false);
  }
});

Deno.test("Origins gives a name that was asked for no weight against what the store says", async () => {
  const fixture = new Fixture([{ registry: "registry.test", repository: APP.repository }]);
  fixture.origins.note({ ...OTHER, digest: DIGEST }, true);
  assert.equal(await fixture.allows(OTHER), false);
  assert.equal(await fixture.allows(APP), true);
});

Deno.test("Origins remembers for as long as a download may take, and a bounded number", async () => {
  const fixture = new Fixture();
  fixture.origins.note({ ...APP, digest: DIGEST }, true);
  fixture.now = AWAITED_TTL_MS;
  assert.equal(await fixture.allows(PUBLIC), true, "forgotten");
  for (let seed = 0; seed <= MAX_AWAITED; seed++) {
    for (const isProven of [true, false]) {
      fixture.origins.note({ ...APP, digest: digestOf(seed) }, isProven);
    }
  }
  assert.equal(await fixture.allows(PUBLIC, digestOf(0)), true, "the oldest went");
  assert.equal(await fixture.allows(PUBLIC, digestOf(1)), false);
});

Deno.test("Origins forgets nothing that was proven because of what was not", async () => {
  const fixture = new Fixture();
  fixture.origins.note({ ...APP, digest: DIGEST }, true);
  for (let seed = 10; seed < 10 + 2 * MAX_AWAITED; seed++) {
    fixture.origins.note({ ...OTHER, digest: digestOf(seed) }, false);
  }
  assert.equal(await fixture.allows(PUBLIC), false);
  assert.equal(await fixture.allows(APP), true);
});

Deno.test("Origins does not guess while the store cannot be asked", async () => {
  const origins = new Origins({
    registries: new PrivateRegistries([]),
    sources: () => Promise.reject(new UnavailableError("no containerd")),
  });
  await assert.rejects(origins.allows({ ...APP, digest: DIGEST }), UnavailableError);
});
