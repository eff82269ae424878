import assert from "node:assert/strict";
import { columnsOf, scaleTop, SPANS } from "../../../../lib/debug/web/chart.js";

const NOTHING = { peers: 0, local: 0, given: 0, upstream: 0 };
const NOW = Date.UTC(2026, 0, 1, 12, 0, 30);

Deno.test("columnsOf() puts each sample into the column of the time before it", () => {
  const at = (text: string) => Date.parse(`2026-01-01T${text}Z`);
  const columns = columnsOf(
    [
      { ...NOTHING, at: at("11:00:30"), peers: 1 }, // More than an hour before the end of the last column.
      { ...NOTHING, at: at("11:59:50"), peers: 10, upstream: 5 },
      { ...NOTHING, at: at("12:00:00"), peers: 20, local: 7 },
      { ...NOTHING, at: at("12:00:10"), peers: 40, given: 3 },
      // The clocks of node and browser differ.
      { ...NOTHING, at: at("12:05:00"), peers: 80 },
    ],
    SPANS.hour,
    NOW,
  );
  assert.equal(columns.length, 60);
  const [before, last] = columns.slice(-2);
  assert.deepEqual(before, {
    from: at("11:59:00"),
    until: at("12:00:00"),
    peers: 30,
    local: 7,
    upstream: 5,
    given: 0,
  });
  assert.deepEqual([last?.peers, last?.given, last?.until], [120, 3, at("12:01:00")]);
  assert.equal(columns.slice(0, -2).reduce((sum, { peers }) => sum + peers, 0), 0);
});

Deno.test("columnsOf() covers a day as well", () => {
  const columns = columnsOf([{ ...NOTHING, at: NOW - 23 * 3_600_000, peers: 1 }], SPANS.day, NOW);
  assert.equal(columns.length, 72);
  assert.equal(columns.findIndex(({ peers }) => peers === 1), 2);
});

Deno.test("scaleTop() is a round number that is large enough", () => {
  const cases = [[0, 4], [3, 4], [100, 100], [101, 200], [10_748_908, 20_000_000], [
    7.9e9,
    8e9,
  ]] as const;
  for (const [most, top] of cases) assert.equal(scaleTop(most), top, String(most));
});
