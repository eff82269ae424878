/**
 * Serves the metrics, and what else is for operators, on an address of their own.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { closeServer, listen, type ListenAddress } from "../net/listen.ts";
import type { Logger } from "./logger.ts";
import type { Metrics } from "./metrics.ts";

/** Largest body of a request, in bytes. */
export const MAX_POST_BYTES = 4096;

/** Time for a client to send a body, in milliseconds. */
export const POST_BODY_MS = 10_000;

/** Answer of a {@linkcode Route}. */
export interface RouteAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
  /** Further headers. */
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Answers a GET.
 *
 * @param url Path and query; its host means nothing.
 * @param signal Aborted when the client is gone.
 */
export type Route = (url: URL, signal: AbortSignal) => Promise<RouteAnswer>;

/** A POST. */
export interface PostRequest {
  /** @returns Value of a header, given its lower-case name. */
  header(name: string): string | undefined;
  readonly body: string;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

/** What answers a path that is posted to. */
export interface PostRoute {
  /**
   * Answers a POST.
   *
   * @param request The request.
   */
  post(request: PostRequest): Promise<RouteAnswer>;
}

/** Paths, and what answers them. */
export type Routes = Readonly<Record<string, Route | PostRoute>>;

/** On all answers: what is told changes all the time, and is what its type says. */
const COMMON_HEADERS = {
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
} as const;

/** HTTP server with the path `/metrics`, and further ones. */
export class MetricsServer {
  readonly #server: Server;

  /**
   * @param metrics What to serve.
   * @param log Log.
   * @param routes What there is besides, by path.
   */
  constructor(metrics: Metrics, log: Logger, routes: Routes = {}) {
    const all = new Map([...Object.entries(routes), ["/metrics", metricsRoute(metrics)] as const]);
    this.#server = createServer((request, response) => {
      // A scraper that goes away must not end the process.
      response.on("error", () => {});
      serve(request, response, all).catch((error) => {
        log.error("metrics cannot be served", { path: request.url, error });
        response.destroy();
      });
    });
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

  /** Stops at once. */
  close(): Promise<void> {
    return closeServer(this.#server, Promise.resolve(), 0);
  }
}

function metricsRoute(metrics: Metrics): Route {
  return async () => ({ status: 200, ...await metrics.render() });
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  routes: ReadonlyMap<string, Route | PostRoute>,
): Promise<void> {
  const target = request.url ?? "";
  const route = routes.get(target.split("?")[0] ?? "");
  const url = URL.parse(`http://metrics.invalid${target}`);
  if (route === undefined || url === null) return end(response, 404);
  const abort = new AbortController();
  response.once("close", () => abort.abort());
  if (typeof route === "function") {
    if (request.method !== "GET" && request.method !== "HEAD") return end(response, 404);
    return send(request, response, await route(url, abort.signal));
  }
  if (request.method !== "POST") return end(response, 405, { Allow: "POST" });
  const body = await bodyOf(request);
  if (body === undefined) return end(response, 413, { Connection: "close" });
  const header = (name: string) => {
    const value = request.headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  };
  send(request, response, await route.post({ header, body, signal: abort.signal }));
}

function send(request: IncomingMessage, response: ServerResponse, answer: RouteAnswer): void {
  const { status, contentType, text, headers = {} } = answer;
  const body = new TextEncoder().encode(text);
  response.writeHead(status, {
    ...COMMON_HEADERS,
    ...headers,
    "Content-Type": contentType,
    "Content-Length": body.length,
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function end(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { ...headers, "Content-Length": "0" }).end();
}

/** Undefined if it is too large, or does not come: a client that does not send it is cut off. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const timer = setTimeout(() => request.destroy(), POST_BODY_MS);
  try {
    const decoder = new TextDecoder();
    let text = "";
    let length = 0;
    for await (const bytes of request as AsyncIterable<Uint8Array>) {
      length += bytes.length;
      if (length > MAX_POST_BYTES) return undefined;
      text += decoder.decode(bytes, { stream: true });
    }
    return text + decoder.decode();
  } catch {
    return undefined; // The client is gone, or was cut off.
  } finally {
    clearTimeout(timer);
  }
}
