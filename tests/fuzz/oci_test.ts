/**
 * Fuzzing of what names content and describes it.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  InvalidDigestError,
  InvalidReferenceError,
  RangeNotSatisfiableError,
} from "../../lib/errors.ts";
import { ChunkList, ChunkListBuilder } from "../../lib/oci/chunk_list.ts";
import { type Digest, parseDigest, sha256Digest } from "../../lib/oci/digest.ts";
import {
  formatDistributionPath,
  parseDistributionPath,
  parseListPath,
} from "../../lib/oci/distribution.ts";
import { DistributionError } from "../../lib/oci/distribution_error.ts";
import { parseManifest } from "../../lib/oci/manifest.ts";
import { isManifestMediaType } from "../../lib/oci/media_types.ts";
import { formatReference, parseReference, referenceKey } from "../../lib/oci/reference.ts";
import { canonicalRange, parseRange } from "../../lib/registry/range.ts";
import { makeContent, makeManifest } from "../unit/support/content.ts";
import { fuzz } from "./support/fuzz.ts";
import { fromBytes, toBytes } from "./support/mutate.ts";
import { accepted } from "./support/accepted.ts";

const SHA256 = `sha256:${"0123456789abcdef".repeat(4)}`;
const SHA512 = `sha512:${"0123456789abcdef".repeat(8)}`;

/** The one form in which a digest may become a part of a path. */
const SAFE_DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

