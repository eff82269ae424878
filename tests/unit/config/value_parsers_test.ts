import assert from "node:assert/strict";
import {
  boolean,
  duration,
  endpoint,
  privateRegistry,
  repositoryName,
} from "../../../lib/config/value_parsers.ts";

Deno.test("duration reads Go's durations in milliseconds", () => {
  const expected: [string, number | undefined][] = [
    ["20ms", 20],
    ["1m30s", 90_000],
    ["1.5h", 5_400_000],
    ["500us", 0.5],
    ["500µs", 0.5],
    ["500\u03bcs", 0.5],
    ["+.5s", 500],
    ["1.s", 1000],
    ["1h0m0.25s", 3_600_250],
    ["0", 0],
    ["20", undefined],
    ["", undefined],
    ["s", undefined],
    ["1d", undefined],
    ["1s ", undefined],
    [".s", undefined],
    ["1..5s", undefined],
    ["+", undefined],
    ["-1s", undefined],
  ];
  for (const [text, wanted] of expected) assert.equal(duration.parse(text), wanted, text);
});

Deno.test("duration ends where timers do, and refuses long nonsense at once", () => {
  for (const text of ["1000h", `${"9".repeat(400)}h`]) {
    assert.equal(duration.parse(text), 2 ** 31 - 1);
  }
  assert.equal(duration.parse("1".repeat(100_000)), undefined);
});

Deno.test("repositoryName is one of a registry", () => {
  for (const text of ["docker.io/library/nginx", "[fd00::1]:5000/a", "localhost:5000/a__b"]) {
    assert.equal(repositoryName.parse(text), text);
  }
  for (const text of ["nginx", "/nginx", "docker.io/", "dock\to/a", "docker.io/a//b", "a.b/C"]) {
    assert.equal(repositoryName.parse(text), undefined, text);
  }
});

Deno.test("privateRegistry is a registry, or the beginning of its repositories' names", () => {
  const [host, url] = ["ghcr.io", "https://ghcr.io"];
  const expected: [string, ReturnType<typeof privateRegistry.parse>][] = [
    ["ghcr.io", { host, url }],
    ["https://ghcr.io/", { host, url }],
    ["ghcr.io/team", { host, url, prefix: "team" }],
    ["ghcr.io/team/app/", { host, url, prefix: "team/app" }],
    ["http://a.test:5000/team", {
      host: "a.test:5000",
      url: "http://a.test:5000",
      prefix: "team",
    }],
    ["", undefined],
    ["ghcr.io//team", undefined],
    ["ghcr.io/Team", undefined],
    ["ftp://ghcr.io", undefined],
    ["ghcr.io/team?x", undefined],
  ];
  for (const [text, wanted] of expected) {
    assert.deepEqual(privateRegistry.parse(text), wanted, text);
  }
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
