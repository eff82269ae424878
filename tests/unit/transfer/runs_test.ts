import assert from "node:assert/strict";
import { RUN_LENGTH, RUN_MS, runLength, Runs } from "../../../lib/transfer/runs.ts";

const MANY = 1000;

Deno.test("runLength() is the most for a peer of which nothing is known, and for a fast one", () => {
  assert.equal(runLength(MANY, 3), RUN_LENGTH);
  assert.equal(runLength(MANY, 3, RUN_MS / RUN_LENGTH), RUN_LENGTH);
});

Deno.test("runLength() is what a slower peer brings in its time, and never nothing", () => {
  assert.equal(runLength(MANY, 3, RUN_MS / (RUN_LENGTH - 1)), RUN_LENGTH - 1);
  assert.equal(runLength(MANY, 3, RUN_MS), 1);
  assert.equal(runLength(MANY, 3, 100 * RUN_MS), 1);
});

Deno.test("runLength() divides the end of a content among all peers", () => {
  const lanes = 3;
  const lengths: number[] = [];
  for (let left = 20; left > 0; left -= lengths.at(-1)!) lengths.push(runLength(left, lanes, 1));
  assert.deepEqual(lengths, [4, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1]);
});

Deno.test("Runs counts the chunks that it has", () => {
  const runs = new Runs();
  assert.equal(runs.length, 0);
  runs.give({ from: 10, to: 14 });
  runs.give({ from: 2, to: 3 });
  assert.equal(runs.length, 5);
  assert.deepEqual(runs.take(({ from }) => from + 2), { from: 2, to: 3 });
  assert.deepEqual(runs.take(({ from }) => from + 3), { from: 10, to: 13 });
  assert.equal(runs.length, 1);
});
