/**
 * Bootstrap from a list given by the operator (`BOOTSTRAP_KIND=static`).
 *
 * @module
 */
import { isIP } from "node:net";
import { ConfigError } from "../../errors.ts";
import {
  aborted,
  type BootstrapContext,
  type Bootstrapper,
  parseDialable,
} from "./bootstrapper.ts";

/** Yields a fixed list of addresses. */
export class StaticBootstrapper implements Bootstrapper {
  readonly kind = "static";
  readonly #peers: string[];

  /**
   * @param peers Multiaddrs, as Spegel takes them (`/ip4/10.0.0.7/tcp/5001/p2p/12D3…`), or `host[:port]`.
   * @throws {ConfigError} If an entry is neither.
   *
   * @example
   * ```ts
   * new StaticBootstrapper(["10.0.0.7", "[fd00::7]:5001", "/ip4/10.0.0.8/tcp/5001"]);
   * ```
   */
  constructor(peers: readonly string[]) {
    this.#peers = peers.map((peer) => toMultiaddr(peer.trim()));
  }

  /** @inheritdoc */
  async run(context: BootstrapContext): Promise<void> {
    await aborted(context.signal);
  }

  /** @inheritdoc */
  peers(_signal: AbortSignal): Promise<string[]> {
    return Promise.resolve([...this.#peers]);
  }
}

/**
 * Turns an address as operators write it into a multiaddr.
 *
 * @param text Multiaddr, IP address, host name, or one of the latter two with a port.
 * @returns The multiaddr, without a port where none was given.
 * @throws {ConfigError} If the text is none of these.
 */
export function toMultiaddr(text: string): string {
  if (text.startsWith("/")) {
    const address = parseDialable(text);
    if (address !== undefined) return address.toString();
    throw new ConfigError(
      `bootstrap peer ${JSON.stringify(text)} is not a multiaddr of a host, such as /ip4/10.0.0.7`,
    );
  }
  if (isIP(text) === 6) return `/ip6/${text}`;
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3];
  const bracketed = match?.[1] !== undefined;
  if (
    host === undefined || (port !== undefined && (Number(port) > 65_535 || Number(port) === 0)) ||
    (bracketed && isIP(host) !== 6) ||
    (isIP(host) === 0 && !/^[A-Za-z0-9]([A-Za-z0-9.-]*)$/.test(host))
  ) {
    throw new ConfigError(
      `bootstrap peer ${JSON.stringify(text)} must be a multiaddr or <host>[:<port>]`,
    );
  }
  const kind = isIP(host) === 4 ? "ip4" : isIP(host) === 6 ? "ip6" : "dns";
  return `/${kind}/${host}${port === undefined ? "" : `/tcp/${port}`}`;
}
