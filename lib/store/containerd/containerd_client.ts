/**
 * Calls containerd's gRPC API on its unix socket.
 *
 * @module
 */
import {
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
  status as Status,
} from "@grpc/grpc-js";
import { KagamiError, NotFoundError, UnavailableError } from "../../errors.ts";
import type { Method } from "./schema.ts";

/** Time limit of calls that answer at once, in milliseconds. */
export const CALL_TIMEOUT_MS = 5000;

/** Time limit of listings, in milliseconds. */
export const LIST_TIMEOUT_MS = 30_000;

/** Largest answer that is taken, in bytes; containerd itself sends at most 16 MiB. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** What grpc-js ends its messages with when it has nothing to add. */
const EMPTY_NOTE = /\. Resolution note: $/;

/** Options of {@linkcode ContainerdClient}. */
export interface ContainerdClientOptions {
  /** Path of containerd's socket. */
  readonly sock: string;
  /** containerd namespace of all calls. */
  readonly namespace: string;
}

/** Client of one containerd. Reconnects by itself; a call while containerd is away fails at once. */
export class ContainerdClient {
  readonly #client: Client;
  readonly #metadata = new Metadata();
  readonly #sock: string;

  /**
   * @param options Socket and namespace.
   */
  constructor(options: ContainerdClientOptions) {
    this.#sock = options.sock;
    this.#metadata.set("containerd-namespace", options.namespace);
    this.#client = new Client(`unix://${options.sock}`, credentials.createInsecure(), {
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.min_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1000,
      // The default pool outlives the client and would keep the process from ending.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /**
   * Calls a method that answers once.
   *
   * @param method The method.
   * @param request Its request.
   * @param timeoutMs Time limit.
   * @returns The response.
   * @throws {NotFoundError} If containerd does not have what was asked for.
   * @throws {UnavailableError} If containerd cannot be reached or refuses.
   */
  call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    timeoutMs: number = CALL_TIMEOUT_MS,
  ): Promise<Response> {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    this.#client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      this.#metadata,
      { deadline: Date.now() + timeoutMs },
      (error, response) => {
        if (error !== null) reject(this.asStoreError(error));
        else if (response === undefined) reject(new UnavailableError("containerd sent no answer"));
        else resolve(response);
      },
    );
    return promise;
  }

  /**
   * Calls a method that answers with a stream.
   *
   * @param method The method.
   * @param request Its request.
   * @param timeoutMs Time limit of the whole stream; none if left out.
   * @returns The stream; errors of it go through {@linkcode asStoreError}. Must be read to its end or cancelled.
   */
  stream<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    timeoutMs?: number,
  ): ClientReadableStream<Response> {
    const call = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      this.#metadata,
      timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
    );
    // An error is also told to whoever reads; without a listener of its own it would end the process.
    call.on("error", () => {});
    return call;
  }

  /**
   * Turns an error of grpc-js into one of Kagami's.
   *
   * @param error What a call failed with.
   * @returns {@linkcode NotFoundError} or {@linkcode UnavailableError}.
   */
  asStoreError(error: unknown): KagamiError {
    if (error instanceof KagamiError) return error;
    const { code, details } = error as Partial<ServiceError>;
    const text = details || (error instanceof Error ? error.message : String(error));
    const reason = text.replace(EMPTY_NOTE, "");
    if (code === Status.NOT_FOUND) return new NotFoundError(reason, { cause: error });
    const remedy = code === Status.UNAVAILABLE
      ? "; check that containerd runs and that its socket is mounted and may be opened"
      : "";
    return new UnavailableError(`containerd at ${this.#sock}: ${reason}${remedy}`, {
      cause: error,
    });
  }

  /** Closes the connection; running calls fail. */
  close(): void {
    this.#client.close();
  }
}
