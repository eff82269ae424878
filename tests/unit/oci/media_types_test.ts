import assert from "node:assert/strict";
import {
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  isIndexMediaType,
  isManifestMediaType,
  MANIFEST_MEDIA_TYPES,
  OCI_INDEX,
  OCI_MANIFEST,
  OCTET_STREAM,
} from "../../../lib/oci/media_types.ts";

Deno.test("isIndexMediaType() tells indexes from manifests and blobs", () => {
  assert.deepEqual(
    [OCI_INDEX, DOCKER_MANIFEST_LIST, OCI_MANIFEST, DOCKER_MANIFEST, OCTET_STREAM, ""]
      .map(isIndexMediaType),
    [true, true, false, false, false, false],
  );
});

Deno.test("isManifestMediaType() is true for whatever clients are told to accept, and nothing else", () => {
  assert.equal(MANIFEST_MEDIA_TYPES.length, 4);
  assert.ok(MANIFEST_MEDIA_TYPES.every(isManifestMediaType));
  for (
    const other of [OCTET_STREAM, "", `${OCI_INDEX}; charset=utf-8`, OCI_MANIFEST.toUpperCase()]
  ) {
    assert.equal(isManifestMediaType(other), false, other);
  }
});
