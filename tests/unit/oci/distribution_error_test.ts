import assert from "node:assert/strict";
import { KagamiError } from "../../../lib/errors.ts";
import {
  DISTRIBUTION_ERROR_STATUS,
  DistributionError,
  type DistributionErrorCode,
} from "../../../lib/oci/distribution_error.ts";

Deno.test("DistributionError has the usual status of its code", () => {
  for (const [code, status] of Object.entries(DISTRIBUTION_ERROR_STATUS)) {
    const error = new DistributionError(code as DistributionErrorCode, "text");
    assert.equal(error.status, status);
    assert.equal(error.code, `ERR_DISTRIBUTION_${code}`);
    assert.ok(error instanceof KagamiError);
  }
});

Deno.test("DistributionError.body() is the specification's JSON", () => {
  const error = new DistributionError("BLOB_UNKNOWN", 'no "such" blob', { detail: { key: "x" } });
  assert.deepEqual(JSON.parse(error.body()), {
    errors: [{ code: "BLOB_UNKNOWN", message: 'no "such" blob', detail: { key: "x" } }],
  });
});

Deno.test("DistributionError.body() leaves out a detail that there is not", () => {
  const [shown] = JSON.parse(new DistributionError("DENIED", "text").body()).errors;
  assert.deepEqual(shown, { code: "DENIED", message: "text" });
});

Deno.test("DistributionError takes another status and keeps its cause to itself", () => {
  const cause = new Error("secret path");
  const error = new DistributionError("UNSUPPORTED", "text", { status: 416, cause });
  assert.equal(error.status, 416);
  assert.equal(error.cause, cause);
  assert.doesNotMatch(error.body(), /secret/);
});
