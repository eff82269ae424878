/**
 * Writes a content to a response: two buffers, the next read overlapping the write; or the kernel sends it by itself.
 *
 * @module
 */
import type { ServerResponse } from "node:http";
import { TLSSocket } from "node:tls";
import { KagamiError, VerificationError } from "../errors.ts";
import type { TransferSlot } from "../net/transfer_limits.ts";
import type { Libc } from "../net/libc.ts";
import type { ContentReader } from "../store/store.ts";
import { BufferPool, LARGE_BUFFER_SIZE, SMALL_BUFFER_SIZE } from "./buffer_pool.ts";
import { KernelSender, MAX_CALL_BYTES } from "./kernel_send.ts";

/**
 * Longest time for the client to take one buffer, in milliseconds. A client that takes nothing for so long
 * is gone, whatever its socket says.
 */
export const WRITE_STALL_MS = 60_000;

/** Shortest body that the kernel is asked to send, in bytes; for less it costs more than it saves. */
export const MIN_KERNEL_BYTES = 512 * 1024;

/**
 * Most bytes that an encrypted connection is given at a time. It copies them twice, and copies of 128 KiB and more get fresh
 * memory from the kernel each time (`MALLOC_MMAP_THRESHOLD_`), which can cost as much as all the rest.
 */
export const TLS_PIECE_BYTES = 64 * 1024;

/** The client went away, or takes no bytes. */
export class ClientGoneError extends KagamiError {
  constructor(message: string, options?: ErrorOptions) {
    super("ERR_CLIENT_GONE", message, options);
  }
}

/** Options of {@linkcode BodySender.send}. */
export interface SendOptions {
  /** Writes status and headers. */
  readonly writeHead: () => void;
  /** Called with the number of bytes of each piece that was handed over. */
  readonly onSent?: (count: number) => void;
  /** Paces the bytes, if they are to be. */
  readonly slot?: TransferSlot | undefined;
}

/** Sends bodies, sharing buffers. */
export class BodySender {
  readonly #pool = new BufferPool();
  readonly #writeStallMs: number;
  readonly #libc: Libc | undefined;
  #active = 0;

  /**
   * @param options `writeStallMs`: see {@linkcode WRITE_STALL_MS}. `libc`: lets the kernel send files; without it all
   * bytes are read and written.
   */
  constructor(options: { readonly writeStallMs?: number; readonly libc?: Libc | undefined } = {}) {
    this.#writeStallMs = options.writeStallMs ?? WRITE_STALL_MS;
    this.#libc = options.libc;
  }

  /** Bodies that are being sent now. */
  get active(): number {
    return this.#active;
  }

  /**
   * Sends all that the reader yields. The head goes out only when the first bytes are in hand, and those of a small
   * body all of them, so that a source that fails until then can still become a 404.
   *
   * @param response Where to. Ended by this function only together with a body that goes in one piece.
   * @param reader What; not closed by this function.
   * @param options How.
   * @throws {ClientGoneError} If the client does not take the bytes.
   * @throws {VerificationError} If the reader yields fewer bytes than it announced.
   * @throws Whatever the reader throws; the response is incomplete then and must be destroyed.
   */
  async send(
    response: ServerResponse,
    reader: ContentReader,
    options: SendOptions,
  ): Promise<void> {
    this.#active += 1;
    try {
      if (reader.next !== undefined) return await this.#sendLent(response, reader, options);
      const length = reader.end - reader.start + 1;
      using kernel = length < MIN_KERNEL_BYTES
        ? undefined
        : KernelSender.for(response, reader, this.#libc);
      if (kernel === undefined) await this.#sendRead(response, reader, length, options);
      else await this.#sendByKernel(kernel, response, reader, options);
    } finally {
      this.#active -= 1;
    }
  }

  async #sendByKernel(
    kernel: KernelSender,
    response: ServerResponse,
    reader: ContentReader,
    options: SendOptions,
  ): Promise<void> {
    const { writeHead, onSent, slot } = options;
    let left = reader.end - reader.start + 1;
    /** Bytes that may go. */
    let allowed = 0;
    const allow = async () => {
      if (allowed > 0) return;
      allowed = slot === undefined ? left : Math.min(left, LARGE_BUFFER_SIZE);
      await slot?.pace(allowed);
    };
    const account = (count: number) => {
      onSent?.(count);
      left -= count;
      allowed -= count;
    };
    const piece = this.#pool.take(SMALL_BUFFER_SIZE);
    let count = await readFirst(reader, piece, left);
    writeHead();
    while (count > 0) {
      await allow();
      await this.#write(response, piece.subarray(0, count));
      account(count);
      let isTakingMore = true;
      while (left > 0 && isTakingMore) {
        await allow();
        const asked = Math.min(allowed, MAX_CALL_BYTES);
        const sent = await kernel.send(asked);
        account(sent);
        isTakingMore = sent === asked;
      }
      if (left === 0 || !kernel.isOfUse) break;
      await allow();
      // The content has been closed, too.
      if (response.destroyed) throw new ClientGoneError("client closed the connection");
      count = await reader.read(piece.subarray(0, Math.min(piece.length, allowed)));
    }
    this.#pool.give(piece);
    if (left === 0) return;
    await this.#sendRead(response, reader, left, { ...options, writeHead: () => {} });
  }

