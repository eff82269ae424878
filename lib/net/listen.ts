/**
 * Listening on an address as Go writes it: `:5000`, `127.0.0.1:5000`, `[::1]:5000`.
 *
 * @module
 */
import type { Server } from "node:http";
import { ConfigError, UnavailableError } from "../errors.ts";

/** A listen address. */
export interface ListenAddress {
  /** IP address or host name without brackets; undefined for all addresses of the machine. */
  readonly host: string | undefined;
  /** TCP port, 0 for any free one. */
  readonly port: number;
}

/**
 * Parses a listen address.
 *
 * @param text `[host]:port`; IPv6 in brackets.
 * @returns Its parts.
 * @throws {ConfigError} If it is malformed.
 *
 * @example
 * ```ts
 * parseListenAddress(":5000"); // { host: undefined, port: 5000 }
 * ```
 */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new ConfigError(`address ${JSON.stringify(text)} is not [host]:port`);
  }
  return { host: match[1] ?? (match[2] || undefined), port };
}

/** All addresses of the machine: IPv6 and IPv4 on one socket, else IPv4 alone. */
const WILDCARDS = ["::", "0.0.0.0"] as const;

/**
 * Lets a server listen.
 *
 * @param server A server that does not listen yet.
 * @param address Where to.
 * @returns The port, which matters if it was 0.
 * @throws {UnavailableError} If the address cannot be used, e.g. because it is in use.
 */
export async function listen(server: Server, address: ListenAddress): Promise<number> {
  const hosts = address.host === undefined ? WILDCARDS : [address.host];
  let failure: unknown;
  for (const host of hosts) {
    try {
      return await listenOn(server, host, address.port);
    } catch (error) {
      failure = error;
      if ((error as { code?: string }).code === "EADDRINUSE") break;
    }
  }
  const reason = failure instanceof Error ? failure.message : String(failure);
  const where = `${address.host ?? ""}:${address.port}`;
  throw new UnavailableError(`cannot listen on ${where}: ${reason}`, { cause: failure });
}

function listenOn(server: Server, host: string, port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.once("error", reject);
  server.listen(port, host, () => {
    server.off("error", reject);
    const bound = server.address();
    resolve(typeof bound === "object" && bound !== null ? bound.port : port);
  });
  return promise;
}

/**
 * Stops a server: no new connections, idle ones closed, and the rest after a grace time.
 *
 * @param server A listening server.
 * @param idle Resolves when no request is under way any more.
 * @param graceMs How long to wait for that, in milliseconds.
 */
export async function closeServer(
  server: Server,
  idle: Promise<void>,
  graceMs: number,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const { promise: expired, resolve: expire } = Promise.withResolvers<void>();
  const timer = setTimeout(expire, graceMs);
  await Promise.race([idle, expired]);
  clearTimeout(timer);
  server.closeAllConnections();
  await closed;
}
