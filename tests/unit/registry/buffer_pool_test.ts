import assert from "node:assert/strict";
import {
  BufferPool,
  LARGE_BUFFER_SIZE,
  MAX_FREE_BUFFERS,
  MAX_LARGE_STREAMS,
  MAX_MEDIUM_STREAMS,
  MEDIUM_BUFFER_SIZE,
  SMALL_BUFFER_SIZE,
} from "../../../lib/registry/buffer_pool.ts";
import { MAX_CONNECTIONS } from "../../../lib/registry/registry_server.ts";

const LARGE_BODY = 100 * LARGE_BUFFER_SIZE;

Deno.test("BufferPool.sizeFor() gives a small body one buffer of its very size", () => {
  assert.equal(BufferPool.sizeFor(0, 1), 1, "an empty buffer could not be read into");
  assert.equal(BufferPool.sizeFor(1, 1), 1);
  assert.equal(BufferPool.sizeFor(MEDIUM_BUFFER_SIZE, 1), MEDIUM_BUFFER_SIZE);
  assert.equal(BufferPool.sizeFor(100, MAX_MEDIUM_STREAMS + 1), 100);
});

Deno.test("BufferPool.sizeFor() makes buffers smaller the more bodies run", () => {
  assert.equal(
    BufferPool.sizeFor(MEDIUM_BUFFER_SIZE + 1, 1),
    LARGE_BUFFER_SIZE,
    "one read, one write",
  );
  assert.equal(BufferPool.sizeFor(LARGE_BODY, 1), LARGE_BUFFER_SIZE);
  assert.equal(BufferPool.sizeFor(LARGE_BODY, MAX_LARGE_STREAMS), LARGE_BUFFER_SIZE);
  assert.equal(BufferPool.sizeFor(LARGE_BODY, MAX_LARGE_STREAMS + 1), MEDIUM_BUFFER_SIZE);
  assert.equal(BufferPool.sizeFor(LARGE_BODY, MAX_MEDIUM_STREAMS), MEDIUM_BUFFER_SIZE);
  assert.equal(BufferPool.sizeFor(LARGE_BODY, MAX_MEDIUM_STREAMS + 1), SMALL_BUFFER_SIZE);
  assert.equal(BufferPool.sizeFor(MEDIUM_BUFFER_SIZE, MAX_MEDIUM_STREAMS + 1), SMALL_BUFFER_SIZE);
});

Deno.test("BufferPool.sizeFor() gives large bodies over TLS small buffers, however few they are", () => {
  assert.equal(BufferPool.sizeFor(LARGE_BODY, 1, true), SMALL_BUFFER_SIZE);
  assert.equal(BufferPool.sizeFor(MEDIUM_BUFFER_SIZE, 1, true), MEDIUM_BUFFER_SIZE);
  assert.equal(BufferPool.sizeFor(1, 1, true), 1);
});

Deno.test("BufferPool.sizeFor() keeps as many bodies as there can be connections below 300 MiB", () => {
  let bytes = 0;
  for (let active = 1; active <= MAX_CONNECTIONS; active++) {
    bytes += 2 * BufferPool.sizeFor(LARGE_BODY, active);
  }
  assert.ok(bytes <= 300 * 1024 * 1024, String(bytes));
});

Deno.test("BufferPool lends a buffer that was given back once more, but never to two at a time", () => {
  const pool = new BufferPool();
  for (const size of [LARGE_BUFFER_SIZE, MEDIUM_BUFFER_SIZE, SMALL_BUFFER_SIZE]) {
    const first = pool.take(size);
    assert.equal(first.length, size);
    pool.give(first);
    assert.equal(pool.take(size), first);
    assert.notEqual(pool.take(size), first);
  }
});

Deno.test("BufferPool keeps no buffers of odd sizes", () => {
  const pool = new BufferPool();
  const odd = pool.take(1000);
  assert.equal(odd.length, 1000);
  pool.give(odd);
  assert.notEqual(pool.take(1000), odd);
});

Deno.test("BufferPool keeps only so many buffers", () => {
  const pool = new BufferPool();
  const given = Array.from({ length: MAX_FREE_BUFFERS + 3 }, () => pool.take(SMALL_BUFFER_SIZE));
  for (const buffer of given) pool.give(buffer);
  const known = new Set(given);
  const taken = given.map(() => pool.take(SMALL_BUFFER_SIZE));
  assert.equal(taken.filter((buffer) => known.has(buffer)).length, MAX_FREE_BUFFERS);
});
