/**
 * Reads a content from a file that is still being written.
 *
 * @module
 */
import { NotFoundError, PeerError } from "../errors.ts";
import { type Sleep, sleep } from "../sleep.ts";
import { checkRange } from "./file_reader.ts";
import type { ByteRange, ContentReader } from "./store.ts";

/**
 * How often a file that is waited for is looked at, in milliseconds: at least, as a part of the pause before it grew last,
 * and at most.
 */
export const GROWTH_POLL = { leastMs: 10, part: 0.25, mostMs: 80 } as const;

/**
 * How long a file may stay as it is before the download counts as stalled, in milliseconds: at first, as a multiple of
 * the longest pause so far, and at most. containerd writes whole MiB, so that pauses tell the rate.
 */
export const GROWTH_STALL = { leastMs: 3000, factor: 4, mostMs: 10_000 } as const;

/** Bytes at the end of a part that are held back until the content is complete and was found right. */
export const HELD_BACK_BYTES = 1024 * 1024;

/** Longest time from the last byte until the content was found right and has its place, in milliseconds. */
export const COMMIT_MS = 15_000;

/** Options of {@linkcode GrowingReader.open}. */
export interface GrowingReaderOptions {
  /** The file that grows. It keeps its inode when it becomes the content's. */
  readonly path: string;
  /** Where the content will be once it is complete and was found to match its digest. */
  readonly finalPath: string;
  /** Size of the content in bytes. */
  readonly total: number;
  /**
   * Part to read; all of it when left out. Who reads all of it can check it, and gets the end as soon as it is there; the
   * end of a part is held back until it was checked.
   */
  readonly range?: ByteRange;
  /** Ends the wait for the first byte. */
  readonly signal?: AbortSignal;
  /** Monotonic clock in milliseconds. Default: the process's. */
  readonly now?: () => number;
  /** Waits. Default: by the process's clock. */
  readonly sleep?: Sleep;
}

/** Follows a file through its growth, and through the end of it. */
export class GrowingReader implements ContentReader {
  readonly size: number;
  readonly start: number;
  readonly end: number;
  readonly #options: GrowingReaderOptions;
  readonly #file: Deno.FsFile;
  readonly #inode: number | null;
  readonly #now: () => number;
  readonly #sleep: Sleep;
  #position: number;
  #isCommitted = false;
  /** Size of the file when it was looked at last, and since when it has been that. */
  #grown = 0;
  #grownAt: number;
  #longestPauseMs = 0;
  #lastPauseMs = 0;
  #isReading = false;
  #isClosed = false;

  private constructor(options: GrowingReaderOptions, file: Deno.FsFile, inode: number | null) {
    const { total, range } = options;
    this.#options = options;
    this.#file = file;
    this.#inode = inode;
    this.#now = options.now ?? (() => performance.now());
    this.#sleep = options.sleep ?? sleep;
    this.size = total;
    this.start = range?.start ?? 0;
    this.end = range?.end ?? total - 1;
    this.#position = this.start;
    this.#grownAt = this.#now();
  }

  /**
   * Opens a file that grows, and waits until its first byte that is wanted is there.
   *
   * @param options What to read.
   * @returns The reader, which must be closed.
   * @throws {NotFoundError} If the file vanishes without having become the content, does not grow, or the signal is
   * aborted.
   * @throws {RangeNotSatisfiableError} If the range does not lie within the content.
   */
  static async open(options: GrowingReaderOptions): Promise<GrowingReader> {
    checkRange(options.range, options.total);
    const file = await openFile(options.path);
    try {
      const reader = new GrowingReader(options, file, (await file.stat()).ino);
      await reader.#file.seek(reader.start, Deno.SeekMode.Start);
      await reader.#available(options.signal);
      return reader;
    } catch (error) {
      file.close();
      throw error instanceof PeerError ? new NotFoundError(error.message, { cause: error }) : error;
    }
  }

  async read(into: Uint8Array): Promise<number> {
    if (this.#isClosed) throw new PeerError("the reader is closed");
    if (this.#position > this.end) return 0;
    this.#isReading = true;
    try {
      const available = await this.#available();
      const count = await this.#file.read(into.subarray(0, Math.min(into.length, available)));
      // It was there a moment ago: the download has begun anew.
      if (count === null) throw new PeerError("the download began anew");
      this.#position += count;
      return count;
    } finally {
      this.#isReading = false;
      if (this.#isClosed) this.#file.close();
    }
  }

  /** Waits for bytes; the number of those that may be read now. */
  async #available(signal?: AbortSignal): Promise<number> {
    while (true) {
      if (this.#isClosed || signal?.aborted) throw new PeerError("not waited for any more");
      const { size } = await this.#file.stat();
      this.#observe(size);
      const count = Math.min(this.#limit(size), this.end + 1) - this.#position;
      if (count > 0) return count;
      if (this.#isCommitted) throw new PeerError(`content ended at ${size} of ${this.size} bytes`);
      if (await this.#hasEnded()) continue;
      this.#checkStall();
      const { leastMs, part, mostMs } = GROWTH_POLL;
      const pollMs = Math.min(mostMs, Math.max(leastMs, this.#lastPauseMs * part));
      await this.#sleep(pollMs, signal);
    }
  }

  #limit(size: number): number {
    if (this.#isCommitted) return size === this.size ? size : 0;
    if (this.#options.range === undefined) return size;
    return Math.min(size, Math.max(0, this.size - HELD_BACK_BYTES));
  }

  #observe(size: number): void {
    const now = this.#now();
    if (size === this.#grown) return;
    // What was there before says nothing about pauses.
    if (this.#grown > 0) {
      this.#lastPauseMs = now - this.#grownAt;
      this.#longestPauseMs = Math.max(this.#longestPauseMs, this.#lastPauseMs);
    }
    this.#grown = size;
    this.#grownAt = now;
  }

  #checkStall(): void {
    const { leastMs, factor, mostMs } = GROWTH_STALL;
    const patienceMs = this.#grown === this.size
      ? COMMIT_MS
      : Math.min(mostMs, Math.max(leastMs, this.#longestPauseMs * factor));
    if (this.#now() - this.#grownAt < patienceMs) return;
    throw new PeerError(`the download has not grown for ${patienceMs} ms`);
  }

  /** @returns True if the file has become the content. Throws if it has vanished otherwise. */
  async #hasEnded(): Promise<boolean> {
    const { path, finalPath } = this.#options;
    if (await inodeOf(path) === this.#inode) return false;
    if (await inodeOf(finalPath) !== this.#inode) throw new PeerError("the download was aborted");
    this.#isCommitted = true;
    return true;
  }

  close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      // A descriptor that is closed under a running read could be reused by another file.
      if (!this.#isReading) this.#file.close();
    }
    return Promise.resolve();
  }
}

async function openFile(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, { read: true });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new NotFoundError(`no file ${path}`, { cause });
    }
    throw cause;
  }
}

/** Undefined if there is no such file. */
async function inodeOf(path: string): Promise<number | null | undefined> {
  try {
    return (await Deno.stat(path)).ino;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw cause;
  }
}
