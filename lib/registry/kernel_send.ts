/**
 * Lets the kernel send a file's bytes to a connection by itself (`sendfile`), so that they never pass through this process.
 *
 * A socket takes only as many bytes as it has room for. To wait for more room, an ordinary write of a small piece is put
 * between: when the runtime has got rid of it, there is room again. So a slow client costs no thread, and what ends a write
 * that does not get on ends this, too.
 *
 * @module
 */
import type { ServerResponse } from "node:http";
import { TLSSocket } from "node:tls";
import type { Libc } from "../net/libc.ts";
import { duplicateDescriptor } from "../net/socket_descriptor.ts";
import type { ContentReader } from "../store/store.ts";

/** Most bytes in one call; several take turns with it. */
export const MAX_CALL_BYTES = 4 * 1024 * 1024;

/** After so many calls in a row that sent nothing, it is of no use for this body. */
export const MAX_FRUITLESS_CALLS = 16;

/** What one body is sent with. */
export class KernelSender implements Disposable {
  readonly #response: ServerResponse;
  readonly #reader: ContentReader;
  readonly #libc: Libc;
  readonly #socket: number;
  #fruitless = 0;

  private constructor(
    response: ServerResponse,
    reader: ContentReader,
    libc: Libc,
    socket: number,
  ) {
    this.#response = response;
    this.#reader = reader;
    this.#libc = libc;
    this.#socket = socket;
  }

  /**
   * Finds out whether the kernel can send a body.
   *
   * @param response Where to.
   * @param reader What.
   * @param libc Calls of the C library.
   * @returns Undefined if it cannot. To be disposed of when the body is over.
   */
  static for(
    response: ServerResponse,
    reader: ContentReader,
    libc: Libc | undefined,
  ): KernelSender | undefined {
    const { socket } = response;
    if (libc === undefined || reader.lend === undefined || socket === null) return undefined;
    // The kernel would send the bytes as they are.
    if (socket instanceof TLSSocket) return undefined;
    const descriptor = duplicateDescriptor(socket, libc);
    if (descriptor === undefined) return undefined;
    return new KernelSender(response, reader, libc, descriptor);
  }

  /** False when it has turned out to be of no use; the rest of the body has to be written then. */
  get isOfUse(): boolean {
    return this.#fruitless < MAX_FRUITLESS_CALLS;
  }

  /**
   * Sends as many of the reader's next bytes as the socket takes at once. All earlier bytes of the response must have been
   * handed over.
   *
   * @param most Most bytes to send, {@linkcode MAX_CALL_BYTES} or less.
   * @returns Their number; 0 if a piece must be written first.
   */
  async send(most: number): Promise<number> {
    const { socket } = this.#response;
    // Whatever still waits in the runtime comes before the file.
    const isFlushed = socket !== null && !socket.destroyed && socket.writableLength === 0;
    const sent = isFlushed
      ? await this.#reader.lend!(
        this.#libc,
        (file, position, left) =>
          this.#libc.sendfile(this.#socket, file, position, Math.min(most, left)),
      )
      : 0;
    if (sent === undefined) this.#fruitless = MAX_FRUITLESS_CALLS;
    else this.#fruitless = sent > 0 ? 0 : this.#fruitless + 1;
    return sent ?? 0;
  }

  [Symbol.dispose](): void {
    this.#libc.close(this.#socket);
  }
}
