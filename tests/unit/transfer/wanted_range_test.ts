import assert from "node:assert/strict";
import { PeerError, RangeNotSatisfiableError } from "../../../lib/errors.ts";
import { CHUNK_SIZE } from "../../../lib/oci/chunk_list.ts";
import { narrowed, widened } from "../../../lib/transfer/wanted_range.ts";

const C = CHUNK_SIZE;

const WIDENED: readonly [string | undefined, string | undefined][] = [
  [undefined, undefined],
  ["bytes=0-", "bytes=0-"],
  ["bytes=1-", "bytes=0-"],
  [`bytes=${C}-`, `bytes=${C}-`],
  [`bytes=${3 * C - 1}-`, `bytes=${2 * C}-`],
  ["bytes=0-0", `bytes=0-${C - 1}`],
  [`bytes=0-${C - 1}`, `bytes=0-${C - 1}`],
  [`bytes=0-${C}`, `bytes=0-${2 * C - 1}`],
  [`bytes=${C - 1}-${C}`, `bytes=0-${2 * C - 1}`],
  [`bytes=${5 * C + 7}-${6 * C - 7}`, `bytes=${5 * C}-${6 * C - 1}`],
  // Where a suffix lies nobody knows yet.
  ["bytes=-1", "bytes=-1"],
  [`bytes=-${C}`, `bytes=-${C}`],
  // The largest place that is taken from a client is the end of a chunk.
  [`bytes=5-${Number.MAX_SAFE_INTEGER}`, `bytes=0-${Number.MAX_SAFE_INTEGER}`],
];
Deno.test("widened() asks for whole chunks", () => {
  for (const [range, wide] of WIDENED) assert.equal(widened(range), wide, `range ${range}`);
});

Deno.test("narrowed() finds what the client wants in what was asked for", () => {
  const size = 3 * C + 5;
  for (const range of [undefined, "bytes=0-", "bytes=-99999999"]) {
    const answer = { start: 0, end: size - 1, size };
    assert.deepEqual(narrowed(range, answer), { start: 0, end: size - 1 });
  }
  const cases: [string, number, number, number, number][] = [
    ["bytes=5-9", 0, C - 1, 5, 9],
    [`bytes=${C - 1}-${C}`, 0, 2 * C - 1, C - 1, C],
    [`bytes=${3 * C + 1}-`, 3 * C, size - 1, 3 * C + 1, size - 1],
    [`bytes=10-${size + 10}`, 0, size - 1, 10, size - 1],
    ["bytes=-2", size - 2, size - 1, size - 2, size - 1],
  ];
  for (const [range, from, to, start, end] of cases) {
    assert.deepEqual(narrowed(range, { start: from, end: to, size }), { start, end }, range);
  }
});

Deno.test("narrowed() takes nothing of empty content", () => {
  assert.deepEqual(narrowed(undefined, { start: 0, end: -1, size: 0 }), { start: 0, end: -1 });
  assert.throws(
    () => narrowed("bytes=0-", { start: 0, end: -1, size: 0 }),
    (error) => error instanceof RangeNotSatisfiableError && error.size === 0,
  );
});

Deno.test("narrowed() notices that the widened range has a byte, and the client's none", () => {
  for (const range of ["bytes=100-", "bytes=100-200", "bytes=999-"]) {
    assert.throws(
      () => narrowed(range, { start: 0, end: 99, size: 100 }),
      (error) => error instanceof RangeNotSatisfiableError && error.size === 100,
    );
  }
});

Deno.test("narrowed() refuses an answer that lacks what is wanted", () => {
  const size = 3 * C;
  const wanted = `bytes=${C}-${2 * C}`;
  for (const [start, end] of [[C + 1, size - 1], [0, 2 * C - 1]] as const) {
    assert.throws(() => narrowed(wanted, { start, end, size }), PeerError);
  }
});
