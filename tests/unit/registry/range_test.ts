import assert from "node:assert/strict";
import { RangeNotSatisfiableError } from "../../../lib/errors.ts";
import { canonicalRange, parseRange } from "../../../lib/registry/range.ts";

const SATISFIABLE: readonly (readonly [string, number, number, number])[] = [
  // Header, size, first and last byte.
  ["bytes=0-0", 10, 0, 0],
  ["bytes=0-9", 10, 0, 9],
  ["bytes=2-5", 10, 2, 5],
  ["bytes=2-", 10, 2, 9],
  ["bytes=9-", 10, 9, 9],
  ["bytes=2-99999999999999999999999", 10, 2, 9],
  ["bytes=-1", 10, 9, 9],
  ["bytes=-10", 10, 0, 9],
  ["bytes=-11", 10, 0, 9],
  ["bytes=-99999999999999999999999", 10, 0, 9],
  ["bytes=007-008", 10, 7, 8],
  ["Bytes=2-5", 10, 2, 5],
  ["bytes= 2-5\t", 10, 2, 5],
];
for (const [header, size, start, end] of SATISFIABLE) {
  Deno.test(`parseRange() takes ${JSON.stringify(header)} of ${size} bytes for ${start} to ${end}`, () => {
    assert.deepEqual(parseRange(header, size), { start, end });
  });
}

for (
  const [header, size] of [
    ["bytes=10-", 10],
    ["bytes=10-20", 10],
    ["bytes=99999999999999999999999-", 10],
    ["bytes=-0", 10],
    ["bytes=0-", 0],
    ["bytes=0-0", 0],
    ["bytes=-5", 0],
  ] as const
) {
  Deno.test(`parseRange() finds ${header} outside of ${size} bytes`, () => {
    assert.throws(
      () => parseRange(header, size),
      (error: unknown) => error instanceof RangeNotSatisfiableError && error.size === size,
    );
  });
}

const IGNORED: readonly (string | undefined)[] = [
  undefined,
  "",
  "bytes",
  "bytes=",
  "bytes=-",
  "bytes=5",
  "bytes=5-2",
  "bytes=a-b",
  "bytes=0x1-5",
  "bytes=1.5-5",
  "bytes=+1-5",
  "bytes=--5",
  "bytes=1-5-",
  "bytes=1 -5",
  "bytes=1- 5",
  "bytes =1-5",
  "bytes=0-1,3-4",
  "bytes=0-1,",
  "items=0-5",
  "bytes=0-5\r\n",
  "bytes=٠-٥",
];
for (const header of IGNORED) {
  Deno.test(`parseRange() and canonicalRange() ignore ${JSON.stringify(header)}`, () => {
    assert.equal(parseRange(header, 10), undefined);
    assert.equal(canonicalRange(header), undefined);
  });
}

Deno.test("canonicalRange() writes what a peer understands", () => {
  assert.equal(canonicalRange("BYTES= 002-0005 "), "bytes=2-5");
  assert.equal(canonicalRange("bytes=7-"), "bytes=7-");
  assert.equal(canonicalRange("bytes=-100"), "bytes=-100");
  assert.equal(canonicalRange("bytes=-0"), "bytes=-0");
});

Deno.test("canonicalRange() passes on no number that it cannot hold exactly", () => {
  assert.equal(canonicalRange("bytes=0-99999999999999999999999"), undefined);
  assert.equal(canonicalRange("bytes=-99999999999999999999999"), undefined);
  assert.equal(canonicalRange(`bytes=${Number.MAX_SAFE_INTEGER}-`), "bytes=9007199254740991-");
});
