import assert from "node:assert/strict";
import { Series } from "./series.ts";

function seriesOf(values: readonly number[]): Series {
  const series = new Series("memory", "MiB", { share: 0.1, least: 5 });
  series.values.push(...values);
  return series;
}

Deno.test("a series is judged by what comes after its warm-up", () => {
  const warming = Array.from({ length: 20 }, (_, index) => 10 * index);
  const flat = Array.from({ length: 40 }, (_, index) => 200 + index % 3);
  const series = seriesOf([...warming, ...flat]);
  assert.equal(series.judge(20).rises, false);
  assert.equal(series.judge(0).rises, true);
});

Deno.test("a series may rise by a share of its median, and by a little whatever that is", () => {
  const risingBy = (rise: number, from: number) =>
    seriesOf(Array.from({ length: 50 }, (_, index) => from + rise * index / 49)).judge(0);
  assert.equal(risingBy(9, 100).rises, false);
  assert.equal(risingBy(12, 100).rises, true);
  assert.equal(risingBy(4, 1).rises, false);
  assert.equal(risingBy(6, 1).rises, true);
});

Deno.test("the line of a series names it, its rise and the verdict", () => {
  const { line } = seriesOf(Array.from({ length: 10 }, (_, index) => 100 + 10 * index)).judge(0);
  assert.match(line, /^memory +[▁-█]{10} {2}145 MiB, \+90 \(allowed 14\.5\): RISES$/);
});

Deno.test("a series without values is flat", () => {
  assert.equal(seriesOf([]).judge(0).rises, false);
});
