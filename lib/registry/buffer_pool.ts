/**
 * Buffers for bodies. Allocating 1 MiB for each request triples the cost of small blobs
 * (docs/architecture, "Measured choices").
 *
 * @module
 */

/** Buffer for large bodies while few of them run, in bytes. */
export const LARGE_BUFFER_SIZE = 1024 * 1024;

/** Buffer while many bodies run, and for middle-sized ones, in bytes. */
export const MEDIUM_BUFFER_SIZE = 256 * 1024;

/** Buffer while very many bodies run, and for large ones over TLS, in bytes. */
export const SMALL_BUFFER_SIZE = 64 * 1024;

/** Up to this many bodies get large buffers; two of them each bound the memory to 16 MiB. */
export const MAX_LARGE_STREAMS = 8;

/** Up to this many bodies get medium-sized buffers: another 28 MiB. As many as there are connections take 248 more. */
export const MAX_MEDIUM_STREAMS = 64;

/** Free buffers of each size that are kept. */
export const MAX_FREE_BUFFERS = 16;

/** Lends buffers. */
export class BufferPool {
  readonly #free = new Map<number, Uint8Array[]>([
    [LARGE_BUFFER_SIZE, []],
    [MEDIUM_BUFFER_SIZE, []],
    [SMALL_BUFFER_SIZE, []],
  ]);

  /**
   * Chooses the size of a stream's buffers.
   *
   * @param length Length of the body in bytes.
   * @param activeStreams Bodies that run now, this one included.
   * @param isEncrypted Whether the connection is: it takes no larger pieces (`TLS_PIECE_BYTES`), and what is read in such
   * pieces costs no thread.
   * @returns The size in bytes.
   */
  static sizeFor(length: number, activeStreams: number, isEncrypted = false): number {
    if (activeStreams > MAX_MEDIUM_STREAMS) return Math.max(1, Math.min(length, SMALL_BUFFER_SIZE));
    if (length <= MEDIUM_BUFFER_SIZE) return Math.max(1, length);
    if (isEncrypted) return SMALL_BUFFER_SIZE;
    return activeStreams > MAX_LARGE_STREAMS ? MEDIUM_BUFFER_SIZE : LARGE_BUFFER_SIZE;
  }

  /** @returns A buffer of the size, whose content is undefined. */
  take(size: number): Uint8Array {
    return this.#free.get(size)?.pop() ?? new Uint8Array(size);
  }

  /**
   * Gives a buffer back. Only after its last write has been confirmed: after an error the runtime may still
   * read from it, so it is left to the garbage collector then.
   */
  give(buffer: Uint8Array): void {
    const free = this.#free.get(buffer.length);
    if (free !== undefined && free.length < MAX_FREE_BUFFERS) free.push(buffer);
  }
}
