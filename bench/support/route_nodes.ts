/**
 * Nodes of the routing benchmark: Kagami's router, and `@libp2p/kad-dht` as it comes.
 *
 * @module
 */
import { noise } from "@libp2p/noise";
import { yamux } from "@libp2p/yamux";
import { type Identify, identify } from "@libp2p/identify";
import type { Libp2p } from "@libp2p/interface";
import { type KadDHT, kadDHT, type KadDHTComponents, passthroughMapper } from "@libp2p/kad-dht";
import { type Ping, ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import { createLogger } from "../../lib/observability/logger.ts";
import { sha256Digest } from "../../lib/oci/digest.ts";
import { StaticBootstrapper } from "../../lib/routing/bootstrap/static.ts";
import { DHT_PROTOCOL } from "../../lib/routing/libp2p/dht.ts";
import { createLibp2pRouter } from "../../lib/routing/libp2p/libp2p_router.ts";
import { providerKey } from "../../lib/routing/libp2p/provider_key.ts";

/** Which software a node runs. */
export type RouteNodeKind = "kagami" | "kad-dht";

/** Options of {@linkcode startRouteNode}. */
export interface RouteNodeOptions {
  readonly kind: RouteNodeKind;
  /** Port of the loopback address that it listens on. */
  readonly port: number;
  /** Port of the node to start from; its own makes it the first one. */
  readonly bootstrapPort: number;
}

/** A node, of either kind. */
export interface RouteNode {
  /** Number of peers in its routing table. */
  peers(): Promise<number>;
  /** Announces keys; what goes on in the background is not waited for. */
  advertise(keys: readonly string[]): Promise<void>;
  /** Looks a key up, until the first provider or, without one, to the end. */
  hasProvider(key: string): Promise<boolean>;
  stop(): Promise<void>;
}

/**
 * Keys as a node has them: digests.
 *
 * @param owner Other owners have other keys.
 * @param count How many.
 * @returns The keys.
 */
export function keysOf(owner: string, count: number): string[] {
  const encoder = new TextEncoder();
  return Array.from(
    { length: count },
    (_, index) => sha256Digest(encoder.encode(`${owner}/${index}`)),
  );
}

/**
 * Starts a node in this process.
 *
 * @param options Kind and ports.
 * @returns The node; it may not have joined the others yet.
 */
export function startRouteNode(options: RouteNodeOptions): Promise<RouteNode> {
  return options.kind === "kagami" ? startKagami(options) : startKadDht(options);
}

async function startKagami(options: RouteNodeOptions): Promise<RouteNode> {
  const router = await createLibp2pRouter({
    listenAddr: { host: "127.0.0.1", port: options.port },
    registryPort: 5000,
    bootstrapper: new StaticBootstrapper([`127.0.0.1:${options.bootstrapPort}`]),
    // Nodes that wait for one another on a busy machine say so, all of them.
    log: createLogger({ level: "ERROR" }),
  });
  return {
    async peers() {
      const { detail } = await router.status();
      return Number(/^\d+/.exec(detail)?.[0] ?? 0);
    },
    advertise: (keys) => router.advertise(keys),
    async hasProvider(key) {
      for await (const _peer of router.lookup(key, { count: 1 })) return true;
      return false;
    },
    stop: () => router.stop(),
  };
}

/** A libp2p node with the DHT. */
export type KadDhtNode = Libp2p<{ dht: KadDHT; identify: Identify; ping: Ping }>;

/**
 * Creates a node as in the documentation of kad-dht, with what a network of private addresses cannot do without.
 *
 * @param port Port of the loopback address that it listens on.
 * @returns The node.
 */
export async function createKadDhtNode(port: number): Promise<KadDhtNode> {
  return await createLibp2p({
    addresses: { listen: [`/ip4/127.0.0.1/tcp/${port}`] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    connectionManager: { inboundConnectionThreshold: 1000, maxIncomingPendingConnections: 1000 },
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({
        protocol: DHT_PROTOCOL,
        clientMode: false,
        peerInfoMapper: passthroughMapper,
        allowQueryWithZeroPeers: true,
      }) as (components: KadDHTComponents) => KadDHT,
    },
  });
}

async function startKadDht(options: RouteNodeOptions): Promise<RouteNode> {
  const node = await createKadDhtNode(options.port);
  const { dht } = node.services;
  if (options.port !== options.bootstrapPort) {
    await node.dial(multiaddr(`/ip4/127.0.0.1/tcp/${options.bootstrapPort}`));
  }
  return {
    peers: async () => {
      // Without it nodes would know only the first one for long.
      await dht.refreshRoutingTable();
      return node.getConnections().length;
    },
    async advertise(keys) {
      for (const key of keys) {
        for await (const _event of dht.provide(providerKey(key).cid)) { /* Each step of it. */ }
      }
    },
    async hasProvider(key) {
      for await (const event of dht.findProviders(providerKey(key).cid)) {
        const found = event.name === "PROVIDER" || event.name === "PEER_RESPONSE";
        if (found && event.providers.length > 0) return true;
      }
      return false;
    },
    stop: async () => void await node.stop(),
  };
}
