/**
 * Bootstrap from the addresses of a headless service (`BOOTSTRAP_KIND=dns`).
 *
 * @module
 */
import { isIP } from "node:net";
import { UnavailableError } from "../../errors.ts";
import { type ResolveName, resolveName } from "../../net/resolve_name.ts";
import {
  aborted,
  type BootstrapContext,
  type Bootstrapper,
  MAX_BOOTSTRAP_ADDRESSES,
} from "./bootstrapper.ts";

/** Resolves a domain name to the addresses of nodes. */
export class DnsBootstrapper implements Bootstrapper {
  readonly kind = "dns";
  readonly #domain: string;
  readonly #resolve: ResolveName;
  readonly #random: () => number;

  /**
   * @param domain Name of the headless service.
   * @param resolve How to resolve it. Default: the system's resolver.
   * @param random Random number in [0, 1).
   */
  constructor(
    domain: string,
    resolve: ResolveName = resolveName,
    random: () => number = Math.random,
  ) {
    this.#domain = domain;
    this.#resolve = resolve;
    this.#random = random;
  }

  /** @inheritdoc */
  async run(context: BootstrapContext): Promise<void> {
    await aborted(context.signal);
  }

  /** @inheritdoc */
  async peers(signal: AbortSignal): Promise<string[]> {
    let addresses: string[];
    try {
      addresses = await this.#resolve(this.#domain, signal);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new UnavailableError(
        `cannot resolve ${this.#domain}: ${reason}; check that the headless service exists and ` +
          "publishes addresses that are not ready",
        { cause },
      );
    }
    return this.#choose([...new Set(addresses)].sort())
      .map((address) => `/ip${isIP(address)}/${address}`);
  }

  /**
   * Half of them are the same for all nodes, so that these do not form islands. The others are drawn anew each time: a
   * headless service also names nodes of a zone that is down, and the first ones may all be there.
   */
  #choose(sorted: string[]): string[] {
    const chosen = sorted.splice(0, MAX_BOOTSTRAP_ADDRESSES / 2);
    while (chosen.length < MAX_BOOTSTRAP_ADDRESSES && sorted.length > 0) {
      chosen.push(...sorted.splice(Math.floor(this.#random() * sorted.length), 1));
    }
    return chosen;
  }
}
