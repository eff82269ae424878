import assert from "node:assert/strict";
import {
  closest,
  commonPrefixLength,
  compareDistance,
  isAmongClosest,
} from "../../../../lib/routing/libp2p/keyspace.ts";

function place(...first: number[]): Uint8Array {
  const bytes = new Uint8Array(32);
  bytes.set(first);
  return bytes;
}

Deno.test("compareDistance() orders by XOR distance, not by difference", () => {
  const target = place(0b0111);
  // 0111 ^ 1000 = 1111, 0111 ^ 0001 = 0110.
  assert(compareDistance(target, place(0b1000), place(0b0001)) > 0);
  assert(compareDistance(target, place(0b0001), place(0b1000)) < 0);
  assert.equal(compareDistance(target, place(3), place(3)), 0);
});

Deno.test("compareDistance() looks at later bytes where the first are the same", () => {
  const last = place();
  last[31] = 1;
  assert(compareDistance(place(), place(), last) < 0);
  assert(compareDistance(last, place(), last) > 0);
});

Deno.test("closest() yields the nearest places, nearest first, and leaves its input alone", () => {
  const places = [9, 1, 4, 0, 8].map((byte) => ({ id: `${byte}`, position: place(byte) }));
  const ids = (count: number) => closest(place(0), places, count).map(({ id }) => id);
  assert.deepEqual(ids(3), ["0", "1", "4"]);
  assert.deepEqual(ids(99), ["0", "1", "4", "8", "9"]);
  assert.deepEqual(places.map(({ id }) => id), ["9", "1", "4", "0", "8"]);
});

Deno.test("commonPrefixLength() counts the leading bits in common", () => {
  assert.equal(commonPrefixLength(place(0x80), place(0)), 0);
  assert.equal(commonPrefixLength(place(1), place(0)), 7);
  assert.equal(commonPrefixLength(place(0xff, 0x10), place(0xff)), 11);
  assert.equal(commonPrefixLength(place(5), place(5)), 256);
});

Deno.test("isAmongClosest() agrees with closest()", () => {
  const places = Array.from({ length: 50 }, (_, index) => ({
    id: `${index}`,
    position: place((index * 37) % 256),
  }));
  for (const target of [place(0), place(0x55), place(0xff)]) {
    for (const { id, position } of places) {
      assert.equal(
        isAmongClosest(target, position, places, 20),
        closest(target, places, 20).some((other) => other.id === id),
      );
    }
  }
});
