/**
 * The digest of a content up to a certain byte, which grows as the content comes.
 *
 * @module
 */
import type { Hash } from "node:crypto";
import { type Digest, hasherFor, splitDigest } from "../oci/digest.ts";

/** Checks a content piece by piece, in order. */
export class DigestSoFar {
  readonly #digest: Digest;
  #hash: Hash;

  /**
   * @param digest Digest of all of the content.
   */
  constructor(digest: Digest) {
    this.#digest = digest;
    this.#hash = hasherFor(digest);
  }

  /**
   * Goes on by one piece, if it is right.
   *
   * @param bytes The piece.
   * @param expected The digest up to its end in hexadecimal, or undefined if that is not known.
   * @returns False if the piece is wrong; it is as if it had never come.
   */
  accept(bytes: Uint8Array, expected: string | undefined): boolean {
    const hash = this.#hash.copy().update(bytes);
    if (expected !== undefined && hash.copy().digest("hex") !== expected) return false;
    this.#hash = hash;
    return true;
  }

  /** Whether all that has come is the content. */
  get isComplete(): boolean {
    return this.#hash.copy().digest("hex") === splitDigest(this.#digest).hex;
  }
}
