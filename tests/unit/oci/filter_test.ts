import assert from "node:assert/strict";
import { createFilter, type FilterSubject } from "../../../lib/oci/filter.ts";

const NGINX: FilterSubject = { registry: "docker.io", repository: "library/nginx", tag: "latest" };

Deno.test("createFilter() without options lets everything pass, and says so", () => {
  const filter = createFilter({ mirroredRegistries: [], registryFilters: [] });
  assert.equal(filter.passesAll, true);
  assert.equal(filter.allows(NGINX), true);
});

Deno.test("createFilter() mirrors the registries that are named and no others", () => {
  const filter = createFilter({
    mirroredRegistries: ["docker.io", "ghcr.io"],
    registryFilters: [],
  });
  assert.equal(filter.passesAll, false);
  assert.equal(filter.allows(NGINX), true);
  assert.equal(filter.allows({ ...NGINX, registry: "quay.io" }), false);
  assert.equal(filter.allows({ ...NGINX, registry: "docker.io.evil.example" }), false);
});

Deno.test("createFilter() tells ports apart, but not where a source has lost its port", () => {
  const filter = createFilter({ mirroredRegistries: ["reg.test:5000"], registryFilters: [] });
  const allows = (registry: string) => filter.allows({ registry, repository: "app" });
  assert.deepEqual(
    ["reg.test:5000", "reg.test", "reg.test:5001", "other.test"].map(allows),
    [true, true, false, false],
  );
  const portless = createFilter({ mirroredRegistries: ["reg.test"], registryFilters: [] });
  assert.equal(portless.allows({ registry: "reg.test:5000", repository: "app" }), false);
});

Deno.test("createFilter() keeps out what an expression matches, with or without a tag", () => {
  const filter = createFilter({
    mirroredRegistries: [],
    registryFilters: [/:latest$/, /^ghcr\.io\/private\//],
  });
  assert.equal(filter.passesAll, false);
  assert.equal(filter.allows(NGINX), false);
  assert.equal(filter.allows({ ...NGINX, tag: "1.27" }), true);
  assert.equal(filter.allows({ registry: "docker.io", repository: "library/nginx" }), true);
  assert.equal(filter.allows({ registry: "ghcr.io", repository: "private/app" }), false);
  assert.equal(filter.allows({ registry: "ghcr.io", repository: "private/app", tag: "1" }), false);
});

Deno.test("createFilter() tells what keeps something from being mirrored", () => {
  const expression = /:latest$/;
  const filter = createFilter({
    mirroredRegistries: ["docker.io"],
    registryFilters: [/^never$/, expression],
  });
  const subject = { registry: "docker.io", repository: "a/b" };
  assert.equal(filter.refusal(subject), undefined);
  assert.deepEqual(filter.refusal({ ...subject, tag: "latest" }), {
    because: "expression",
    expression,
  });
  assert.deepEqual(filter.refusal({ ...subject, registry: "quay.io" }), { because: "registry" });
});
