/**
 * A reader that never yields the last bytes of a content that does not match its digest.
 *
 * containerd fails a pull, without trying another source, when a body ends cleanly and is wrong
 * (docs/architecture, "What containerd does with an answer"). So the final piece is held back until the hash of
 * everything agrees; on a mismatch the caller can only break the connection.
 *
 * @module
 */
import type { Hash } from "node:crypto";
import { VerificationError } from "../errors.ts";
import { type Digest, hasherFor, splitDigest } from "../oci/digest.ts";
import type { ContentReader } from "../store/store.ts";

/** What {@linkcode VerifyingReader} reports. */
export interface VerifyingReaderEvents {
  /** All bytes have been read and agree with the digest. */
  readonly onVerified?: () => void;
  /** All bytes have been read and do not agree with the digest. */
  readonly onMismatch?: () => void;
}

/** Wraps a reader of a whole content and checks its digest. */
export class VerifyingReader implements ContentReader {
  readonly size: number;
  readonly start: number;
  readonly end: number;
  readonly #inner: ContentReader;
  readonly #digest: Digest;
  readonly #hash: Hash;
  readonly #events: VerifyingReaderEvents;
  #remaining: number;

  /**
   * @param inner Reader of the whole content, from its first to its last byte.
   * @param digest What the content must hash to.
   * @param events Callbacks, each called at most once.
   * @throws {RangeError} If the reader covers only a part.
   */
  constructor(inner: ContentReader, digest: Digest, events: VerifyingReaderEvents = {}) {
    if (inner.start !== 0 || inner.end !== inner.size - 1) {
      throw new RangeError("only a whole content can be verified");
    }
    this.size = inner.size;
    this.start = inner.start;
    this.end = inner.end;
    this.#inner = inner;
    this.#digest = digest;
    this.#hash = hasherFor(digest);
    this.#events = events;
    this.#remaining = inner.size;
  }

  async read(into: Uint8Array): Promise<number> {
    const count = await this.#inner.read(into);
    if (count === 0) {
      if (this.#remaining > 0) {
        throw new VerificationError(`${this.#digest} ended ${this.#remaining} bytes early`);
      }
      // Only empty content gets here without a last piece that was checked.
      if (this.size === 0) this.#check();
      return 0;
    }
    this.#hash.update(into.subarray(0, count));
    this.#remaining -= count;
    if (this.#remaining === 0) this.#check();
    return count;
  }

  #check(): void {
    const hex = this.#hash.digest("hex");
    const expected = splitDigest(this.#digest);
    if (hex !== expected.hex) {
      this.#events.onMismatch?.();
      throw new VerificationError(
        `content announced as ${this.#digest} hashes to ${expected.algorithm}:${hex}`,
      );
    }
    this.#events.onVerified?.();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

/**
 * Reads a whole small content into memory, for manifests.
 *
 * @param reader The reader; closed in the end.
 * @param limit Largest size accepted, in bytes.
 * @returns The bytes.
 * @throws {VerificationError} If the content is larger than the limit or shorter than announced.
 */
export async function readAll(reader: ContentReader, limit: number): Promise<Uint8Array> {
  try {
    const length = reader.end - reader.start + 1;
    if (length > limit) {
      throw new VerificationError(`${length} bytes are over the limit of ${limit}`);
    }
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const count = await reader.read(bytes.subarray(filled));
      if (count === 0) throw new VerificationError(`content ended ${length - filled} bytes early`);
      filled += count;
    }
    return bytes;
  } finally {
    await reader.close();
  }
}
