import assert from "node:assert/strict";
import {
  ALLOWED_LICENCES,
  embeddedPackages,
  isAllowed,
  licenceOf,
} from "../../../tools/licences.ts";
import { makeSbom } from "../../../tools/sbom.ts";

Deno.test("isAllowed() needs one licence of a choice, and all that hold together", () => {
  for (const licence of ["MIT", "(MIT OR GPL-3.0-only)", "Apache-2.0 OR MIT", "MIT AND ISC"]) {
    assert(isAllowed(licence), licence);
  }
  const refused = ["", "GPL-3.0-only", "MIT AND GPL-3.0-only", "UNLICENSED", "SEE LICENSE IN x"];
  for (const licence of refused) assert(!isAllowed(licence), licence);
});

Deno.test("licenceOf() reads all forms of package.json, and nothing else", () => {
  assert.equal(licenceOf({ license: "MIT" }), "MIT");
  assert.equal(licenceOf({ license: { type: "ISC", url: "x" } }), "ISC");
  assert.equal(licenceOf({ licenses: [{ type: "BSD-3-Clause" }] }), "BSD-3-Clause");
  for (const other of [null, "MIT", {}, { license: 5 }, { licenses: [] }]) {
    assert.equal(licenceOf(other), "");
  }
});

Deno.test("every package of the bill of materials is in the list of licences, with one that is allowed", async () => {
  const packages = await embeddedPackages();
  const listed = new Set(packages.map(({ name, version }) => `${name}@${version}`));
  const { components } = await makeSbom();
  const libraries = components.filter(({ type }) => type === "library");
  assert(libraries.length > 50);
  for (const { name, version } of libraries) assert(listed.has(`${name}@${version}`), name);
  for (const { name, licence } of packages) assert(isAllowed(licence), name);
  assert(!ALLOWED_LICENCES.has("GPL-3.0-only"));
});
