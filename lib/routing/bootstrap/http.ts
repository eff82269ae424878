/**
 * Bootstrap from a peer that tells its addresses over HTTP (`BOOTSTRAP_KIND=http`). Format of Spegel: `GET /id` answers
 * `{"ID": "12D3…", "Addrs": ["/ip4/…/tcp/5001"]}`.
 *
 * @module
 */
import { createServer } from "node:http";
import { peerIdFromString } from "@libp2p/peer-id";
import { UnavailableError } from "../../errors.ts";
import { closeServer, listen, type ListenAddress } from "../../net/listen.ts";
import {
  aborted,
  type BootstrapContext,
  type Bootstrapper,
  MAX_BOOTSTRAP_ADDRESSES,
  parseDialable,
} from "./bootstrapper.ts";

/** Time limit of the request, in milliseconds. */
export const HTTP_BOOTSTRAP_TIMEOUT_MS = 3000;

/** Largest answer that is taken, in bytes. */
export const MAX_HTTP_BOOTSTRAP_BYTES = 64 * 1024;

/** Options of {@linkcode HttpBootstrapper}. */
export interface HttpBootstrapperOptions {
  /** Where this node serves its own addresses; left out, it does not. */
  readonly addr?: ListenAddress;
  /** URL of the peer to ask, without `/id`, e.g. `http://bootstrap:5002`; left out, the others come to this node. */
  readonly peer?: string;
}

/** Asks a peer over HTTP, and tells this node's own addresses. */
export class HttpBootstrapper implements Bootstrapper {
  readonly kind = "http";
  readonly #options: HttpBootstrapperOptions;

  /**
   * @param options Whom to ask, and where to answer.
   */
  constructor(options: HttpBootstrapperOptions) {
    this.#options = options;
  }

  /** @inheritdoc */
  async run(context: BootstrapContext): Promise<void> {
    const { addr } = this.#options;
    if (addr === undefined) return await aborted(context.signal);
    const server = createServer((request, response) => {
      if (request.url !== "/id" || request.method !== "GET") {
        response.writeHead(404, { "Content-Length": "0" }).end();
        return;
      }
      const body = new TextEncoder().encode(JSON.stringify(addressInfo(context.self())));
      response.writeHead(200, {
        "Content-Type": "application/json",
        "Content-Length": body.length,
      }).end(body);
    });
    await listen(server, addr);
    await aborted(context.signal);
    await closeServer(server, Promise.resolve(), 0);
  }

  /** @inheritdoc */
  async peers(signal: AbortSignal): Promise<string[]> {
    const { peer } = this.#options;
    if (peer === undefined) return [];
    const url = `${peer.replace(/\/+$/, "")}/id`;
    try {
      const response = await fetch(url, {
        redirect: "error",
        signal: AbortSignal.any([signal, AbortSignal.timeout(HTTP_BOOTSTRAP_TIMEOUT_MS)]),
      });
      if (!response.ok) {
        await response.body?.cancel();
        throw new Error(`status ${response.status}`);
      }
      return parseAddressInfo(await readText(response));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new UnavailableError(`cannot bootstrap from ${url}: ${reason}`, { cause });
    }
  }
}

/** Go's `peer.AddrInfo` as JSON. */
function addressInfo(self: readonly string[]): { ID: string; Addrs: string[] } {
  const separator = "/p2p/";
  return {
    ID: self[0]?.split(separator)[1] ?? "",
    Addrs: self.map((address) => address.split(separator)[0] ?? ""),
  };
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  // Leaving the loop early cancels the rest.
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > MAX_HTTP_BOOTSTRAP_BYTES) throw new Error("answer is too long");
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function parseAddressInfo(text: string): string[] {
  const info: unknown = JSON.parse(text);
  const { ID, Addrs } = (info ?? {}) as { ID?: unknown; Addrs?: unknown };
  if (typeof ID !== "string" || !Array.isArray(Addrs)) {
    throw new Error("answer has no ID and Addrs");
  }
  const id = peerIdFromString(ID).toString();
  // One of a kind that is not known here must not spoil the others.
  const addresses = Addrs.map((address) => parseDialable(`${address}/p2p/${id}`)?.toString())
    .filter((address) => address !== undefined);
  if (addresses.length === 0) throw new Error("answer has no address that can be used");
  return addresses.slice(0, MAX_BOOTSTRAP_ADDRESSES);
}
