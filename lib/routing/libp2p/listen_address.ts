/**
 * `host:port` of a listener as multiaddrs.
 *
 * @module
 */
import { isIP } from "node:net";
import { ConfigError } from "../../errors.ts";

/** A listener's address, taken apart. */
export interface ListenAddress {
  /** IP address without brackets; empty means all interfaces. */
  readonly host: string;
  readonly port: number;
}

/**
 * Parses `host:port`.
 *
 * @param text `:5001`, `10.0.0.7:5001` or `[fd00::7]:5001`.
 * @returns Host and port.
 * @throws {ConfigError} If the text is not of that form.
 */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  const validHost = match?.[1] === undefined ? host === "" || isIP(host) === 4 : isIP(host) === 6;
  if (match === null || !validHost || port > 65_535) {
    throw new ConfigError(`listen address ${JSON.stringify(text)} must be [<IP address>]:<port>`);
  }
  return { host, port };
}

/**
 * Says whether the machine has IPv6.
 *
 * @returns True if a socket can listen on IPv6.
 */
export function hasIpv6(): boolean {
  try {
    Deno.listen({ hostname: "::", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

/**
 * Multiaddrs to listen on.
 *
 * @param address Where to listen; an empty host means IPv4 and, where there is one, IPv6.
 * @param suffix What follows the port, e.g. `/ws`.
 * @param ipv6 Whether the machine has IPv6.
 * @returns One or two multiaddrs.
 */
export function listenMultiaddrs(
  address: ListenAddress,
  suffix = "",
  ipv6: boolean = hasIpv6(),
): string[] {
  const { host, port } = address;
  if (host !== "") return [`/ip${isIP(host)}/${host}/tcp/${port}${suffix}`];
  const all = [`/ip4/0.0.0.0/tcp/${port}${suffix}`];
  if (ipv6) all.push(`/ip6/::/tcp/${port}${suffix}`);
  return all;
}
