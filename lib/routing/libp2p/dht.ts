/**
 * The parts of `@libp2p/kad-dht` that Kagami uses. Its class has more than its published interface says:
 * the routing table's events, removal and contents, and how messages are answered.
 *
 * @module
 */
import type { AbortOptions, Connection, PeerId, Stream } from "@libp2p/interface";
import type { QueryEvent } from "@libp2p/kad-dht";
import type { CID } from "multiformats/cid";
import type { DhtMessage } from "./dht_message.ts";

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

/** Handles one type of message. */
export interface MessageHandler {
  handle(sender: PeerId, message: DhtMessage): Promise<DhtMessage | undefined>;
}

/** What answers other nodes. What is replaced before the start is never used. */
export interface DhtRpc {
  readonly handlers: { ADD_PROVIDER: MessageHandler };
  /** Hands a message to the handler of its type. */
  handleMessage(sender: PeerId, message: DhtMessage): Promise<DhtMessage | undefined>;
  onIncomingStream(stream: Stream, connection: Connection): Promise<void>;
}

/** The DHT of a node. */
export interface Dht {
  readonly routingTable: RoutingTable;
  readonly rpc: DhtRpc;
  getClosestPeers(key: Uint8Array, options?: AbortOptions): AsyncIterable<QueryEvent>;
  findProviders(cid: CID, options?: AbortOptions): AsyncIterable<QueryEvent>;
}
