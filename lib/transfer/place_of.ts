/**
 * How a peer is called in what people read.
 *
 * @module
 */
import type { Peer } from "../routing/router.ts";
import { hostAndPort } from "./http_client.ts";

/**
 * @param peer A peer.
 * @returns `host:port` of its registry at its best address.
 *
 * @example
 * ```ts
 * placeOf({ id: "12D3…", addresses: ["fd00::2"], registryPort: 5000 }); // "[fd00::2]:5000"
 * ```
 */
export function placeOf(
  { addresses, registryPort }: Pick<Peer, "addresses" | "registryPort">,
): string {
  return hostAndPort(addresses[0] ?? "?", registryPort);
}
