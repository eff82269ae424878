/**
 * Brings peers into the routing table that kad-dht has left out. It tries once, when a peer connects, and gives up when
 * the peer does not answer a ping at once: on nodes that are busy starting pods, two of ten could stay strangers for
 * minutes.
 *
 * @module
 */
import type { PeerId } from "@libp2p/interface";
import { sleep } from "../../sleep.ts";
import { DHT_PROTOCOL, type RoutingTable } from "./dht.ts";

/** Time between looks, in milliseconds. */
export const REPAIR_INTERVAL_MS = 5000;

/** Time limit for a peer to be taken in, in milliseconds. */
export const REPAIR_TIMEOUT_MS = 3000;

/** What is needed of the node. */
export interface TableRepairOptions {
  readonly table: RoutingTable;
  /** Peers that there is a connection to. */
  connected(): readonly PeerId[];
  /** Protocols that a peer speaks, as far as it has told. */
  protocols(peer: PeerId): Promise<readonly string[]>;
}

/**
 * Looks for connected peers that are missing, again and again.
 *
 * @param options Routing table and connections.
 * @param signal Ends it.
 */
export async function repairTable(options: TableRepairOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(REPAIR_INTERVAL_MS, signal);
    await addMissing(options, signal);
  }
}

/**
 * Adds connected peers that are missing.
 *
 * @param options Routing table and connections.
 * @param signal Ends it.
 */
export async function addMissing(options: TableRepairOptions, signal: AbortSignal): Promise<void> {
  const { table } = options;
  const known = new Set<string>();
  for (const { peerId } of table.kb.toIterable()) known.add(peerId.toString());
  await Promise.all(
    options.connected().map(async (peer) => {
      if (signal.aborted || known.has(peer.toString())) return;
      try {
        if (!(await options.protocols(peer)).includes(DHT_PROTOCOL)) return;
        const limit = AbortSignal.any([signal, AbortSignal.timeout(REPAIR_TIMEOUT_MS)]);
        await table.add(peer, { signal: limit });
      } catch {
        // It went away, or is still too busy: the next look tells.
      }
    }),
  );
}
