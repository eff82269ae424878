/**
 * Content digests as the OCI image specification defines them.
 *
 * @see https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import { InvalidDigestError } from "../errors.ts";

/** A checked digest: `sha256:<64 hex digits>` or `sha512:<128 hex digits>`. */
export type Digest = string & { readonly __brand: "Digest" };

/** Algorithms that Kagami can verify, with the number of hex digits of each. */
export const DIGEST_ALGORITHMS: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

const DIGEST_PATTERN = /^([a-z0-9]+(?:[+._-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)$/;
const LOWER_HEX = /^[a-f0-9]+$/;

/**
 * Checks a string and returns it as a digest.
 *
 * @param text The text to check.
 * @returns The same text, typed.
 * @throws {InvalidDigestError} If the form, the algorithm or the length is wrong.
 *
 * @example
 * ```ts
 * const digest = parseDigest(`sha256:${"a".repeat(64)}`);
 * ```
 */
export function parseDigest(text: string): Digest {
  const match = DIGEST_PATTERN.exec(text);
  const algorithm = match?.[1];
  const encoded = match?.[2];
  if (algorithm === undefined || encoded === undefined) {
    throw new InvalidDigestError(`digest ${JSON.stringify(text)} is not <algorithm>:<hex>`);
  }
  const length = Object.hasOwn(DIGEST_ALGORITHMS, algorithm)
    ? DIGEST_ALGORITHMS[algorithm]
    : undefined;
  if (length === undefined) {
    throw new InvalidDigestError(
      `digest algorithm ${JSON.stringify(algorithm)} is not supported, use sha256 or sha512`,
    );
  }
  if (encoded.length !== length || !LOWER_HEX.test(encoded)) {
    throw new InvalidDigestError(
      `digest ${JSON.stringify(text)} needs ${length} lower-case hex digits after ${algorithm}:`,
    );
  }
  return text as Digest;
}

/**
 * Says whether a string is a valid digest.
 *
 * @param text The text to check.
 * @returns True if {@linkcode parseDigest} would accept it.
 */
export function isDigest(text: string): text is Digest {
  try {
    parseDigest(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * Splits a digest into algorithm and hex digits.
 *
 * @param digest A checked digest.
 * @returns The two parts.
 */
export function splitDigest(digest: Digest): { algorithm: string; hex: string } {
  const colon = digest.indexOf(":");
  return { algorithm: digest.slice(0, colon), hex: digest.slice(colon + 1) };
}

/**
 * Starts an incremental hash of the digest's algorithm. `node:crypto` is used because `crypto.subtle`
 * cannot hash incrementally and is slower.
 *
 * @param digest The digest whose algorithm is wanted.
 * @returns A hash whose `digest("hex")` compares to the digest's hex digits.
 */
export function hasherFor(digest: Digest): Hash {
  return createHash(splitDigest(digest).algorithm);
}

/**
 * Computes the sha256 digest of some bytes.
 *
 * @param bytes The content.
 * @returns `sha256:<hex>`.
 */
export function sha256Digest(bytes: Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
}
