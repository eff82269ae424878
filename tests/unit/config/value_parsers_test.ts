import assert from "node:assert/strict";
import { boolean, duration, endpoint, goRegExp } from "../../../lib/config/value_parsers.ts";

Deno.test("duration reads Go's durations in milliseconds", () => {
  const expected: [string, number | undefined][] = [
    ["20ms", 20],
    ["1m30s", 90_000],
    ["1.5h", 5_400_000],
    ["500us", 0.5],
    ["500µs", 0.5],
    ["0", 0],
    ["20", undefined],
    ["", undefined],
    ["s", undefined],
    ["1d", undefined],
    ["1s ", undefined],
  ];
  for (const [text, wanted] of expected) assert.equal(duration.parse(text), wanted, text);
});

Deno.test("boolean reads what Go's ParseBool reads", () => {
  for (const text of ["1", "t", "T", "true", "TRUE", "True"]) {
    assert.equal(boolean.parse(text), true);
  }
  for (const text of ["0", "f", "F", "false", "FALSE"]) assert.equal(boolean.parse(text), false);
  for (const text of ["", "yes", "on", "2"]) assert.equal(boolean.parse(text), undefined);
});

Deno.test("endpoint needs a host and a port", () => {
  assert.deepEqual(endpoint.parse("[fd00::1]:80"), { host: "fd00::1", port: 80 });
  for (const text of [":80", "host", "host:0", "host:99999"]) {
    assert.equal(endpoint.parse(text), undefined, text);
  }
});

/** Pattern, a text that it matches, one that it does not. */
const GO_PATTERNS: [string, string, string][] = [
  ["(?i)^DOCKER\\.io/", "docker.io/library/nginx", "dockerxio/library/nginx"],
  ["(?is)a.b", "A\nB", "ab"],
  ["(?m)^b$", "a\nb", "ab"],
  ["(?m)\\Ab", "b\na", "a\nb"],
  ["(?m)a\\z", "b\na", "a\nb"],
  ["(?P<tag>:latest)\\z", "x:latest", "x:latest-1"],
  ["[:@]dev", "x:dev", "x/dev"],
  ["a\\\\Ab", "a\\Ab", "ab"],
  ["(?:a|b)+$", "aab", "c"],
];

for (const [pattern, matching, other] of GO_PATTERNS) {
  Deno.test(`goRegExp reads ${pattern} as Go does`, () => {
    const expression = goRegExp.parse(pattern);
    assert.ok(expression);
    assert.equal(expression.test(matching), true);
    assert.equal(expression.test(other), false);
    assert.equal(expression.test(matching), true, "keeps no state between calls");
  });
}
