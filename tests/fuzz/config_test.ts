/**
 * Fuzzing of what operators write: values, expressions and hosts.toml.
 *
 * @module
 */
import assert from "node:assert/strict";
import { parse } from "smol-toml";
import { compileFilters } from "../../lib/config/go_regexp.ts";
import * as parsers from "../../lib/config/value_parsers.ts";
import { ConfigError } from "../../lib/errors.ts";
import { prependHostsFile } from "../../lib/hosts/hosts_file.ts";
import { isRegistry } from "../../lib/oci/reference.ts";
import { accepted } from "./support/accepted.ts";
import { fuzz } from "./support/fuzz.ts";

fuzz({
  name: "a value is not allowed, or one that can be used",
  seeds: [
    "1m30s",
    "20ms",
    "0",
    "+1.5h",
    "100M",
    "1.5Gi",
    ":5000",
    "[::1]:5000",
    "127.0.0.1:5000",
    "http://fd00::1:5000",
    "https://ghcr.io",
    "docker.io/library/nginx",
    "http://bootstrap:5002",
    "true",
    "DEBUG",
  ],
  check(input) {
    for (const parser of [parsers.duration, parsers.byteRate, parsers.integer(0)]) {
      const value = parser.parse(input);
      assert.ok(value === undefined || (Number.isFinite(value) && value >= 0), `${value}`);
    }
    for (const { parse } of [parsers.listenAddress, parsers.endpoint]) {
      const address = parse(input);
      assert.ok(address === undefined || (address.port >= 0 && address.port <= 65_535));
    }
    parsers.optionalListenAddress.parse(input);
    parsers.boolean.parse(input);
    parsers.logLevel.parse(input);
    const repository = parsers.repositoryName.parse(input);
    assert.ok(repository === undefined || !/\s/.test(repository));
    const url = parsers.httpUrl.parse(input);
    assert.ok(url === undefined || URL.canParse(url));
    const registry = parsers.mirroredRegistry.parse(input);
    assert.ok(registry?.url === undefined || isRegistry(registry.host));
    const target = parsers.mirrorTarget.parse(input);
    assert.ok(target === undefined || !target.includes("'"), "it stands between quotes in TOML");
  },
});

const SUBJECTS = ["", "docker.io/a:b", "ghcr.io/x", "\n", "A\u0130"];

fuzz({
  name: "an expression is none of Go, or one that matches or not",
  seeds: [
    "^docker\\.io/library/.*:latest$",
    "(?i)nginx|(?-i:Apache)",
    "[[:alpha:]]+[^[:digit:]\\]]\\z",
    "\\Q.*\\E\\x{41}\\A(?P<name>a{1,3}?)",
    "(?U)a+?(?s:.)",
  ],
  async check(input) {
    const [expression] = await compileFilters([input]).catch((error) => {
      assert(error instanceof ConfigError);
      return [];
    });
    for (const subject of SUBJECTS) {
      assert.equal(typeof (expression?.test(subject) ?? false), "boolean");
    }
  },
});

const MIRRORS = ["http://127.0.0.1:5000", "http://127.0.0.1:5001"];

fuzz({
  name: "an existing hosts.toml is refused by its error, or kept behind the mirrors",
  seeds: [
    'server = "https://docker.io"\n[host."https://mirror.example"]\ncapabilities = ["pull"]\n',
    "[host.'http://127.0.0.1:5000']\nskip_verify = true\n[host.'http://a'.header]\nx = ['y']\n",
    "ca = '/etc/ca.pem'\nclient = [['a', 'b']]\n[host]\n",
    "host = 1\nserver = 1979-05-27T07:32:00Z\nx = { y = inf, z = nan, n = 9223372036854775807 }\n",
    'a.b.c = """\nmany\nlines"""\n[[list]]\n[[list.list]]\n',
  ],
  check(input) {
    const existing = input.toWellFormed(); // As it is read from a file.
    const text = accepted(
      () =>
        prependHostsFile({
          registryUrl: "https://docker.io",
          mirrorTargets: MIRRORS,
          resolveTags: true,
        }, { path: "hosts.toml", text: existing, files: [] }),
      ConfigError,
    );
    if (text === undefined) return;
    const [before, after] = [parse(existing), parse(text)];
    const hosts = Object.keys(after["host"] as object);
    assert.deepEqual(hosts.slice(0, 2), MIRRORS);
    const { host } = before;
    // What is no table means nothing to containerd.
    const own = typeof host === "object" && !Array.isArray(host) ? Object.keys(host) : [];
    assert.deepEqual(hosts.slice(2), own.filter((url) => !MIRRORS.includes(url)));
    for (const key of Object.keys(before)) assert.ok(key in after, key);
    assert.deepEqual(after["server"], before["server"] ?? "https://registry-1.docker.io");
  },
});
