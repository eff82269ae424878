/**
 * The parts of `@libp2p/kad-dht` that Kagami uses. Its class has more than its published interface says:
 * the routing table's events, removal and contents, and the handlers of messages.
 *
 * @module
 */
import type { AbortOptions, PeerId } from "@libp2p/interface";
import type { QueryEvent } from "@libp2p/kad-dht";
import type { CID } from "multiformats/cid";

/** Number of closest peers that hold a record, and size of a bucket: K of Kademlia, as in Spegel. */
export const REPLICATION = 20;

/** Protocol of Spegel's DHT. */
export const DHT_PROTOCOL = "/spegel/kad/1.0.0";

/** Events of the routing table. */
export type RoutingTableListener = (event: CustomEvent<PeerId>) => void;

/** The routing table of a node. */
export interface RoutingTable {
  readonly size: number;
  readonly kb: {
    toIterable(): Iterable<{ readonly peerId: PeerId; readonly kadId: Uint8Array }>;
  };
  add(peer: PeerId, options?: AbortOptions): Promise<void>;
  remove(peer: PeerId, options?: AbortOptions): Promise<void>;
  addEventListener(type: "peer:add" | "peer:remove", listener: RoutingTableListener): void;
  removeEventListener(type: "peer:add" | "peer:remove", listener: RoutingTableListener): void;
}

/** An announcement, as kad-dht decodes it. */
export interface AddProviderMessage {
  /** Multihash of the key. */
  readonly key?: Uint8Array;
  readonly providers: readonly {
    /** Multihash of the peer ID. */
    readonly id: Uint8Array;
    readonly multiaddrs: readonly Uint8Array[];
  }[];
}

/** Handles one type of message. */
export interface MessageHandler {
  handle(sender: PeerId, message: AddProviderMessage): Promise<undefined>;
}

/** The DHT of a node. */
export interface Dht {
  readonly routingTable: RoutingTable;
  readonly rpc: { readonly handlers: { ADD_PROVIDER: MessageHandler } };
  getClosestPeers(key: Uint8Array, options?: AbortOptions): AsyncIterable<QueryEvent>;
  findProviders(cid: CID, options?: AbortOptions): AsyncIterable<QueryEvent>;
  refreshRoutingTable(options?: AbortOptions): Promise<void>;
}
