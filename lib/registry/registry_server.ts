/**
 * Carries requests from sockets to the registry and its answers back.
 *
 * `node:http` with own buffers, since `Deno.serve` serves large bodies at half of its speed
 * (docs/architecture, "Measured choices").
 *
 * @module
 */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { CertificateWithKey } from "../net/certificate.ts";
import { closeServer, listen, type ListenAddress } from "../net/listen.ts";
import type { TransferProgress } from "../net/transfer_progress.ts";
import { exchangeAttributes } from "../observability/exchange_attributes.ts";
import type { Logger } from "../observability/logger.ts";
import type { Span, Tracing } from "../observability/tracing.ts";
import { INTERIM_HEADER } from "../transfer/peer_client.ts";
import { failureAnswer } from "./answers.ts";
import { type Answerer, PROBES, type RegistryAnswer, type RegistryRequest } from "./messages.ts";
import { BodySender, ClientGoneError } from "./send_body.ts";
import { Turns } from "./turns.ts";

/** Longest request head in bytes; containerd sends below 1 KiB. */
export const MAX_REQUEST_HEAD_BYTES = 16 * 1024;

/** How long an idle connection is kept, in milliseconds; containerd reuses connections between layers. */
export const KEEP_ALIVE_MS = 75_000;

/** Time for a client to send its request head, in milliseconds. */
export const REQUEST_HEAD_MS = 10_000;

/** How often a peer that waits for an answer is told that it is being worked on, in milliseconds. */
export const INTERIM_MS = 500;

/**
 * Most connections at a time; bounds memory and descriptors. One more is closed at once, which sends containerd
 * upstream and a mirror to another peer. Peers keep up to four each for some seconds.
 */
export const MAX_CONNECTIONS = 2048;

/** A request that has been answered. */
export interface Exchange {
  readonly method: string;
  readonly path: string;
  /** Label of metrics, as in Spegel: `/v2/*`, `/readyz`, `/livez`. */
  readonly handler: string;
  readonly status: number;
  /** Bytes of the body that were sent. */
  readonly bytes: number;
  readonly seconds: number;
  /** True if the whole answer was handed to the client. */
  readonly complete: boolean;
  /** What the client calls itself, if it does. */
  readonly agent?: string;
  /** Value of the request's `Range` header, if it has one. */
  readonly range?: string;
  readonly answer: RegistryAnswer;
}

/** Observer of requests, for metrics. */
export interface ExchangeObserver {
  /** A request came in. */
  started(handler: string): void;
  /**
   * Its answer is about to be sent.
   *
   * @param answer The answer.
   * @param client IP address of the client.
   * @returns Where the bytes of its body are counted, if they are to be.
   */
  sending?(answer: RegistryAnswer, client: string): TransferProgress | undefined;
  /** It was answered. */
  finished(exchange: Exchange): void;
  /** It is over, answered or not; as often as `started`. */
  ended(handler: string): void;
}

/** Options of {@linkcode RegistryServer}. */
export interface RegistryServerOptions {
  readonly registry: Answerer;
  /** Certificate and key, both PEM, of a server that speaks TLS; plain HTTP without it. */
  readonly tls?: CertificateWithKey;
  readonly log: Logger;
  readonly observer?: ExchangeObserver;
  /** Left out where traces are off. */
  readonly tracing?: Tracing;
  readonly sender?: BodySender;
  /** Default: {@linkcode REQUEST_HEAD_MS}. */
  readonly requestHeadMs?: number;
  /** Default: {@linkcode MAX_CONNECTIONS}. */
  readonly maxConnections?: number;
}

/** The registry's HTTP server. */
export class RegistryServer {
  readonly #options: RegistryServerOptions;
  readonly #server: Server;
  readonly #sender: BodySender;
  readonly #turns = new Turns();
  #inFlight = 0;
  /** Set while the server stops. */
  #idle: (() => void) | undefined;

  /**
   * @param options Registry, log and observer.
   */
  constructor(options: RegistryServerOptions) {
    this.#options = options;
    this.#sender = options.sender ?? new BodySender();
    const requestHeadMs = options.requestHeadMs ?? REQUEST_HEAD_MS;
    const settings = {
      maxHeaderSize: MAX_REQUEST_HEAD_BYTES,
      headersTimeout: requestHeadMs,
      connectionsCheckingInterval: requestHeadMs / 2,
      keepAliveTimeout: KEEP_ALIVE_MS,
    };
    const accept: RequestListener = (request, response) => this.#accept(request, response);
    this.#server = options.tls === undefined
      ? createServer(settings, accept)
      : createTlsServer(settings, options.tls, accept);
    this.#server.maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
  }

