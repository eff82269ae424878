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

  /**
   * @param domain Name of the headless service.
   * @param resolve How to resolve it. Default: the system's resolver.
   */
  constructor(domain: string, resolve: ResolveName = resolveName) {
    this.#domain = domain;
    this.#resolve = resolve;
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
    // Sorted, so that all nodes start from the same few and do not form islands.
    return [...new Set(addresses)].sort().slice(0, MAX_BOOTSTRAP_ADDRESSES)
      .map((address) => `/ip${isIP(address)}/${address}`);
  }
}
