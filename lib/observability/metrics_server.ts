/**
 * Serves the metrics on an address of their own.
 *
 * @module
 */
import { createServer, type Server } from "node:http";
import { closeServer, listen, type ListenAddress } from "../net/listen.ts";
import type { Metrics } from "./metrics.ts";

/** HTTP server with the one path `/metrics`. */
export class MetricsServer {
  readonly #server: Server;

  constructor(metrics: Metrics) {
    this.#server = createServer(async (request, response) => {
      const path = request.url?.split("?")[0];
      if (path !== "/metrics" || (request.method !== "GET" && request.method !== "HEAD")) {
        response.writeHead(404, { "Content-Length": "0" }).end();
        return;
      }
      const { contentType, text } = await metrics.render();
      const body = new TextEncoder().encode(text);
      response.writeHead(200, { "Content-Type": contentType, "Content-Length": body.length });
      response.end(request.method === "HEAD" ? undefined : body);
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
