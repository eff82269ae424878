/**
 * A registry of a test.
 *
 * @module
 */
import * as http from "node:http";
import * as https from "node:https";
import type { AddressInfo } from "node:net";
import { SERVER } from "../support/tls_certificates.ts";

/** A running registry that answers as a test says. */
export class TestRegistry implements AsyncDisposable {
  /** What it was asked. */
  readonly requests: http.IncomingMessage[] = [];
  readonly #server: http.Server;
  #port = 0;

  private constructor(handle: http.RequestListener, readonly isTls: boolean) {
    const listener: http.RequestListener = (request, response) => {
      this.requests.push(request);
      handle(request, response);
    };
    this.#server = isTls ? https.createServer(SERVER, listener) : http.createServer(listener);
  }

  /** Starts one on a free port. */
  static async start(handle: http.RequestListener, isTls = false): Promise<TestRegistry> {
    const registry = new TestRegistry(handle, isTls);
    await new Promise<void>((resolve) => registry.#server.listen(0, "127.0.0.1", resolve));
    registry.#port = (registry.#server.address() as AddressInfo).port;
    return registry;
  }

  /** Host and port; what they were, once it has ended. */
  get authority(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}

/** Answers every request the same. */
export function answering(
  status: number,
  headers: http.OutgoingHttpHeaders = {},
): http.RequestListener {
  return (_request, response) => void response.writeHead(status, headers).end();
}
