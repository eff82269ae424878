import assert from "node:assert/strict";
import { sparkline } from "./chart.ts";

Deno.test("sparkline() draws from nothing to the greatest value", () => {
  assert.equal(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 20), "▁▂▃▄▅▆▇█");
  assert.equal(sparkline([100, 100, 50], 20), "███".slice(0, 2) + "▅");
});

Deno.test("sparkline() puts together what does not fit, and draws nothing of nothing", () => {
  assert.equal(sparkline([1, 1, 1, 9, 9, 9], 2), "▂█");
  assert.equal(sparkline([], 5), "");
  assert.equal(sparkline([0, 0], 5), "▁▁");
});
