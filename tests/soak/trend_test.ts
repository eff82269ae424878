import assert from "node:assert/strict";
import { Random } from "../fuzz/support/random.ts";
import { risesTooMuch, trendOf } from "./trend.ts";

/** Noise between 0 and 10, the same in every run. */
function noise(seed: number, count: number): number[] {
  const random = new Random("trend", seed);
  return Array.from({ length: count }, () => random.below(10_001) / 1000);
}

Deno.test("trendOf() tells the rise of a line exactly, and that it is certain", () => {
  const { rise, certainty } = trendOf(Array.from({ length: 60 }, (_, index) => 100 + index / 2));
  assert.equal(rise, 29.5);
  assert(certainty > 10);
  const falling = trendOf([5, 4, 3, 2, 1]);
  assert.equal(falling.rise, -4);
  assert(falling.certainty < -2);
});

Deno.test("trendOf() of next to nothing, and of what stays the same, is none", () => {
  for (const values of [[], [7], [7, 7, 7, 7, 7, 7]]) {
    assert.deepEqual(trendOf(values), { rise: 0, certainty: 0 });
  }
});

Deno.test("trendOf() finds a leak below noise, and is not swayed by outliers", () => {
  const leaking = noise(1, 120).map((value, index) => value + index / 10);
  const trend = trendOf(leaking);
  assert(Math.abs(trend.rise - 12) < 3, String(trend.rise));
  assert(risesTooMuch(trend, 5));
  const flat = noise(2, 120);
  for (const index of [117, 118, 119]) flat[index] = 10_000;
  assert(Math.abs(trendOf(flat).rise) < 2);
  assert(!risesTooMuch(trendOf(flat), 5));
});

Deno.test("trendOf() takes next to none of many series of noise for a certain rise", () => {
  const rising = Array.from({ length: 300 }, (_, seed) => trendOf(noise(seed, 60)))
    .filter((trend) => risesTooMuch(trend, 0));
  assert(rising.length <= 6, String(rising.length));
});

Deno.test("a rise that may be, or that may be chance, is not too much", () => {
  assert(!risesTooMuch({ rise: 5, certainty: 9 }, 5));
  assert(!risesTooMuch({ rise: 50, certainty: 2 }, 5));
  assert(!risesTooMuch({ rise: -50, certainty: -9 }, 5));
  assert(risesTooMuch({ rise: 6, certainty: 3 }, 5));
});
