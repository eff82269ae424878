import assert from "node:assert/strict";
import { CHUNK_SIZE } from "../../../lib/oci/chunk_list.ts";
import { ChunkBuffers } from "../../../lib/transfer/chunk_buffers.ts";

Deno.test("ChunkBuffers lends buffers of a chunk's size up to its limit, and beyond it what is guaranteed", () => {
  const buffers = new ChunkBuffers(2);
  const first = buffers.take(false)!;
  assert.equal(first.length, CHUNK_SIZE);
  assert.ok(buffers.take(false) !== undefined);
  assert.equal(buffers.take(false), undefined);
  assert.equal(buffers.lent, 2, "a refusal lends nothing");
  const third = buffers.take(true)!;
  assert.equal(buffers.lent, 3);
  buffers.give(third);
  assert.equal(buffers.take(false), undefined, "two are lent still");
  buffers.give(first);
  assert.ok(buffers.take(false) !== undefined);
});

Deno.test("ChunkBuffers lends a buffer again, unless somebody may still use it", () => {
  const buffers = new ChunkBuffers();
  const first = buffers.take(false)!;
  buffers.give(first);
  assert.equal(buffers.take(false), first);
  buffers.give(first, false);
  assert.equal(buffers.lent, 0);
  assert.notEqual(buffers.take(false), first);
});

Deno.test("ChunkBuffers never lends one buffer to two at the same time", () => {
  const buffers = new ChunkBuffers(100);
  const lent = new Set<Uint8Array>();
  for (let round = 0; round < 5; round++) {
    for (let count = 0; count < 20; count++) lent.add(buffers.take(false)!);
    assert.equal(lent.size, 20);
    for (const buffer of lent) buffers.give(buffer);
    lent.clear();
  }
});

Deno.test("ChunkBuffers keeps only some of the memory after a rush", () => {
  const buffers = new ChunkBuffers(100);
  const rush = Array.from({ length: 40 }, () => buffers.take(false)!);
  for (const buffer of rush) buffers.give(buffer);
  const again = Array.from({ length: 40 }, () => buffers.take(false)!);
  const kept = again.filter((buffer) => rush.includes(buffer));
  assert.ok(kept.length > 0 && kept.length <= 12, `${kept.length} were kept`);
});
