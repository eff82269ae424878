/**
 * Serves the metrics, and what else is for operators, on an address of their own.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { closeServer, listen, type ListenAddress } from "../net/listen.ts";
import type { Logger } from "./logger.ts";
import type { Metrics } from "./metrics.ts";

/** Answer of a {@linkcode Route}. */
export interface RouteAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
}

/**
 * Answers a GET.
 *
 * @param url Path and query; its host means nothing.
 * @param signal Aborted when the client is gone.
 */
export type Route = (url: URL, signal: AbortSignal) => Promise<RouteAnswer>;

/** HTTP server with the path `/metrics`, and further ones. */
export class MetricsServer {
  readonly #server: Server;

  /**
   * @param metrics What to serve.
   * @param log Log.
   * @param routes What there is besides, by path.
   */
  constructor(metrics: Metrics, log: Logger, routes: Readonly<Record<string, Route>> = {}) {
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
  routes: ReadonlyMap<string, Route>,
): Promise<void> {
  const target = request.url ?? "";
  const route = routes.get(target.split("?")[0] ?? "");
  const url = URL.parse(`http://metrics.invalid${target}`);
  const isRead = request.method === "GET" || request.method === "HEAD";
  if (route === undefined || url === null || !isRead) {
    response.writeHead(404, { "Content-Length": "0" }).end();
    return;
  }
  const abort = new AbortController();
  response.once("close", () => abort.abort());
  const { status, contentType, text } = await route(url, abort.signal);
  const body = new TextEncoder().encode(text);
  response.writeHead(status, { "Content-Type": contentType, "Content-Length": body.length });
  response.end(request.method === "HEAD" ? undefined : body);
}
