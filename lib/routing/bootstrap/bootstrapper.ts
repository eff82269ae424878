/**
 * How a node finds the first peers of its cluster.
 *
 * @module
 */
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";

/** What a bootstrapper gets to publish this node with. */
export interface BootstrapContext {
  /** Multiaddrs of this node as they are now, each ending in `/p2p/<peer ID>`. */
  self(): readonly string[];
  /** Ends {@linkcode Bootstrapper.run}. */
  readonly signal: AbortSignal;
}

/** Tells addresses of nodes to start from. Implementations: static, dns, http, kubernetes. */
export interface Bootstrapper {
  /** Value of `BOOTSTRAP_KIND`. */
  readonly kind: string;

  /**
   * Publishes this node's own addresses where that is needed.
   *
   * @param context Own addresses, and the signal that ends it.
   * @returns Once the signal is aborted and everything is freed.
   */
  run(context: BootstrapContext): Promise<void>;

  /**
   * Tells the addresses to dial. Asked again and again, for the cluster changes.
   *
   * @param signal Ends the request.
   * @returns Multiaddrs such as `/ip4/10.0.0.7/tcp/5001/p2p/12D3…`. Where the peer ID is left out, it is learnt
   * while dialling; where the port is left out (`/ip4/10.0.0.7`), it is the router port of this node. May
   * hold this node itself.
   * @throws {UnavailableError} If there is no answer now.
   */
  peers(signal: AbortSignal): Promise<string[]>;
}

/** Protocols that a multiaddr to dial begins with. */
const HOST_PROTOCOLS: readonly string[] = ["ip4", "ip6", "dns", "dns4", "dns6"];

/**
 * Parses a multiaddr to dial.
 *
 * @param text The text.
 * @returns The multiaddr, which begins with a host; undefined if it is none.
 */
export function parseDialable(text: string): Multiaddr | undefined {
  try {
    const address = multiaddr(text);
    return HOST_PROTOCOLS.includes(address.getComponents()[0]?.name ?? "") ? address : undefined;
  } catch {
    return undefined;
  }
}

/** Most addresses that one answer of a bootstrapper yields; peers share the rest among themselves. */
export const MAX_BOOTSTRAP_ADDRESSES = 8;

/**
 * Waits until a signal is aborted.
 *
 * @param signal What to wait for.
 * @returns Once aborted.
 */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
