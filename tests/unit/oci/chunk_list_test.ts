import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { CHUNK_SIZE, ChunkList, ChunkListBuilder } from "../../../lib/oci/chunk_list.ts";
import { type Digest, parseDigest, sha256Digest } from "../../../lib/oci/digest.ts";
import { makeContent } from "../support/content.ts";

const CONTENT = makeContent(2 * CHUNK_SIZE + 1000);

function build(
  bytes: Uint8Array,
  digest: Digest,
  piece = bytes.length,
): ReturnType<ChunkListBuilder["finish"]> {
  const builder = new ChunkListBuilder(digest);
  for (let at = 0; at < bytes.length; at += piece) builder.update(bytes.subarray(at, at + piece));
  return builder.finish();
}

function listOf(bytes: Uint8Array, digest: Digest): ChunkList {
  const { list } = build(bytes, digest);
  assert.ok(list !== undefined);
  return list;
}

Deno.test("ChunkListBuilder lists the CRC of each chunk, and the digest up to its end", () => {
  const list = listOf(CONTENT.bytes, CONTENT.digest);
  assert.equal(list.count, 3);
  for (let index = 0; index < list.count; index++) {
    const end = Math.min((index + 1) * CHUNK_SIZE, CONTENT.bytes.length);
    const chunk = CONTENT.bytes.subarray(index * CHUNK_SIZE, end);
    assert.equal(list.crcOf(index), crc32(chunk));
    const prefix = createHash("sha256").update(CONTENT.bytes.subarray(0, end)).digest("hex");
    assert.equal(list.prefixOf(index), prefix);
    assert.equal(list.matches(index, chunk), true);
    assert.equal(list.matches(index, chunk.subarray(1)), false);
  }
  assert.equal(list.prefixOf(2), CONTENT.digest.slice("sha256:".length));
});

Deno.test("ChunkListBuilder makes the same list whatever pieces the bytes come in", () => {
  const whole = listOf(CONTENT.bytes, CONTENT.digest);
  for (const piece of [1000, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1]) {
    const { list } = build(CONTENT.bytes, CONTENT.digest, piece);
    assert.ok(list?.equals(whole), String(piece));
  }
});

Deno.test("ChunkListBuilder uses the digest's own algorithm", () => {
  const hex = createHash("sha512").update(CONTENT.bytes).digest("hex");
  const digest = parseDigest(`sha512:${hex}`);
  const list = listOf(CONTENT.bytes, digest);
  assert.equal(list.count, 3);
  assert.equal(list.prefixOf(2), hex);
  assert.equal(list.equals(listOf(CONTENT.bytes, CONTENT.digest)), false);
  assert.ok(ChunkList.parse(list.bytes, digest, CONTENT.bytes.length)?.equals(list));
});

for (
  const [size, count] of [[1, 1], [CHUNK_SIZE, 1], [CHUNK_SIZE + 1, 2], [
    2 * CHUNK_SIZE,
    2,
  ]] as const
) {
  Deno.test(`ChunkListBuilder lists ${count} chunks for ${size} bytes`, () => {
    const { bytes, digest } = makeContent(size);
    assert.equal(listOf(bytes, digest).count, count);
  });
}

Deno.test("ChunkListBuilder has no list of empty content, which is right all the same", () => {
  const { matches, list } = build(new Uint8Array(0), sha256Digest(new Uint8Array(0)));
  assert.equal(matches, true);
  assert.equal(list, undefined);
});

Deno.test("ChunkListBuilder has no list of content that does not match its digest", () => {
  const other = makeContent(10, 2).digest;
  assert.deepEqual(build(CONTENT.bytes, other), { matches: false, list: undefined });
  assert.deepEqual(build(CONTENT.bytes.subarray(1), CONTENT.digest), {
    matches: false,
    list: undefined,
  });
});

Deno.test("ChunkList.parse() reads what was encoded", () => {
  const list = listOf(CONTENT.bytes, CONTENT.digest);
  // Not at the beginning of its memory, as a part of a larger buffer.
  const buffer = new Uint8Array(list.bytes.length + 3);
  buffer.set(list.bytes, 3);
  const read = ChunkList.parse(buffer.subarray(3), CONTENT.digest, CONTENT.bytes.length);
  assert.ok(read !== undefined && read.equals(list));
  assert.equal(read.crcOf(1), list.crcOf(1));
  assert.equal(read.prefixOf(1), list.prefixOf(1));
});

Deno.test("ChunkList.parse() refuses what cannot be the list of the content", () => {
  const { bytes } = listOf(CONTENT.bytes, CONTENT.digest);
  const size = CONTENT.bytes.length;
  const wrongEnd = new Uint8Array(bytes);
  wrongEnd[wrongEnd.length - 1]! ^= 1;
  const cases: readonly (readonly [string, Uint8Array, Digest, number])[] = [
    ["too short", bytes.subarray(0, -1), CONTENT.digest, size],
    ["too long", new Uint8Array([...bytes, 0]), CONTENT.digest, size],
    ["a chunk too few", bytes.subarray(0, bytes.length / 3 * 2), CONTENT.digest, size],
    ["for another size", bytes, CONTENT.digest, size + CHUNK_SIZE],
    ["for another digest", bytes, makeContent(5).digest, size],
    ["with another digest at its end", wrongEnd, CONTENT.digest, size],
    ["for nothing", new Uint8Array(0), CONTENT.digest, 0],
    ["empty", new Uint8Array(0), CONTENT.digest, size],
  ];
  for (const [what, list, digest, length] of cases) {
    assert.equal(ChunkList.parse(list, digest, length), undefined, what);
  }
});

Deno.test("ChunkList.equals() notices a difference of one bit", () => {
  const list = listOf(CONTENT.bytes, CONTENT.digest);
  const changed = new Uint8Array(list.bytes);
  changed[0]! ^= 1;
  const other = ChunkList.parse(changed, CONTENT.digest, CONTENT.bytes.length);
  assert.ok(other !== undefined, "which only the content itself could show");
  assert.equal(other.equals(list), false);
  assert.equal(list.equals(other), false);
});