  /**
   * Starts to listen.
   *
   * @param address Where to.
   * @returns The port.
   * @throws {UnavailableError} If the address cannot be used.
   */
  listen(address: ListenAddress): Promise<number> {
    return listen(this.#server, address);
  }

  /**
   * Stops listening, lets running transfers finish, and ends those that need longer.
   *
   * @param graceMs How long transfers may take, in milliseconds.
   */
  async close(graceMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle = resolve;
    if (this.#inFlight === 0) resolve();
    await closeServer(this.#server, promise, graceMs);
  }

  #accept(incoming: IncomingMessage, response: ServerResponse): void {
    const { socket } = incoming;
    // A client that goes away must not end the process; what it means is decided where bytes are written.
    response.on("error", () => {});
    // A body means nothing to a registry that is only read from, but it stands before the next request.
    incoming.resume();
    this.#inFlight += 1;
    const isAccepted = this.#turns.take(socket, async () => {
      if (response.socket === null) await assignedOrClosed(response, socket);
      // The client may have gone while the request waited for its turn.
      if (!socket.destroyed) await this.#serve(incoming, response);
      this.#inFlight -= 1;
      if (this.#inFlight === 0) this.#idle?.();
    });
    if (isAccepted) return;
    this.#inFlight -= 1;
    socket.destroy();
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedAt = performance.now();
    const request = toRequest(incoming, response);
    const handler = handlerLabel(request?.url.pathname);
    const { observer, tracing, log } = this.#options;
    observer?.started(handler);
    try {
      if (request === undefined) {
        response.writeHead(400, { "Content-Length": "0", "Connection": "close" }).end();
      } else if (tracing === undefined || PROBES.has(handler)) {
        await this.#exchange(incoming, request, response, { startedAt, handler });
      } else {
        const name = spanName(request);
        await tracing.serve(
          name,
          request.header,
          (span) => this.#exchange(incoming, request, response, { startedAt, handler, span }),
        );
      }
    } catch (error) {
      log.error("request failed", { path: request?.url.pathname, error });
      response.destroy();
    } finally {
      observer?.ended(handler);
    }
  }

  async #exchange(
    incoming: IncomingMessage,
    request: RegistryRequest,
    response: ServerResponse,
    { startedAt, handler, span }: {
      readonly startedAt: number;
      readonly handler: string;
      readonly span?: Span;
    },
  ): Promise<void> {
    const { registry, observer, log } = this.#options;
    const { answer, bytes, complete } = await this.#send(
      request,
      response,
      await tellOfWork(request, response, registry.answer(request)),
    );
    const seconds = (performance.now() - startedAt) / 1000;
    const path = request.url.pathname;
    const { status } = answer;
    const { method } = request;
    const agent = request.header("user-agent");
    const range = request.header("range");
    const exchange: Exchange = {
      method,
      path,
      handler,
      status,
      bytes,
      seconds,
      complete,
      answer,
      ...(agent === undefined ? {} : { agent }),
      ...(range === undefined ? {} : { range }),
    };
    span?.set(exchangeAttributes(exchange));
    observer?.finished(exchange);
    logExchange(log, exchange, incoming);
  }

  async #send(
    request: RegistryRequest,
    response: ServerResponse,
    answer: RegistryAnswer,
  ): Promise<{ answer: RegistryAnswer; bytes: number; complete: boolean }> {
    const { status, body } = answer;
    const whole = body instanceof Uint8Array ? body : undefined;
    const reader = body instanceof Uint8Array ? undefined : body;
    // A server that stops wants no further request on the connection.
    const headers = () => this.#idle ? { ...answer.headers, Connection: "close" } : answer.headers;
    const writeHead = () => void response.writeHead(status, headers());
    const { upload } = answer;
    const close = () => {
      upload?.release();
      void reader?.close();
    };
    const progress = this.#options.observer?.sending?.(answer, request.client);
    let bytes = 0;
    const onSent = (count: number) => {
      bytes += count;
      if (progress !== undefined) progress.bytes = bytes;
    };
    let isComplete = false;
    request.signal.addEventListener("abort", close, { once: true });
    try {
      if (reader === undefined) writeHead();
      else await this.#sender.send(response, reader, { writeHead, onSent, slot: upload });
      await this.#sender.end(response, whole);
      if (whole !== undefined) onSent(whole.length);
      isComplete = true;
      return { answer, bytes, complete: true };
    } catch (error) {
      if (!response.headersSent && !request.signal.aborted) {
        const failure = failureAnswer(request, error, answer.facts);
        return await this.#send(request, response, failure);
      }
      // The body is incomplete or wrong: only a broken connection tells the client so.
      response.destroy();
      const facts = { ...answer.facts, error };
      return { answer: { ...answer, facts }, bytes, complete: false };
    } finally {
      request.signal.removeEventListener("abort", close);
      progress?.over(isComplete);
      upload?.release();
      await reader?.close();
    }
  }
}

