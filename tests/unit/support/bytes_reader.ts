/**
 * A content reader over bytes in memory, with faults to order.
 *
 * @module
 */
import type { ContentReader } from "../../../lib/store/store.ts";

/** What a {@linkcode BytesReader} does besides reading. */
export interface BytesReaderOptions {
  /** Most bytes of one read. */
  readonly piece?: number;
  /** Size that is announced, if it is not the number of bytes. */
  readonly size?: number;
  /** Thrown in place of reading beyond this many bytes. */
  readonly failAt?: number;
  readonly failure?: unknown;
  /** Awaited before each read, with the position. */
  readonly before?: (position: number) => Promise<void>;
  readonly version?: string;
}

/** Yields the bytes it was given. */
export class BytesReader implements ContentReader {
  readonly size: number;
  readonly start = 0;
  readonly end: number;
  readonly version?: string;
  /** How often it was closed. */
  closed = 0;
  readonly #bytes: Uint8Array;
  readonly #options: BytesReaderOptions;
  #at = 0;

  constructor(bytes: Uint8Array, options: BytesReaderOptions = {}) {
    this.#bytes = bytes;
    this.#options = options;
    this.size = options.size ?? bytes.length;
    this.end = this.size - 1;
    if (options.version !== undefined) this.version = options.version;
  }

  async read(into: Uint8Array): Promise<number> {
    const { piece = Infinity, failAt = Infinity, failure, before } = this.#options;
    await before?.(this.#at);
    if (this.#at >= failAt) throw failure;
    const limit = Math.min(into.length, piece, failAt - this.#at);
    const part = this.#bytes.subarray(this.#at, this.#at + limit);
    into.set(part);
    this.#at += part.length;
    return part.length;
  }

  close(): Promise<void> {
    this.closed += 1;
    return Promise.resolve();
  }
}
