/**
 * Listen addresses as multiaddrs.
 *
 * @module
 */
import { isIP } from "node:net";
import { ConfigError } from "../../errors.ts";
import { hasIpv6 } from "../../net/ipv6.ts";
import type { ListenAddress } from "../../net/listen.ts";

/**
 * Multiaddrs to listen on.
 *
 * @param address Where to listen; no host means IPv4 and, where there is one, IPv6.
 * @param suffix What follows the port, e.g. `/ws`.
 * @param ipv6 Whether the machine has IPv6.
 * @returns One or two multiaddrs.
 * @throws {ConfigError} If the host is a name: peers need to know the addresses.
 */
export function listenMultiaddrs(
  address: ListenAddress,
  suffix = "",
  ipv6: boolean = hasIpv6(),
): string[] {
  const { host, port } = address;
  if (host === undefined) {
    const all = [`/ip4/0.0.0.0/tcp/${port}${suffix}`];
    if (ipv6) all.push(`/ip6/::/tcp/${port}${suffix}`);
    return all;
  }
  const family = isIP(host);
  if (family === 0) {
    throw new ConfigError(`the router listens on IP addresses, not on ${JSON.stringify(host)}`);
  }
  return [`/ip${family}/${host}/tcp/${port}${suffix}`];
}