/**
 * Waits until the connection takes the response, or is closed. What is malformed `node:http` answers by itself, beside
 * the turns; a request behind it has to wait for that, and has nobody to answer to if the connection ends with it.
 */
async function assignedOrClosed(response: ServerResponse, socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => resolve();
  response.once("socket", done);
  socket.once("close", done);
  if (!socket.destroyed) await promise;
  response.off("socket", done);
  socket.off("close", done);
}

function createTlsServer(
  settings: ServerOptions,
  { certificate: cert, key }: CertificateWithKey,
  accept: RequestListener,
): Server {
  // Peers are Kagami's own, which speak TLS 1.3.
  const server = createHttpsServer({
    ...settings,
    cert,
    key,
    minVersion: "TLSv1.3",
    handshakeTimeout: settings.headersTimeout,
  }, accept);
  server.on("secureConnection", (socket) => socket.setNoDelay(true));
  return server;
}

/** A peer may have to wait until the content is verified; it is told that it does not wait in vain. */
async function tellOfWork(
  request: RegistryRequest,
  response: ServerResponse,
  answer: Promise<RegistryAnswer>,
): Promise<RegistryAnswer> {
  if (request.header(INTERIM_HEADER.toLowerCase()) === undefined) return await answer;
  const timer = setInterval(() => {
    if (!response.destroyed) response.writeProcessing();
  }, INTERIM_MS);
  try {
    return await answer;
  } finally {
    clearInterval(timer);
  }
}

const CLIENT_GONE = new ClientGoneError("client closed the connection");

function toRequest(
  incoming: IncomingMessage,
  response: ServerResponse,
): RegistryRequest | undefined {
  const target = incoming.url ?? "";
  // Not parsed relative to a base: a path that begins with two slashes would be taken for a host.
  const url = URL.parse(target.startsWith("/") ? `http://mirror.invalid${target}` : target);
  if (url === null) return undefined;
  const abort = new AbortController();
  // A reason made once: making one for each request costs as much as the rest of the bookkeeping.
  response.once("close", () => {
    // After the whole answer there is nobody left to be told.
    if (!response.writableFinished) abort.abort(CLIENT_GONE);
  });
  return {
    method: incoming.method ?? "",
    url,
    header(name) {
      const value = incoming.headers[name];
      return Array.isArray(value) ? value.join(", ") : value;
    },
    client: incoming.socket.remoteAddress ?? "",
    signal: abort.signal,
  };
}

/** One of few names, whatever is asked for. */
function spanName({ method, url: { pathname } }: RegistryRequest): string {
  const kind = /\/(manifests|blobs|tags|referrers)\//.exec(pathname)?.[1];
  return `${method === "HEAD" ? "HEAD" : "GET"} ${kind ?? "other"}`;
}

function handlerLabel(pathname: string | undefined): string {
  if (pathname !== undefined && PROBES.has(pathname)) return pathname;
  return pathname === "/v2" || pathname?.startsWith("/v2/") ? "/v2/*" : "/*";
}

function logExchange(log: Logger, exchange: Exchange, incoming: IncomingMessage): void {
  const { facts } = exchange.answer;
  if (facts.handler === "readyz" || facts.handler === "livez") return;
  const failed = !exchange.complete && !(facts.error instanceof ClientGoneError);
  if (!failed && !log.enabled("DEBUG")) return;
  log[failed ? "warn" : "debug"](failed ? "answer was broken off" : "request", {
    method: exchange.method,
    path: exchange.path,
    status: exchange.status,
    bytes: exchange.bytes,
    latency: `${(exchange.seconds * 1000).toFixed(1)}ms`,
    ip: incoming.socket.remoteAddress,
    handler: facts.handler,
    registry: facts.path?.registry,
    source: facts.source,
    error: facts.error,
  });
}
