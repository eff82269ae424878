/**
 * Bootstrap through a Kubernetes Lease (`BOOTSTRAP_KIND=kubernetes`): one node holds the Lease and writes its addresses
 * into it, the others start from that node, which shares its peers.
 *
 * @module
 */
import { UnavailableError } from "../../errors.ts";
import type { Logger } from "../../observability/logger.ts";
import { type Sleep, sleep } from "../../sleep.ts";
import {
  type BootstrapContext,
  type Bootstrapper,
  MAX_BOOTSTRAP_ADDRESSES,
  parseDialable,
} from "./bootstrapper.ts";
import type { LeaseClient, LeaseRecord } from "./lease_client.ts";

/** How long a leader that is gone keeps the Lease, in seconds. */
export const LEASE_DURATION_SECONDS = 30;

/** How often the leader renews, in milliseconds. */
export const RENEW_INTERVAL_MS = 10_000;

/** How often the others look whether the Lease is free, in milliseconds. */
export const OBSERVE_INTERVAL_MS = 15_000;

/** Time limit of one request to the API server, in milliseconds. */
export const LEASE_REQUEST_TIMEOUT_MS = 5000;

/** Options of {@linkcode KubernetesBootstrapper}. */
export interface KubernetesBootstrapperOptions {
  /** Access to the Lease; closed when {@linkcode KubernetesBootstrapper.run} ends. */
  readonly client: LeaseClient;
  readonly log: Logger;
  /** Monotonic clock in milliseconds. Default: the process's. */
  readonly now?: () => number;
  /** Waits by the same clock. */
  readonly sleep?: Sleep;
}

/** Takes part in the election of the leader, and tells its addresses. */
export class KubernetesBootstrapper implements Bootstrapper {
  readonly kind = "kubernetes";
  readonly #options: KubernetesBootstrapperOptions;
  readonly #now: () => number;
  readonly #sleep: Sleep;
  /** The record as seen last, and since when it is unchanged on this node's own clock. */
  #observed: { readonly version: string; readonly since: number } | undefined;

  /**
   * @param options Access to the Lease, log and clock.
   */
  constructor(options: KubernetesBootstrapperOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#sleep = options.sleep ?? sleep;
  }

  /** @inheritdoc */
  async run(context: BootstrapContext): Promise<void> {
    const { log } = this.#options;
    let leads = false;
    let lastFailure: string | undefined;
    while (!context.signal.aborted) {
      try {
        const led: boolean = leads;
        leads = await this.#takePart(context);
        if (leads !== led) {
          log.info(leads ? "leads the bootstrap" : "no longer leads the bootstrap");
        }
        if (lastFailure !== undefined) log.info("takes part in the election again");
        lastFailure = undefined;
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        if (!context.signal.aborted && message !== lastFailure) {
          log.error("cannot take part in the election of the bootstrap leader", { error });
        }
        lastFailure = message;
      }
      // Not all at the same time.
      const interval = leads ? RENEW_INTERVAL_MS : OBSERVE_INTERVAL_MS;
      await this.#sleep(interval * (0.8 + 0.4 * Math.random()), context.signal);
    }
    if (leads) await this.#release(context);
    this.#options.client[Symbol.dispose]();
  }

  /** @inheritdoc */
  async peers(signal: AbortSignal): Promise<string[]> {
    try {
      const record = await this.#options.client.read(bounded(signal));
      return (record?.addresses ?? []).filter((address) => parseDialable(address) !== undefined)
        .slice(0, MAX_BOOTSTRAP_ADDRESSES);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new UnavailableError(
        `cannot read the bootstrap Lease: ${reason}; check the service account's role`,
        { cause },
      );
    }
  }

  /**
   * One round of the election.
   *
   * @returns True if this node leads.
   */
  async #takePart(context: BootstrapContext): Promise<boolean> {
    const self = peerIdOf(context.self());
    if (self === "") return false; // Without an address there is nothing to lead to.
    const { client } = this.#options;
    const signal = bounded(context.signal);
    const current = await client.read(signal);
    if (current !== undefined && current.holder !== self && !this.#isFree(current)) return false;
    const record = {
      holder: self,
      addresses: context.self(),
      durationSeconds: LEASE_DURATION_SECONDS,
      transitions: (current?.transitions ?? 0) + (current?.holder === self ? 0 : 1),
    };
    return await client.write(record, current?.version, signal) !== undefined;
  }

  /**
   * Whether the leader is gone. Measured by the time that the record stayed unchanged here, so that clocks of nodes
   * may differ.
   */
  #isFree(record: LeaseRecord): boolean {
    if (record.holder === "") return true;
    if (this.#observed?.version !== record.version) {
      this.#observed = { version: record.version, since: this.#now() };
      return false;
    }
    return this.#now() - this.#observed.since > record.durationSeconds * 1000;
  }

  /** Leaves the Lease to the next one at once. */
  async #release(context: BootstrapContext): Promise<void> {
    const { client, log } = this.#options;
    try {
      const signal = AbortSignal.timeout(LEASE_REQUEST_TIMEOUT_MS);
      const current = await client.read(signal);
      if (current?.holder !== peerIdOf(context.self())) return;
      const { addresses, durationSeconds, transitions, version } = current;
      const record = { holder: "", addresses, durationSeconds, transitions };
      await client.write(record, version, signal);
    } catch (error) {
      log.debug("could not release the bootstrap Lease; it expires", { error });
    }
  }
}

function bounded(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(LEASE_REQUEST_TIMEOUT_MS)]);
}

function peerIdOf(self: readonly string[]): string {
  return self[0]?.split("/p2p/")[1] ?? "";
}
