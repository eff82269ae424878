/**
 * Turns peers that are named one after the other into what candidates are made of.
 *
 * @module
 */
import type { PeerSource } from "../routing/peer_source.ts";
import type { Peer } from "../routing/router.ts";

/** A lookup in a {@linkcode PeerSource}: it goes on when the last peer has failed. */
export class NamedPeers {
  readonly source: PeerSource;
  #failed = Promise.withResolvers<void>();

  /**
   * @param source Who names the peers.
   */
  constructor(source: PeerSource) {
    this.source = source;
  }

  /** Time that is left for the next bytes, in milliseconds; at least one. */
  get patienceMs(): number {
    return Math.max(1, this.source.patienceMs());
  }

  /** The last peer does not deliver. */
  failed(): void {
    this.#failed.resolve();
  }

  /**
   * Yields the peers.
   *
   * @param signal Ends it.
   */
  async *lookup(signal: AbortSignal): AsyncGenerator<Peer> {
    const stop = () => this.#failed.resolve();
    signal.addEventListener("abort", stop, { once: true });
    while (!signal.aborted) {
      const peer = await this.source.next();
      if (peer === undefined) return;
      this.#failed = Promise.withResolvers();
      if (signal.aborted) return;
      yield peer;
      await this.#failed.promise;
    }
  }
}