fuzz({
  name: "a digest is refused by its error, or safe in a path",
  seeds: [SHA256, SHA512, "sha256:", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256+b64u:x_-="],
  check(input) {
    const digest = accepted(() => parseDigest(input), InvalidDigestError);
    if (digest !== undefined) assert.match(digest, SAFE_DIGEST);
  },
});

fuzz({
  name: "a reference is refused by its error, or written as it was read",
  seeds: [
    "docker.io/library/nginx:1.27",
    `ghcr.io:443/a/b-c__d.e@${SHA256}`,
    `[fd00::1]:5000/team/app:v1@${SHA512}`,
    `localhost:5000/a:${"t".repeat(128)}`,
  ],
  check(input) {
    const reference = accepted(() => parseReference(input), InvalidReferenceError);
    if (reference === undefined) return;
    assert.equal(formatReference(reference), input);
    assert.deepEqual(parseReference(formatReference(reference)), reference);
    assert.doesNotMatch(referenceKey(reference), /\.\.\/|[\s\0\\%?#]/);
    if (reference.digest !== undefined) assert.match(reference.digest, SAFE_DIGEST);
  },
});

fuzz({
  name: "a request's target is refused by its error, or asks a peer for the same",
  seeds: [
    "/v2/library/nginx/manifests/1.27?ns=docker.io",
    `/v2/library/nginx/manifests/${SHA256}?ns=docker.io`,
    `/v2/a/b/c/blobs/${SHA512}?ns=%5Bfd00::1%5D:5000`,
    "/v2/library%2Fnginx/manifests/v1",
    "/v2/library/nginx/tags/list?n=10&last=a&ns=docker.io",
    `/v2/library/nginx/referrers/${SHA256}?artifactType=a/b`,
    "/v2/a/blobs/uploads/",
    "/v2/../../etc/blobs/passwd",
  ],
  check(input) {
    const url = URL.parse(`http://mirror.invalid${input.startsWith("/") ? "" : "/"}${input}`);
    if (url === null) return;
    const ns = url.searchParams.get("ns");
    const list = accepted(
      () => parseListPath(url.pathname, ns, "docker.io"),
      DistributionError,
    );
    if (list?.subject !== undefined) assert.match(list.subject, SAFE_DIGEST);
    const path = accepted(
      () => parseDistributionPath(url.pathname, ns, "docker.io"),
      DistributionError,
    );
    if (path === undefined) return;
    assert.equal(list, undefined, "a path means two things");
    if (path.digest === undefined) assert.match(path.tag ?? "", /^[a-zA-Z0-9_][a-zA-Z0-9._-]*$/);
    else assert.match(path.digest, SAFE_DIGEST);
    const target = formatDistributionPath(path);
    assert.match(target, /^[\x21-\x7e]+$/);
    const again = new URL(target, "http://mirror.invalid");
    assert.deepEqual(
      parseDistributionPath(again.pathname, again.searchParams.get("ns"), "none.invalid"),
      path,
    );
  },
});

fuzz({
  name: "a Range header is ignored, refused by its error, or lies within the content",
  seeds: ["bytes=0-0", "bytes=5-1000", "bytes=100-", "bytes=-1", "bytes=-999999", "bytes=1-2,3-4"],
  check(input, random) {
    const size = random.pick([0, 1, 2, 100, 1000, 2 ** 31, Number.MAX_SAFE_INTEGER]);
    const canonical = canonicalRange(input);
    const read = (header: string) =>
      accepted(() => parseRange(header, size) ?? "ignored", RangeNotSatisfiableError) ?? "refused";
    const range = read(input);
    if (typeof range !== "string") {
      assert.ok(Number.isSafeInteger(range.start) && Number.isSafeInteger(range.end));
      assert.ok(0 <= range.start && range.start <= range.end && range.end < size);
    }
    if (canonical === undefined) return;
    assert.match(canonical, /^bytes=(?:[0-9]+-[0-9]*|-[0-9]+)$/);
    // What is passed on to a peer means there what it means here.
    assert.deepEqual(read(canonical), range);
    assert.equal(canonicalRange(canonical), canonical);
  },
});

const MANIFEST = new TextDecoder().decode(
  makeManifest(makeContent(10), [makeContent(20, 2), makeContent(30, 3)], {
    subject: { digest: SHA256 },
    artifactType: "a/b",
    annotations: { key: "value" },
  }).bytes,
);

fuzz({
  name: "a manifest is none, or all of it that is taken is right",
  seeds: [
    MANIFEST,
    `{"schemaVersion":2,"manifests":[{"digest":"${SHA256}","size":1,"platform":{"os":"linux","architecture":"arm","variant":"v7"}}]}`,
    `{"schemaVersion":2,"config":{"digest":"${SHA256}"},"layers":[],"config":{"digest":"${SHA512}"}}`,
    `{"schemaVersion":2,"layers":[${"[".repeat(5000)}${"]".repeat(5000)}],"config":{}}`,
    `{"schemaVersion":2,"manifests":[${"{},".repeat(5000)}{}],"config":{}}`,
    `${'{"config":'.repeat(2000)}1${"}".repeat(2000)}`,
    '{"__proto__":{"schemaVersion":2},"mediaType":"application/vnd.oci.image.index.v1+json"}',
  ],
  check(input) {
    const manifest = parseManifest(new TextEncoder().encode(input));
    if (manifest === undefined) return;
    assert.ok(isManifestMediaType(manifest.mediaType));
    for (const { digest, size, mediaType, platform } of manifest.children) {
      assert.match(digest, SAFE_DIGEST);
      assert.ok(Number.isSafeInteger(size) && size >= 0);
      assert.equal(typeof mediaType, "string");
      assert.ok(platform === undefined || platform.includes("/"));
    }
    const { referral } = manifest;
    if (referral === undefined) return;
    assert.match(referral.subject, SAFE_DIGEST);
    assert.notEqual(referral.artifactType, "");
    assert.ok(Object.values(referral.annotations).every((value) => typeof value === "string"));
  },
});

const CHUNKED = new Uint8Array(2_500_000);
const CHUNKED_DIGEST = sha256Digest(CHUNKED);
const builder = new ChunkListBuilder(CHUNKED_DIGEST);
builder.update(CHUNKED);
const CHUNKS = fromBytes(builder.finish().list!.bytes);

fuzz({
  name: "a list of chunks is refused, or is one of the content",
  seeds: [CHUNKS, CHUNKS.slice(0, 36), CHUNKS.slice(36), ""],
  check(input, random) {
    const size = random.pick([0, 1, CHUNKED.length, 2 ** 20, Number.MAX_SAFE_INTEGER]);
    const digest = random.pick([CHUNKED_DIGEST, SHA512 as Digest]);
    const list = ChunkList.parse(toBytes(input), digest, size);
    if (list === undefined) return;
    assert.equal(list.count, Math.ceil(size / 2 ** 20));
    assert.equal(list.prefixOf(list.count - 1), digest.slice(7));
    for (let index = 0; index < list.count; index++) {
      assert.ok(Number.isInteger(list.crcOf(index)));
      assert.match(list.prefixOf(index), /^[0-9a-f]+$/);
    }
  },
});
