/**
 * How long peers take to answer. They are asked only while somebody looks.
 *
 * @module
 */
import type { Peer } from "../routing/router.ts";
import { hostAndPort } from "../transfer/http_client.ts";
import type { Probe } from "./node_activity.ts";

/** Time from one round to the next, in milliseconds. */
export const PROBE_INTERVAL_MS = 10_000;

/** Most peers that are asked in a round. */
export const MAX_PROBED_PEERS = 64;

/** Peers that are asked at the same time. */
export const PROBES_AT_ONCE = 8;

/** Answers a GET with its status and the time that it took; rejects if there is no answer in time. */
export type ProbeAsker = (
  url: string,
) => Promise<{ readonly status: number; readonly milliseconds: number }>;

interface Result extends Omit<Probe, "agoMs"> {
  readonly at: number;
}

/** Asks peers, and remembers what they answered. */
export class PeerProbes {
  readonly #ask: ProbeAsker;
  readonly #now: () => number;
  #results = new Map<string, Result>();
  #startedAt = -Infinity;
  #isUnderWay = false;

  /**
   * @param ask Asks.
   * @param now Monotonic clock in milliseconds.
   */
  constructor(ask: ProbeAsker, now: () => number) {
    this.#ask = ask;
    this.#now = now;
  }

  /**
   * Tells what is known, and asks anew in the background if that is old.
   *
   * @param peers Peers that there are.
   * @returns What they answered, by identity.
   */
  look(peers: readonly Peer[]): Record<string, Probe> {
    const now = this.#now();
    if (!this.#isUnderWay && now - this.#startedAt >= PROBE_INTERVAL_MS && peers.length > 0) {
      this.#startedAt = now;
      void this.#round(peers.slice(0, MAX_PROBED_PEERS));
    }
    const known: Record<string, Probe> = {};
    for (const { id } of peers) {
      const result = this.#results.get(id);
      if (result === undefined) continue;
      const { at, ...probe } = result;
      known[id] = { ...probe, agoMs: Math.round(now - at) };
    }
    return known;
  }

  async #round(peers: readonly Peer[]): Promise<void> {
    this.#isUnderWay = true;
    // Those that are gone are forgotten.
    this.#results = new Map(peers.flatMap(({ id }) => {
      const result = this.#results.get(id);
      return result === undefined ? [] : [[id, result] as const];
    }));
    for (let at = 0; at < peers.length; at += PROBES_AT_ONCE) {
      await Promise.all(
        peers.slice(at, at + PROBES_AT_ONCE).map(async (peer) => {
          const result = await this.#probe(peer);
          this.#results.set(peer.id, { ...result, at: this.#now() });
        }),
      );
    }
    this.#isUnderWay = false;
  }

  async #probe({ addresses, registryPort }: Peer): Promise<Omit<Probe, "agoMs">> {
    let failure = "has no address";
    for (const address of addresses) {
      try {
        const url = `http://${hostAndPort(address, registryPort)}/readyz`;
        const { status, milliseconds } = await this.#ask(url);
        return { state: status === 200 ? "ready" : "not-ready", latencyMs: milliseconds };
      } catch (error) {
        failure = error instanceof Error ? error.message : String(error);
      }
    }
    return { state: "silent", failure };
  }
}
