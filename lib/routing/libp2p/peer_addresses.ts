/**
 * IP addresses of peers, from multiaddrs.
 *
 * @module
 */
import type { Multiaddr } from "@multiformats/multiaddr";
import type { Connection } from "@libp2p/interface";

const CODE_IP4 = 4;
const CODE_IP6 = 41;
const CODE_P2P = 421;

/**
 * The IP address of a multiaddr.
 *
 * @param address The multiaddr.
 * @returns IPv4 or IPv6 literal; an IPv4 address mapped into IPv6 as IPv4; undefined if there is none.
 */
export function ipOf(address: Multiaddr): string | undefined {
  const first = address.getComponents().find(({ code }) => code === CODE_IP4 || code === CODE_IP6);
  return first?.value === undefined ? undefined : unmapped(first.value);
}

/**
 * The IP addresses of multiaddrs.
 *
 * @param addresses The multiaddrs.
 * @returns Each once.
 */
export function ipsOf(addresses: readonly Multiaddr[]): string[] {
  return [...new Set(addresses.map(ipOf).filter((ip) => ip !== undefined))];
}

/** Multiaddrs write the IPv4 address that is mapped into an IPv6 address in hexadecimal: `::ffff:a00:7`. */
function unmapped(ip: string): string {
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(ip) ?? [];
  if (high === undefined || low === undefined) return ip;
  return [high, low].map((word) => parseInt(word, 16))
    .flatMap((word) => [word >> 8, word & 0xff])
    .join(".");
}

/**
 * Says whether an address reaches only the node itself.
 *
 * @param ip IPv4 or IPv6 literal.
 * @returns True for loopback.
 */
export function isLoopback(ip: string): boolean {
  return ip === "::1" || ip.startsWith("127.");
}

/**
 * Says whether an address is of IPv6 and for one link only. It is of no use without its zone, which multiaddrs do not
 * carry.
 *
 * @param ip IPv4 or IPv6 literal.
 * @returns True for link-local addresses.
 */
export function isLinkLocal(ip: string): boolean {
  return /^fe[89ab]/i.test(ip);
}

/**
 * Leaves out what is not to be announced: loopback, unless there is nothing else.
 *
 * @param addresses Multiaddrs of this node.
 * @returns Those to announce.
 */
export function announceable(addresses: Multiaddr[]): Multiaddr[] {
  const others = addresses.filter((address) => {
    const ip = ipOf(address);
    return ip === undefined || (!isLoopback(ip) && !isLinkLocal(ip));
  });
  return others.length > 0 ? others : addresses;
}

/**
 * Takes the peer ID off a multiaddr, as messages of the DHT carry addresses without it.
 *
 * @param address The multiaddr.
 * @returns It, without `/p2p/…`.
 */
export function withoutPeerId(address: Multiaddr): Multiaddr {
  return address.decapsulateCode(CODE_P2P);
}

/**
 * The peer ID of a multiaddr.
 *
 * @param address The multiaddr.
 * @returns Its text, or undefined if there is none.
 */
export function peerIdOf(address: Multiaddr): string | undefined {
  return address.getComponents().findLast(({ code }) => code === CODE_P2P)?.value;
}

/**
 * Most IP addresses of a peer that it only announces, without a connection that confirms them: each may be tried in
 * vain, and a node can have hundreds.
 */
export const MAX_ANNOUNCED_ADDRESSES = 8;

/**
 * IP addresses of a peer, best first: where a connection of ours reached it; where it connected from, if it
 * announces that; what it announces; where it connected from otherwise (which may be a NAT's address).
 *
 * @param connections Open connections to the peer.
 * @param announced Multiaddrs it announces.
 * @returns IP addresses, loopback and link-local only if there are no others.
 */
export function rankAddresses(
  connections: readonly Pick<Connection, "direction" | "remoteAddr">[],
  announced: readonly Multiaddr[],
): readonly string[] {
  const announcedIps = announced.map(ipOf).filter((ip) => ip !== undefined);
  const reached: string[] = [];
  const cameFrom: string[] = [];
  for (const { direction, remoteAddr } of connections) {
    const ip = ipOf(remoteAddr);
    if (ip === undefined) continue;
    (direction === "outbound" ? reached : cameFrom).push(ip);
  }
  const confirmed = cameFrom.filter((ip) => announcedIps.includes(ip));
  const told = preferUsable(announcedIps).slice(0, MAX_ANNOUNCED_ADDRESSES);
  return preferUsable([...new Set([...reached, ...confirmed, ...told, ...cameFrom])]);
}

/** Those that are neither loopback nor link-local; all, if there are no others. */
function preferUsable(ips: readonly string[]): readonly string[] {
  const usable = ips.filter((ip) => !isLoopback(ip) && !isLinkLocal(ip));
  return usable.length > 0 ? usable : ips;
}
