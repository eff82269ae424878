import assert from "node:assert/strict";
import {
  formatAgo,
  formatBytes,
  formatMilliseconds,
  formatPercent,
  formatRate,
  formatSeconds,
  shortDigest,
} from "../../../../lib/debug/web/format.js";

Deno.test("formatBytes() chooses the unit", () => {
  const cases = [[0, "0 B"], [999, "999 B"], [1000, "1.0 kB"], [999_950, "1.0 MB"], [
    28.14e6,
    "28.1 MB",
  ], [5e15, "5.0 PB"]] as const;
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text);
  assert.equal(formatRate(1.2e6), "1.2 MB/s");
});

Deno.test("formatMilliseconds() and formatSeconds() show as many digits as mean something", () => {
  const cases = [[0.04, "0.0 ms"], [3.456, "3.5 ms"], [123.4, "123 ms"], [4321, "4.3 s"], [
    65_000,
    "1 min 5 s",
  ]] as const;
  for (const [milliseconds, text] of cases) assert.equal(formatMilliseconds(milliseconds), text);
  assert.equal(formatSeconds(3_600 * 27 + 60), "1 d 3 h");
});

Deno.test("formatAgo() tells how long ago", () => {
  const cases = [[300, "now"], [2500, "2 s ago"], [59_000, "59 s ago"], [
    61_000,
    "1 min 1 s ago",
  ]] as const;
  for (const [milliseconds, text] of cases) assert.equal(formatAgo(milliseconds), text);
});

Deno.test("formatPercent() says neither all nor nothing where it is not", () => {
  const cases = [[0, 0, "–"], [0, 5, "0 %"], [5, 5, "100 %"], [9999, 10_000, "99 %"], [
    1,
    10_000,
    "1 %",
  ], [1, 3, "33 %"]] as const;
  for (const [part, whole, text] of cases) assert.equal(formatPercent(part, whole), text);
});

Deno.test("shortDigest() leaves other texts alone", () => {
  assert.equal(shortDigest(`sha256:${"ab".repeat(32)}`), "sha256:abababababab…");
  assert.equal(shortDigest("docker.io/library/nginx:1"), "docker.io/library/nginx:1");
});
