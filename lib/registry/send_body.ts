/**
 * Writes a content to a response: two buffers, the next read overlapping the write.
 *
 * @module
 */
import type { ServerResponse } from "node:http";
import { KagamiError } from "../errors.ts";
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
   * Sends all that the reader yields. The head goes out only when the first bytes are in hand, so that a
   * source that fails at once can still become a 404.
   *
   * @param response Where to; not ended by this function, so that the caller alone decides about a clean end.
   * @param reader What; not closed by this function.
   * @param writeHead Writes status and headers.
   * @param slot Paces the bytes, if they are to be.
   * @returns Number of bytes sent.
   * @throws {ClientGoneError} If the client does not take the bytes.
   * @throws Whatever the reader throws; the response is incomplete then and must be destroyed.
   */
  async send(
    response: ServerResponse,
    reader: ContentReader,
    writeHead: () => void,
    slot?: TransferSlot,
  ): Promise<number> {
    this.#active += 1;
    try {
      if (reader.next !== undefined) return await this.#sendLent(response, reader, writeHead);
      const length = reader.end - reader.start + 1;
      const size = BufferPool.sizeFor(length, this.#active);
      let current = this.#pool.take(size);
      let count = await reader.read(current);
      writeHead();
      if (count === length) {
        await slot?.pace(count);
        await this.#write(response, current.subarray(0, count));
        this.#pool.give(current);
        return count;
      }
      let next = this.#pool.take(size);
      let sent = 0;
      while (count > 0) {
        const filling = reader.read(next);
        // The read may fail while the write is awaited; it is looked at afterwards.
        filling.catch(() => {});
        await slot?.pace(count);
        await this.#write(response, current.subarray(0, count));
        sent += count;
        count = await filling;
        [current, next] = [next, current];
      }
      this.#pool.give(current);
      this.#pool.give(next);
      return sent;
    } finally {
      this.#active -= 1;
    }
  }

  /** Sends what the reader has in its own memory; it reads ahead by itself. */
  async #sendLent(
    response: ServerResponse,
    reader: ContentReader,
    writeHead: () => void,
  ): Promise<number> {
    let bytes = await reader.next!();
    writeHead();
    let sent = 0;
    while (bytes !== undefined) {
      await this.#write(response, bytes);
      sent += bytes.length;
      bytes = await reader.next!();
    }
    return sent;
  }

  async #write(response: ServerResponse, bytes: Uint8Array): Promise<void> {
    if (response.destroyed) throw new ClientGoneError("client closed the connection");
    if (bytes.length === 0) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onClose = () => reject(new ClientGoneError("client closed the connection"));
    const timer = setTimeout(
      () => reject(new ClientGoneError(`client took no bytes for ${this.#writeStallMs} ms`)),
      this.#writeStallMs,
    );
    response.once("close", onClose);
    response.write(bytes, (error) => {
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
