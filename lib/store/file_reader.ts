/**
 * Reads a content from a file.
 *
 * @module
 */
import { NotFoundError, RangeNotSatisfiableError, VerificationError } from "../errors.ts";
import type { Libc } from "../net/libc.ts";
import type { ByteRange, ContentReader, TakeFromFile } from "./store.ts";

/** Reads up to this many bytes are done at once, without a turn of the thread pool. */
export const MAX_SYNC_READ = 64 * 1024;

/** A read at once that takes longer came from disk, in milliseconds; one from the page cache takes a hundredth of it. */
export const SLOW_READ_MS = 1;

/** After a slow read so many are left to the thread pool: all that the process does waits for a read at once. */
export const READS_AFTER_SLOW = 16;

/** Reader of a file or of a part of it. The open descriptor keeps the bytes readable after a deletion. */
export class FileReader implements ContentReader {
  readonly size: number;
  readonly start: number;
  readonly end: number;
  readonly version: string;
  readonly #path: string;
  readonly #file: Deno.FsFile;
  readonly #info: Deno.FileInfo;
  readonly #now: () => number;
  #left: number;
  #reading = false;
  #closed = false;
  /** Where the file is not as far as the reader. */
  #isBehind = false;
  /** Reads that are left to the thread pool, however small. */
  #slowReads = 0;
  #lent: LentFile | "none" | undefined;

  private constructor(
    path: string,
    file: Deno.FsFile,
    info: Deno.FileInfo,
    range: ByteRange,
    now: () => number,
  ) {
    this.#path = path;
    this.#file = file;
    this.#info = info;
    this.#now = now;
    this.size = info.size;
    this.start = range.start;
    this.end = range.end;
    this.version = `${info.ino}-${info.size}-${info.mtime?.getTime()}`;
    this.#left = range.end - range.start + 1;
  }

  /**
   * Opens a file. Synchronously, as nginx does: the four turns of the thread pool that it saves are most of what a small
   * content costs, and the metadata of a store that is in use lie in memory.
   *
   * @param path Path of the file.
   * @param range Part to read; all of it when left out.
   * @param now Monotonic clock in milliseconds.
   * @returns The reader, which must be closed.
   * @throws {NotFoundError} If there is no such file.
   * @throws {RangeNotSatisfiableError} If the range does not lie within the file.
   */
  static open(
    path: string,
    range?: ByteRange,
    now: () => number = () => performance.now(),
  ): FileReader {
    const file = openFile(path);
    try {
      const info = file.statSync();
      if (!info.isFile) throw new NotFoundError(`${path} is not a file`);
      checkRange(range, info.size);
      const whole = range ?? { start: 0, end: info.size - 1 };
      if (whole.start > 0) file.seekSync(whole.start, Deno.SeekMode.Start);
      return new FileReader(path, file, info, whole, now);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  async read(into: Uint8Array): Promise<number> {
    if (this.#closed) throw new VerificationError("the reader is closed");
    if (this.#left === 0) return 0;
    const part = into.length > this.#left ? into.subarray(0, this.#left) : into;
    if (this.#isBehind) this.#file.seekSync(this.#position, Deno.SeekMode.Start);
    this.#isBehind = false;
    this.#reading = true;
    try {
      // A turn of the thread pool takes longer than a small read.
      const isAtOnce = part.length <= MAX_SYNC_READ && this.#slowReads === 0;
      const count = isAtOnce ? this.#readAtOnce(part) : await this.#file.read(part);
      if (!isAtOnce && this.#slowReads > 0) this.#slowReads -= 1;
      if (count === null) {
        throw new VerificationError(`file ended ${this.#left} bytes early, at ${this.size}`);
      }
      this.#left -= count;
      return count;
    } finally {
      this.#reading = false;
      if (this.#closed) this.#free();
    }
  }

  #readAtOnce(into: Uint8Array): number | null {
    const startedAt = this.#now();
    const count = this.#file.readSync(into);
    if (this.#now() - startedAt > SLOW_READ_MS) this.#slowReads = READS_AFTER_SLOW;
    return count;
  }

  async lend(libc: Libc, take: TakeFromFile): Promise<number | undefined> {
    if (this.#closed) throw new VerificationError("the reader is closed");
    this.#lent ??= this.#openOnceMore(libc) ?? "none";
    if (this.#lent === "none") return undefined;
    this.#reading = true;
    try {
      const count = await take(this.#lent.descriptor, this.#position, this.#left);
      this.#left -= count;
      this.#isBehind = true;
      return count;
    } finally {
      this.#reading = false;
      if (this.#closed) this.#free();
    }
  }

  get #position(): number {
    return this.end + 1 - this.#left;
  }

  /** The runtime gives no descriptor away; what lies at the path now may be another file. */
  #openOnceMore(libc: Libc): LentFile | undefined {
    const descriptor = libc.open(this.#path);
    if (descriptor === undefined) return undefined;
    if (libc.isFile(descriptor, this.#info)) return { libc, descriptor };
    libc.close(descriptor);
    return undefined;
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      // A descriptor that is closed under a running read could be reused by another file.
      if (!this.#reading) this.#free();
    }
    return Promise.resolve();
  }

  #free(): void {
    this.#file.close();
    if (typeof this.#lent === "object") this.#lent.libc.close(this.#lent.descriptor);
  }
}

/** The same file, open under a descriptor that is known. */
interface LentFile {
  readonly libc: Libc;
  readonly descriptor: number;
}

function openFile(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { read: true });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new NotFoundError(`no file ${path}`, { cause });
    }
    throw cause;
  }
}

/**
 * Checks a range against a size.
 *
 * @param range The range; left out it is always right.
 * @param size Size of the content in bytes.
 * @throws {RangeNotSatisfiableError} If it does not lie within.
 */
export function checkRange(range: ByteRange | undefined, size: number): void {
  if (range === undefined) return;
  if (range.start < 0 || range.start > range.end || range.end >= size) {
    throw new RangeNotSatisfiableError(
      `range ${range.start}-${range.end} lies outside of ${size} bytes`,
      size,
    );
  }
}