  async #sendRead(
    response: ServerResponse,
    reader: ContentReader,
    length: number,
    { writeHead, onSent, slot }: SendOptions,
  ): Promise<void> {
    let left = length;
    const size = BufferPool.sizeFor(left, this.#active, isEncrypted(response));
    const write = async (bytes: Uint8Array) => {
      await slot?.pace(bytes.length);
      await this.#write(response, bytes);
      onSent?.(bytes.length);
      left -= bytes.length;
    };
    let current = this.#pool.take(size);
    let count = await readFirst(reader, current, left);
    writeHead();
    if (count === left) {
      await slot?.pace(count);
      await this.end(response, current.subarray(0, count));
      onSent?.(count);
      this.#pool.give(current);
      return;
    }
    let next = this.#pool.take(size);
    while (count > 0) {
      const filling = reader.read(next);
      // The read may fail while the write is awaited; it is looked at afterwards.
      filling.catch(() => {});
      await write(current.subarray(0, count));
      count = await filling;
      [current, next] = [next, current];
    }
    this.#pool.give(current);
    this.#pool.give(next);
    if (left > 0) throw endedEarly(left);
  }

  /** Sends what the reader has in its own memory; it reads ahead by itself. */
  async #sendLent(
    response: ServerResponse,
    reader: ContentReader,
    { writeHead, onSent, slot }: SendOptions,
  ): Promise<void> {
    let left = reader.end - reader.start + 1;
    let bytes = await reader.next!();
    if (bytes === undefined && left > 0) throw endedEarly(left);
    writeHead();
    while (bytes !== undefined) {
      await slot?.pace(bytes.length);
      await this.#write(response, bytes);
      onSent?.(bytes.length);
      left -= bytes.length;
      bytes = await reader.next!();
    }
    if (left > 0) throw endedEarly(left);
  }

  /**
   * Ends a response unless it has ended, and waits until all of it has been handed over, so that the connection may be closed
   * then.
   *
   * @param response The response.
   * @param bytes Its last bytes, if there are any left.
   * @throws {ClientGoneError} If the client does not take them.
   */
  async end(response: ServerResponse, bytes?: Uint8Array): Promise<void> {
    if (response.writableEnded) return;
    await this.#handOver(response, (done) => {
      if (bytes === undefined) response.end(done);
      else inPieces(response, bytes, (last) => void response.end(last, done), done);
    });
  }

  async #write(response: ServerResponse, bytes: Uint8Array): Promise<void> {
    if (bytes.length > 0) {
      await this.#handOver(
        response,
        (done) => inPieces(response, bytes, (last) => void response.write(last, done), done),
      );
    }
  }

  async #handOver(
    response: ServerResponse,
    start: (done: Done) => void,
  ): Promise<void> {
    if (response.destroyed) throw new ClientGoneError("client closed the connection");
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let isDone = false;
    // A response is closed when it is done, too; an error costs more than all of a small answer.
    const onClose = () => {
      if (!isDone) reject(new ClientGoneError("client closed the connection"));
    };
    const timer = setTimeout(
      () => reject(new ClientGoneError(`client took no bytes for ${this.#writeStallMs} ms`)),
      this.#writeStallMs,
    );
    response.once("close", onClose);
    start((error) => {
      isDone = true;
      if (error) reject(new ClientGoneError("client closed the connection", { cause: error }));
      else resolve();
    });
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      response.off("close", onClose);
    }
  }
}

function isEncrypted({ socket }: ServerResponse): boolean {
  return socket instanceof TLSSocket;
}

type Done = (error?: Error | null) => void;

/** Writes bytes in pieces of the size that the connection takes best, one after the other, all but the last one. */
function inPieces(
  response: ServerResponse,
  bytes: Uint8Array,
  writeLast: (piece: Uint8Array) => void,
  onFailure: Done,
): void {
  const size = isEncrypted(response) ? TLS_PIECE_BYTES : bytes.length;
  const writeFrom = (start: number) => {
    const end = start + size;
    if (end >= bytes.length) return writeLast(bytes.subarray(start));
    response.write(bytes.subarray(start, end), (error) => {
      if (error) onFailure(error);
      else writeFrom(end);
    });
  };
  writeFrom(0);
}

/** Reads the first bytes of a body of so many; all of them if they fit. */
async function readFirst(reader: ContentReader, into: Uint8Array, length: number): Promise<number> {
  let count = 0;
  do {
    const more = await reader.read(into.subarray(count));
    if (more === 0 && length > 0) throw endedEarly(length - count);
    count += more;
  } while (count < length && length <= into.length);
  return count;
}

function endedEarly(left: number): VerificationError {
  return new VerificationError(`content ended ${left} bytes early`);
}
