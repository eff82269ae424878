/**
 * Memory for chunks on their way, shared by all downloads.
 *
 * @module
 */
import { CHUNK_SIZE } from "../oci/chunk_list.ts";

/** Chunks of all downloads together; above it each download gets only what it needs to go on. */
export const MAX_CHUNK_BUFFERS = 24;

/** Chunks that a download may always hold: one that is being sent, one that is ready, one that is being filled. */
export const GUARANTEED_CHUNK_BUFFERS = 3;

/** Free buffers that are kept. */
const MAX_FREE = 12;

/** Lends buffers of the size of a chunk. */
export class ChunkBuffers {
  readonly #free: Uint8Array[] = [];
  readonly #limit: number;
  #lent = 0;

  /**
   * @param limit See {@linkcode MAX_CHUNK_BUFFERS}.
   */
  constructor(limit: number = MAX_CHUNK_BUFFERS) {
    this.#limit = limit;
  }

  /** Number of buffers that are lent. */
  get lent(): number {
    return this.#lent;
  }

  /**
   * Takes a buffer, whose content is undefined.
   *
   * @param isGuaranteed Whether the limit does not count.
   * @returns The buffer; undefined if there is none to be had now.
   */
  take(isGuaranteed: boolean): Uint8Array | undefined {
    if (!isGuaranteed && this.#lent >= this.#limit) return undefined;
    this.#lent += 1;
    return this.#free.pop() ?? new Uint8Array(CHUNK_SIZE);
  }

  /**
   * Gives a buffer back.
   *
   * @param buffer The buffer.
   * @param isUnused False if something may still read from it or write into it; it is not lent again then.
   */
  give(buffer: Uint8Array, isUnused = true): void {
    this.#lent -= 1;
    if (isUnused && this.#free.length < MAX_FREE) this.#free.push(buffer);
  }
}
