/**
 * The libp2p node below the router: compatible with Spegel's, with Kagami's own handling of announcements.
 *
 * @module
 */
import { noise } from "@libp2p/noise";
import { yamux } from "@libp2p/yamux";
import { type Identify, identify } from "@libp2p/identify";
import type { Libp2p, PrivateKey } from "@libp2p/interface";
import { kadDHT, passthroughMapper } from "@libp2p/kad-dht";
import { type Ping, ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import { webSockets } from "@libp2p/websockets";
import { createLibp2p } from "libp2p";
import { AddProviderHandler } from "./add_provider_handler.ts";
import type { MembershipKeys } from "./cluster_secret.ts";
import { type Dht, DHT_PROTOCOL, REPLICATION } from "./dht.ts";
import { serveIncoming } from "./incoming_stream.ts";
import { members } from "./membership.ts";
import { announceable } from "./peer_addresses.ts";
import type { RecordStore } from "./record_store.ts";

/** How long a provider record is valid, in milliseconds; the same as Spegel's. */
export const RECORD_VALIDITY_MS = 19 * 60_000;

/** Time limit of a message to another node of the DHT, in milliseconds; adapts to what they take in between. */
export const MESSAGE_TIMEOUT_MS = { min: 300, max: 1000 } as const;

/** Most connections. */
export const MAX_CONNECTIONS = 2000;

/** The node, with its services. */
export type Node = Libp2p<
  { dht: ReturnType<ReturnType<typeof kadDHT>>; identify: Identify; ping: Ping }
>;

/** Options of {@linkcode createNode}. */
export interface NodeOptions {
  readonly privateKey: PrivateKey;
  /** Holds what others announce, and the peer store. */
  readonly records: RecordStore;
  /** Multiaddrs. */
  readonly listen: string[];
  /** Keys of the cluster's members; without them everybody takes part, Spegel included. */
  readonly membershipKeys?: MembershipKeys;
  /** Told of those who come and are no members. */
  readonly onStranger?: (id: string) => void;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
}

/**
 * Starts a node.
 *
 * @param options Identity, addresses and memory.
 * @returns The node, listening.
 * @throws If it cannot listen.
 */
export async function createNode(options: NodeOptions): Promise<Node> {
  const { records, now, membershipKeys: keys, onStranger } = options;
  const node = await createLibp2p({
    start: false,
    privateKey: options.privateKey,
    datastore: records,
    addresses: { listen: options.listen, announceFilter: announceable },
    transports: [tcp(), webSockets()],
    connectionEncrypters: [
      keys === undefined ? noise() : members({
        encrypter: noise(),
        keys,
        onStranger: (peer) => onStranger?.(peer.toString()),
      }),
    ],
    // `monitorConnections` looks whether they are alive.
    streamMuxers: [yamux({ enableKeepAlive: false })],
    connectionMonitor: { enabled: false },
    connectionGater: { denyDialMultiaddr: () => false },
    connectionManager: {
      maxConnections: MAX_CONNECTIONS,
      // All nodes of a cluster may come at once after an outage; the default lets five a second in.
      inboundConnectionThreshold: MAX_CONNECTIONS,
      maxIncomingPendingConnections: MAX_CONNECTIONS,
      // Kagami dials again itself, and knows when to stop.
      reconnectRetries: 0,
    },
    // Addresses must outlive the records that need them: a provider without addresses makes the answer about all
    // providers of a key fail. The record store bounds their number.
    peerStore: { maxAddressAge: Infinity, maxPeerAge: Infinity },
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({
        protocol: DHT_PROTOCOL,
        clientMode: false,
        kBucketSize: REPLICATION,
        peerInfoMapper: passthroughMapper,
        allowQueryWithZeroPeers: true,
        networkDialTimeout: {
          minTimeout: MESSAGE_TIMEOUT_MS.min,
          maxTimeout: MESSAGE_TIMEOUT_MS.max,
        },
        maxInboundStreams: 256,
        maxOutboundStreams: 256,
        // Announcing and expiry are the publisher's and the record store's. What is left of kad-dht's own is put off
        // for as long as a timer can be.
        reprovide: {
          validity: RECORD_VALIDITY_MS,
          threshold: 0,
          interval: 2 ** 31 - 1,
          concurrency: 1,
        },
      }),
    },
  });
  // The class has more than its published interface says; `dht.ts` names what is used of it.
  const { rpc } = node.services.dht as unknown as Dht;
  rpc.handlers.ADD_PROVIDER = new AddProviderHandler({
    put: (digest, peer) => records.putProvider(digest, peer),
    remove: (digest, peer) => records.removeProvider(digest, peer),
    begins: (peer) => records.beginRound(peer),
    ends: (peer) => records.endRound(peer),
    merge: (peer, multiaddrs) => node.peerStore.merge(peer, { multiaddrs }),
    now,
  });
  rpc.onIncomingStream = (stream, { remotePeer }) => {
    const source = {}; // kad-dht hands the message on to its handler as it is.
    return serveIncoming(
      stream,
      (message) => rpc.handleMessage(remotePeer, Object.assign(message, { source })),
    );
  };
  await node.start();
  return node as unknown as Node;
}
