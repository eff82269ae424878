import assert from "node:assert/strict";
import { isSameSource, PrivateRegistries } from "../../../lib/access/private_registries.ts";

const REGISTRIES = new PrivateRegistries([
  { host: "ghcr.io", prefix: "team", url: "https://ghcr.io" },
  { host: "Registry.Test:5000", url: "http://registry.test:5000" },
]);

function source(text: string) {
  const slash = text.indexOf("/");
  return { registry: text.slice(0, slash), repository: text.slice(slash + 1) };
}

Deno.test("PrivateRegistries covers a registry, or what begins with certain parts of a name", () => {
  const cases = [
    ["ghcr.io/team", true],
    ["ghcr.io/team/app", true],
    ["GHCR.io/team/app", true],
    ["ghcr.io/teamwork/app", false],
    ["ghcr.io/other/team", false],
    ["ghcr.io:444/team/app", false],
    ["registry.test:5000/any", true],
    ["registry.test/any", false],
    ["docker.io/team/app", false],
  ] as const;
  for (const [text, isCovered] of cases) {
    assert.equal(REGISTRIES.covers(source(text)), isCovered, text);
  }
});

Deno.test("PrivateRegistries takes a source without port for private if it may be", () => {
  assert.equal(REGISTRIES.mayCover(source("registry.test/any")), true);
  assert.equal(REGISTRIES.mayCover(source("registry.test:5001/any")), false);
  assert.equal(REGISTRIES.mayCover(source("other.test/any")), false);
});

Deno.test("PrivateRegistries tells where a registry is", () => {
  assert.equal(REGISTRIES.urlOf("registry.test:5000"), "http://registry.test:5000");
  assert.equal(REGISTRIES.urlOf("docker.io"), undefined);
});

Deno.test("isSameSource() bears with a missing port, and with nothing else", () => {
  const one = source("registry.test:5000/team/app");
  assert.equal(isSameSource(one, source("registry.test/team/app")), true);
  assert.equal(isSameSource(one, source("registry.test:5001/team/app")), false);
  assert.equal(isSameSource(one, source("registry.test:5000/team/other")), false);
});
