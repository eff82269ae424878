/**
 * Conformance of a registry over an OCI layout, written by the tests themselves and by skopeo.
 *
 * @module
 */
import { testConformance } from "./suite.ts";
import { createLayout, createSkopeoLayout, hasSkopeo } from "./support/layouts.ts";

testConformance("A layout", createLayout);

testConformance("A layout written by skopeo", createSkopeoLayout, {
  ignore: !await hasSkopeo(),
  omits: ["docker", "names", "sha512"], // skopeo takes none of them from a layout.
});
