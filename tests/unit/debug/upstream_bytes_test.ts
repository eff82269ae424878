import assert from "node:assert/strict";
import {
  MAX_MISSED_CONTENTS,
  MISSED_CONTENT_TTL_MS,
  UpstreamBytes,
} from "../../../lib/debug/upstream_bytes.ts";
import { NotFoundError, UnavailableError } from "../../../lib/errors.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import type { AnswerFacts } from "../../../lib/registry/messages.ts";
import type { Exchange } from "../../../lib/registry/registry_server.ts";
import { MemoryStore } from "../../../lib/store/memory_store.ts";
import { makeContent } from "../support/content.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { blobPath } from "../support/mirror_of.ts";

/** A request of containerd that nobody could serve. */
function missed(
  digest: Digest,
  changes: Partial<Exchange & { facts: AnswerFacts }> = {},
): Exchange {
  const facts = {
    handler: "mirror",
    path: blobPath(digest),
    error: new NotFoundError("no"),
  } as const;
  const answer = { status: 404, headers: {}, body: undefined, facts: changes.facts ?? facts };
  return {
    method: "GET",
    path: "",
    handler: "/v2/*",
    status: 404,
    bytes: 0,
    seconds: 0,
    complete: true,
    answer,
    ...changes,
  };
}

function setUp(): { clock: FakeClock; store: MemoryStore; upstream: UpstreamBytes } {
  const clock = new FakeClock();
  const store = new MemoryStore();
  return { clock, store, upstream: new UpstreamBytes(store, clock.now) };
}

Deno.test("UpstreamBytes counts what was asked for in vain once it is in the store", async () => {
  const { store, upstream } = setUp();
  const { bytes, digest } = makeContent(1000);
  upstream.finished(missed(digest));
  upstream.finished(missed(digest));
  await upstream.look();
  assert.equal(upstream.total, 0);
  store.put(bytes);
  await upstream.look();
  await upstream.look();
  assert.equal(upstream.total, 1000, "once");
});

Deno.test("UpstreamBytes leaves out what a peer brought before upstream went on", async () => {
  const { store, upstream } = setUp();
  const { bytes, digest } = makeContent(1000);
  upstream.finished(missed(digest, { range: "bytes=400-" }));
  store.put(bytes);
  await upstream.look();
  assert.equal(upstream.total, 600);
});

Deno.test("UpstreamBytes leaves out what is no pull that misses", async () => {
  const { store, upstream } = setUp();
  const { bytes, digest } = makeContent(1000);
  const path = blobPath(digest);
  const error = new NotFoundError("no");
  upstream.finished(missed(digest, { method: "HEAD" }));
  // A peer's, and one that is filtered.
  upstream.finished(missed(digest, { facts: { handler: "registry", path, error } }));
  upstream.finished(missed(digest, { facts: { handler: "mirror", path, source: "peer b:1" } }));
  upstream.finished(missed(digest, { facts: { handler: "mirror", error } }));
  store.put(bytes);
  await upstream.look();
  assert.equal(upstream.total, 0);
});

Deno.test("UpstreamBytes waits while the store is away, and not for ever", async () => {
  const { clock, store, upstream } = setUp();
  const { bytes, digest } = makeContent(1000);
  const late = makeContent(500, 2);
  upstream.finished(missed(digest));
  upstream.finished(missed(late.digest));
  const descriptor = store.descriptor.bind(store);
  store.descriptor = () => Promise.reject(new UnavailableError("containerd is away"));
  await upstream.look();
  store.descriptor = descriptor;
  store.put(bytes);
  await upstream.look();
  assert.equal(upstream.total, 1000);
  await clock.advance(MISSED_CONTENT_TTL_MS);
  await upstream.look();
  store.put(late.bytes);
  await upstream.look();
  assert.equal(upstream.total, 1000);
});

Deno.test("UpstreamBytes forgets the oldest of too many", async () => {
  const { store, upstream } = setUp();
  const contents = Array.from(
    { length: MAX_MISSED_CONTENTS + 1 },
    (_, i) => makeContent(10, i + 1),
  );
  for (const { digest } of contents) upstream.finished(missed(digest));
  for (const { bytes } of contents) store.put(bytes);
  await upstream.look();
  assert.equal(upstream.total, 10 * MAX_MISSED_CONTENTS);
});
