/**
 * A node in one process: store, router, mirror, registry, and its HTTP server on a loopback socket.
 *
 * @module
 */
import type { AccessGate } from "../../../lib/access/gate.ts";
import { createFilter, type FilterOptions } from "../../../lib/oci/filter.ts";
import { type Logger, silentLogger } from "../../../lib/observability/logger.ts";
import type { Credentials } from "../../../lib/registry/basic_auth.ts";
import { TransferLimits, type TransferLimitsOptions } from "../../../lib/net/transfer_limits.ts";
import type { Sharing } from "../../../lib/registry/content_finder.ts";
import { Registry, type RegistryOptions } from "../../../lib/registry/registry.ts";
import { type Exchange, RegistryServer } from "../../../lib/registry/registry_server.ts";
import type { BodySender } from "../../../lib/registry/send_body.ts";
import { MemoryNetwork, MemoryRouter } from "../../../lib/routing/memory_router.ts";
import type { Peer, Router } from "../../../lib/routing/router.ts";
import type { Store } from "../../../lib/store/store.ts";
import { Mirror } from "../../../lib/transfer/mirror.ts";
import { PeerBook } from "../../../lib/transfer/peer_book.ts";
import { PeerClient } from "../../../lib/transfer/peer_client.ts";
import { type RawAnswer, RawClient } from "./raw_client.ts";
import { TEST_TIMEOUTS } from "./mirror_of.ts";
import { TrackedStore } from "./tracked_store.ts";

/** Options of {@linkcode startRegistryNode}. */
export interface RegistryNodeOptions {
  /** The cluster to join. Default: one of its own. */
  readonly network?: MemoryNetwork;
  readonly id?: string;
  /** Served instead of the node's own memory store. */
  readonly store?: Store;
  /** Replaces parts of the router. */
  readonly router?: Partial<Router>;
  readonly filter?: Partial<FilterOptions>;
  readonly credentials?: Credentials;
  /** What the node sends to its peers. */
  readonly authorization?: string;
  readonly defaultRegistry?: string;
  readonly sender?: BodySender;
  readonly uploads?: Partial<TransferLimitsOptions>;
  readonly chunkList?: RegistryOptions["chunkList"];
  readonly sharing?: Sharing;
  /** Guards private content, given the node's own store. */
  readonly access?: (store: Store) => AccessGate;
  readonly requestHeadMs?: number;
  readonly maxConnections?: number;
  /** How long the node looks for a peer. */
  readonly resolveTimeoutMs?: number;
  readonly log?: Logger;
}

/** A running node. */
export interface RegistryNode extends AsyncDisposable {
  readonly port: number;
  /** The node as others see it. */
  readonly peer: Peer;
  readonly network: MemoryNetwork;
  readonly store: TrackedStore;
  readonly server: RegistryServer;
  /** Keys that were looked up, in their order. */
  readonly lookups: readonly string[];
  /** What the server reported as answered, in its order. */
  readonly exchanges: readonly Exchange[];
  /** Requests that have come in and are not over. */
  readonly inFlight: () => number;
  /** Sends one request on a connection of its own. */
  request(
    method: string,
    target: string,
    headers?: Readonly<Record<string, string>>,
  ): Promise<RawAnswer>;
}

/**
 * Starts a node on a free port.
 *
 * @param options What is not as usual.
 * @returns The node.
 */
export async function startRegistryNode(options: RegistryNodeOptions = {}): Promise<RegistryNode> {
  const network = options.network ?? new MemoryNetwork();
  const log = options.log ?? silentLogger;
  const store = new TrackedStore();
  const peer = { id: options.id ?? "node", addresses: ["127.0.0.1"], registryPort: 0 };
  const lookups: string[] = [];
  const router = recordingRouter(new MemoryRouter({ network, self: peer }), lookups);
  Object.assign(router, options.router);
  const mirror = new Mirror({
    router,
    client: new PeerClient({
      timeouts: TEST_TIMEOUTS,
      ...(options.authorization === undefined ? {} : { authorization: options.authorization }),
    }),
    resolveTimeoutMs: options.resolveTimeoutMs ?? 200,
    resolveRetries: 3,
    log,
    book: new PeerBook({ random: () => 0 }),
  });
  const exchanges: Exchange[] = [];
  let inFlight = 0;
  const server = new RegistryServer({
    registry: new Registry({
      store: options.store ?? store,
      router,
      mirror,
      filter: createFilter({ mirroredRegistries: [], registryFilters: [], ...options.filter }),
      defaultRegistry: options.defaultRegistry ?? "docker.io",
      uploads: new TransferLimits({ maxStreams: 0, bytesPerSecond: 0, ...options.uploads }),
      chunkList: options.chunkList ?? (() => Promise.resolve(undefined)),
      ...(options.sharing === undefined ? {} : { sharing: options.sharing }),
      ...(options.access === undefined ? {} : { access: options.access(store) }),
      ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
      log,
    }),
    log,
    observer: {
      started: () => inFlight += 1,
      finished: (exchange) => exchanges.push(exchange),
      ended: () => inFlight -= 1,
    },
    ...(options.sender === undefined ? {} : { sender: options.sender }),
    ...(options.requestHeadMs === undefined ? {} : { requestHeadMs: options.requestHeadMs }),
    ...(options.maxConnections === undefined ? {} : { maxConnections: options.maxConnections }),
  });
  const port = await server.listen({ host: "127.0.0.1", port: 0 });
  peer.registryPort = port;
  return {
    port,
    peer,
    network,
    store,
    server,
    lookups,
    exchanges,
    inFlight: () => inFlight,
    async request(method, target, headers) {
      using client = await RawClient.connect(port);
      return await client.request(method, target, headers);
    },
    [Symbol.asyncDispose]: () => server.close(0),
  };
}

function recordingRouter(router: MemoryRouter, lookups: string[]): Router {
  const lookup = router.lookup.bind(router);
  return Object.assign(router, {
    lookup(key: string, options?: Parameters<Router["lookup"]>[1]) {
      lookups.push(key);
      return lookup(key, options);
    },
  });
}
