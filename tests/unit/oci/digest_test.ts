import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { InvalidDigestError } from "../../../lib/errors.ts";
import {
  DIGEST_ALGORITHMS,
  hasherFor,
  isDigest,
  parseDigest,
  sha256Digest,
  splitDigest,
} from "../../../lib/oci/digest.ts";

const SHA256 = `sha256:${"0123456789abcdef".repeat(4)}`;
const SHA512 = `sha512:${"0123456789abcdef".repeat(8)}`;

Deno.test("parseDigest() accepts sha256 and sha512", () => {
  assert.equal(parseDigest(SHA256), SHA256);
  assert.equal(parseDigest(SHA512), SHA512);
  assert.ok(isDigest(SHA256) && isDigest(SHA512));
});

const REFUSED: Readonly<Record<string, string>> = {
  "nothing": "",
  "hex without an algorithm": "a".repeat(64),
  "an algorithm without hex": "sha256:",
  "too few digits": SHA256.slice(0, -1),
  "too many digits": `${SHA256}0`,
  "sha512 with the length of sha256": SHA256.replace("sha256", "sha512"),
  "upper-case digits": SHA256.toUpperCase().replace("SHA256", "sha256"),
  "an upper-case algorithm": SHA256.replace("sha256", "SHA256"),
  "letters that are no hex digits": `sha256:${"g".repeat(64)}`,
  "a path within": `sha256:../../../../etc/passwd${"a".repeat(42)}`,
  "a line break behind": `${SHA256}\n`,
  "a blank in front": ` ${SHA256}`,
  "md5": `md5:${"a".repeat(32)}`,
  "a property that every object has": `constructor:${"a".repeat(64)}`,
  "a composed algorithm that nobody can check": `sha256+b64u:${"a".repeat(64)}`,
};
for (const [what, text] of Object.entries(REFUSED)) {
  Deno.test(`parseDigest() refuses ${what}`, () => {
    assert.throws(() => parseDigest(text), InvalidDigestError);
    assert.equal(isDigest(text), false);
  });
}

Deno.test("parseDigest() names the remedy for an algorithm that is not supported", () => {
  assert.throws(() => parseDigest(`md5:${"a".repeat(32)}`), /use sha256 or sha512/);
});

Deno.test("splitDigest() gives algorithm and digits", () => {
  const { algorithm, hex } = splitDigest(parseDigest(SHA256));
  assert.deepEqual([algorithm, hex], ["sha256", SHA256.slice(7)]);
});

Deno.test("hasherFor() hashes piece by piece with the algorithm of the digest", () => {
  for (const digest of [SHA256, SHA512].map(parseDigest)) {
    const { algorithm } = splitDigest(digest);
    const wanted = createHash(algorithm).update("hello world").digest("hex");
    assert.equal(hasherFor(digest).update("hello ").update("world").digest("hex"), wanted);
    assert.equal(wanted.length, DIGEST_ALGORITHMS[algorithm]);
  }
});

Deno.test("sha256Digest() agrees with the known digest of nothing", () => {
  const empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  assert.equal(sha256Digest(new Uint8Array(0)), empty);
  assert.ok(isDigest(empty));
});
