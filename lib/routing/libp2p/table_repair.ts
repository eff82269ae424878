/**
 * Completes the routing table where kad-dht leaves peers out. It looks for peers once when it starts and then every
 * five minutes, and takes a peer in only if that answers a ping at once when it connects: on nodes that are busy
 * starting pods, some of ten nodes stayed strangers for minutes.
 *
 * @module
 */
import type { PeerId } from "@libp2p/interface";
import { type Sleep, sleep } from "../../sleep.ts";
import { DHT_PROTOCOL, REPLICATION, type RoutingTable } from "./dht.ts";

/**
 * Time between looks, in milliseconds: after a change of a table that holds few, while a connected peer could not be taken
 * in, and at most; doubled otherwise. A walk is twenty questions, at some 6 ms of the cluster's CPU each, and all nodes of
 * a cluster may start together.
 */
export const REPAIR_MS = { first: 2000, missing: 8000, most: 60_000 } as const;

/** Time limit for a peer to be taken in, in milliseconds. */
export const ADD_TIMEOUT_MS = 3000;

/** What is needed of the node. */
export interface TableRepairOptions {
  readonly table: RoutingTable;
  /** Peers that there is a connection to. */
  connected(): readonly PeerId[];
  /** Protocols that a peer speaks, as far as it has told. */
  protocols(peer: PeerId): Promise<readonly string[]>;
  /** Walks to this node's own place, which connects it to the peers found on the way. */
  walk(signal: AbortSignal): Promise<void>;
  /** Waits. Default: by the process's clock. */
  readonly sleep?: Sleep;
}

/**
 * Looks for peers that are missing, again and again.
 *
 * @param options Routing table, connections and network.
 * @param signal Ends it.
 */
export async function repairTable(options: TableRepairOptions, signal: AbortSignal): Promise<void> {
  const { table } = options;
  const wait = options.sleep ?? sleep;
  let pauseMs: number = REPAIR_MS.first;
  while (!signal.aborted) {
    const size = table.size;
    await wait(pauseMs, signal);
    if (signal.aborted) return;
    try {
      if (table.size > 0) await options.walk(signal);
    } catch {
      // Nobody answered in time; the next look tells.
    }
    const missing = await addMissing(options, signal);
    // With so many known, those who come later find this node: they walk to their own places.
    const isYoung = table.size !== size && table.size <= REPLICATION;
    const mostMs = missing > 0 ? REPAIR_MS.missing : REPAIR_MS.most;
    pauseMs = isYoung ? REPAIR_MS.first : Math.min(pauseMs * 2, mostMs);
  }
}

/**
 * Adds connected peers that are missing.
 *
 * @param options Routing table and connections.
 * @param signal Ends it.
 * @returns How many are missing still.
 */
export async function addMissing(
  options: Pick<TableRepairOptions, "table" | "connected" | "protocols">,
  signal: AbortSignal,
): Promise<number> {
  const { table } = options;
  let missing = 0;
  const known = new Set<string>();
  for (const { peerId } of table.kb.toIterable()) known.add(peerId.toString());
  await Promise.all(
    options.connected().map(async (peer) => {
      if (signal.aborted || known.has(peer.toString())) return;
      let belongs = false;
      try {
        belongs = (await options.protocols(peer)).includes(DHT_PROTOCOL);
        if (!belongs) return;
        const limit = AbortSignal.any([signal, AbortSignal.timeout(ADD_TIMEOUT_MS)]);
        await table.add(peer, { signal: limit });
      } catch {
        // It went away, or is still too busy; the next look tells.
        if (belongs) missing += 1;
      }
    }),
  );
  return missing;
}
