/**
 * Serves the metrics on an address of their own.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { closeServer, listen, type ListenAddress } from "../net/listen.ts";
import type { Logger } from "./logger.ts";
import type { Metrics } from "./metrics.ts";

/** HTTP server with the one path `/metrics`. */
export class MetricsServer {
  readonly #server: Server;

  /**
   * @param metrics What to serve.
   * @param log Log.
   */
  constructor(metrics: Metrics, log: Logger) {
    this.#server = createServer((request, response) => {
      // A scraper that goes away must not end the process.
      response.on("error", () => {});
      serve(request, response, metrics).catch((error) => {
        log.error("metrics cannot be served", { error });
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

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  metrics: Metrics,
): Promise<void> {
  const path = request.url?.split("?")[0];
  if (path !== "/metrics" || (request.method !== "GET" && request.method !== "HEAD")) {
    response.writeHead(404, { "Content-Length": "0" }).end();
    return;
  }
  const { contentType, text } = await metrics.render();
  const body = new TextEncoder().encode(text);
  response.writeHead(200, { "Content-Type": contentType, "Content-Length": body.length });
  response.end(request.method === "HEAD" ? undefined : body);
}
