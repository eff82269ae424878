/**
 * Small contents in memory, such as manifests: opening and reading a file costs more than everything else about them.
 *
 * @module
 */
import type { Digest } from "../oci/digest.ts";

/** Longest content that is kept, in bytes. */
export const MAX_SMALL_CONTENT = 64 * 1024;

/** Memory for all of them, in bytes; the oldest go first. */
export const MAX_SMALL_CONTENT_MEMORY = 4 * 1024 * 1024;

/** Keeps small contents. */
export class SmallContents {
  readonly #bytes = new Map<Digest, Uint8Array>();
  #memory = 0;

  /** @returns The content, to be left as it is; undefined if it is not kept. */
  get(digest: Digest): Uint8Array | undefined {
    return this.#bytes.get(digest);
  }

  /** Keeps a content, if it is small. */
  set(digest: Digest, bytes: Uint8Array): void {
    this.delete(digest);
    if (bytes.length > MAX_SMALL_CONTENT) return;
    this.#bytes.set(digest, bytes);
    this.#memory += bytes.length;
    while (this.#memory > MAX_SMALL_CONTENT_MEMORY) this.delete(this.#bytes.keys().next().value!);
  }

  /** Forgets a content. */
  delete(digest: Digest): void {
    this.#memory -= this.#bytes.get(digest)?.length ?? 0;
    this.#bytes.delete(digest);
  }
}
