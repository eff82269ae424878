/**
 * Writes a content to a response: two buffers, the next read overlapping the write.
 *
 * @module
 */
import type { ServerResponse } from "node:http";
import { KagamiError, VerificationError } from "../errors.ts";
import type { TransferSlot } from "../net/transfer_limits.ts";
import type { ContentReader } from "../store/store.ts";
import { BufferPool } from "./buffer_pool.ts";

/**
 * Longest time for the client to take one buffer, in milliseconds. A client that takes nothing for so long
 * is gone, whatever its socket says.
 */
export const WRITE_STALL_MS = 60_000;

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
  #active = 0;

  /**
   * @param options `writeStallMs`: see {@linkcode WRITE_STALL_MS}.
   */
  constructor(options: { readonly writeStallMs?: number } = {}) {
    this.#writeStallMs = options.writeStallMs ?? WRITE_STALL_MS;
  }

  /** Bodies that are being sent now. */
  get active(): number {
    return this.#active;
  }

  /**
   * Sends all that the reader yields. The head goes out only when the first bytes are in hand, and those of a small
   * body all of them, so that a source that fails until then can still become a 404.
   *
   * @param response Where to; not ended by this function, so that the caller alone decides about a clean end.
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
      if (reader.next !== undefined) await this.#sendLent(response, reader, options);
      else await this.#sendRead(response, reader, options);
    } finally {
      this.#active -= 1;
    }
  }

  async #sendRead(
    response: ServerResponse,
    reader: ContentReader,
    { writeHead, onSent, slot }: SendOptions,
  ): Promise<void> {
    let left = reader.end - reader.start + 1;
    const size = BufferPool.sizeFor(left, this.#active);
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
      await write(current.subarray(0, count));
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
   * Ends a response, and waits until all of it has been handed over, so that the connection may be closed then.
   *
   * @param response The response.
   * @param bytes Its last bytes, if there are any left.
   * @throws {ClientGoneError} If the client does not take them.
   */
  end(response: ServerResponse, bytes?: Uint8Array): Promise<void> {
    return this.#handOver(response, (done) => {
      if (bytes === undefined) response.end(done);
      else response.end(bytes, done);
    });
  }

  async #write(response: ServerResponse, bytes: Uint8Array): Promise<void> {
    if (bytes.length > 0) {
      await this.#handOver(response, (done) => void response.write(bytes, done));
    }
  }

  async #handOver(
    response: ServerResponse,
    start: (done: (error?: Error | null) => void) => void,
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
