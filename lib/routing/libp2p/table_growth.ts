/**
 * Lets a node that knows few peers ask them for theirs: one that knows only its bootstrap peer would take long to learn of
 * the rest.
 *
 * It asks whenever a peer has come, until it knows enough: beyond that each walk would only bring more connections, on
 * nodes that start together at the worst of times. `table_repair.ts` completes the table without haste. To ask less often,
 * such as only when twice as many are known, saves next to nothing, and on busy machines, where many dials fail, nodes
 * took half as long again to know all others.
 *
 * @module
 */
import type { Logger } from "../../observability/logger.ts";
import { type Sleep, sleep } from "../../sleep.ts";
import { REPLICATION, type RoutingTable } from "./dht.ts";

/** Pause between a peer that came and the question for its peers, in milliseconds: peers come in bursts. */
export const GROWTH_DELAY_MS = 200;

/** Options of {@linkcode TableGrowth}. */
export interface TableGrowthOptions {
  readonly table: Pick<RoutingTable, "size">;
  /** Walks to any place of the keyspace, which connects the node to the peers found on the way. */
  walk(signal: AbortSignal): Promise<void>;
  readonly log: Logger;
  /** Waits. Default: by the process's clock. */
  readonly sleep?: Sleep;
}

/** Asks for more peers while the routing table holds few. */
export class TableGrowth {
  readonly #options: TableGrowthOptions;
  readonly #signal: AbortSignal;
  #isAsking = false;

  /**
   * @param options Routing table and network.
   * @param signal Ends it.
   */
  constructor(options: TableGrowthOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  /** A peer has entered the table. */
  peerAdded(): void {
    if (!this.#isAsking && this.#options.table.size <= REPLICATION) void this.#ask();
  }

  async #ask(): Promise<void> {
    const { walk, log } = this.#options;
    const wait = this.#options.sleep ?? sleep;
    this.#isAsking = true;
    try {
      await wait(GROWTH_DELAY_MS, this.#signal);
      // Not kad-dht's own refresh, which leaves a timer behind each time.
      if (!this.#signal.aborted) await walk(this.#signal);
    } catch (error) {
      if (!this.#signal.aborted) log.debug("walk to learn of more peers failed", { error });
    } finally {
      this.#isAsking = false;
    }
  }
}
