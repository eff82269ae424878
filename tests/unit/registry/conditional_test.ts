import assert from "node:assert/strict";
import { parseDigest } from "../../../lib/oci/digest.ts";
import {
  entityTag,
  evaluatePreconditions,
  rangeApplies,
} from "../../../lib/registry/conditional.ts";

const DIGEST = parseDigest(`sha256:${"a".repeat(64)}`);
const TAG = entityTag(DIGEST);
const OTHER = `"sha256:${"b".repeat(64)}"`;

Deno.test("entityTag() is the digest in quotes, which makes it a strong one", () => {
  assert.equal(TAG, `"${DIGEST}"`);
});

Deno.test("evaluatePreconditions() lets a request without conditions proceed", () => {
  assert.equal(evaluatePreconditions({}, DIGEST), "proceed");
});

Deno.test("evaluatePreconditions() finds content not modified, comparing weakly", () => {
  for (const sent of [TAG, `W/${TAG}`, "*", `${OTHER}, ${TAG}`, `${OTHER},W/${TAG}`, ` ${TAG} `]) {
    assert.equal(evaluatePreconditions({ "if-none-match": sent }, DIGEST), "not-modified", sent);
  }
  for (const sent of [OTHER, "", DIGEST, `"${DIGEST}`, TAG.toUpperCase()]) {
    assert.equal(evaluatePreconditions({ "if-none-match": sent }, DIGEST), "proceed", sent);
  }
});

Deno.test("evaluatePreconditions() wants If-Match to name the content, comparing strongly", () => {
  for (const sent of [TAG, "*", `${OTHER}, ${TAG}`]) {
    assert.equal(evaluatePreconditions({ "if-match": sent }, DIGEST), "proceed", sent);
  }
  for (const sent of [OTHER, `W/${TAG}`, "", DIGEST]) {
    assert.equal(evaluatePreconditions({ "if-match": sent }, DIGEST), "failed", sent);
  }
});

Deno.test("evaluatePreconditions() looks at If-Match first", () => {
  assert.equal(
    evaluatePreconditions({ "if-match": OTHER, "if-none-match": TAG }, DIGEST),
    "failed",
  );
});

Deno.test("rangeApplies() only for the very content that If-Range names", () => {
  assert.equal(rangeApplies({}, DIGEST), true);
  assert.equal(rangeApplies({ "if-range": TAG }, DIGEST), true);
  for (const sent of [OTHER, `W/${TAG}`, "*", "", "Tue, 24 Nov 2026 20:48:17 GMT"]) {
    assert.equal(rangeApplies({ "if-range": sent }, DIGEST), false, sent);
  }
});
