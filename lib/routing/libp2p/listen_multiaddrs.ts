/**
 * Listen addresses as multiaddrs.
 *
 * @module
 */
import { isIP } from "node:net";
import { ConfigError } from "../../errors.ts";
import type { ListenAddress } from "../../net/listen.ts";
import { isLinkLocal, isLoopback } from "./peer_addresses.ts";

/**
 * Multiaddrs to listen on.
 *
 * Without a host these are all addresses of the machine. One port cannot be bound on `0.0.0.0` and on `::` (Deno knows
 * no sockets of IPv6 alone), and of `::` libp2p announces the addresses of IPv6 only. So IPv6 addresses are bound one by
 * one, except where there is nothing else.
 *
 * @param address Where to listen.
 * @param suffix What follows the port, e.g. `/ws`.
 * @param own IP addresses of the machine. Default: {@linkcode ownAddresses}.
 * @returns One multiaddr or more.
 * @throws {ConfigError} If the host is a name: peers need to know the addresses.
 */
export function listenMultiaddrs(
  address: ListenAddress,
  suffix = "",
  own: readonly string[] = ownAddresses(),
): string[] {
  const { host, port } = address;
  const multiaddr = (ip: string) => `/ip${isIP(ip)}/${ip}/tcp/${port}${suffix}`;
  if (host === undefined) {
    const ipv6 = own.filter((ip) => isIP(ip) === 6);
    const isIpv6Only = ipv6.length > 0 && ipv6.length === own.length;
    return isIpv6Only ? [multiaddr("::")] : ["0.0.0.0", ...ipv6].map(multiaddr);
  }
  if (isIP(host) === 0) {
    throw new ConfigError(`the router listens on IP addresses, not on ${JSON.stringify(host)}`);
  }
  return [multiaddr(host)];
}

/** @returns IP addresses of the machine by which others can reach it. */
export function ownAddresses(): string[] {
  return Deno.networkInterfaces().map(({ address }) => address)
    .filter((ip) => !isLoopback(ip) && !isLinkLocal(ip));
}
