/**
 * Router over a Kademlia DHT that is compatible with Spegel's.
 *
 * @module
 */
import "./monotonic_averages.ts";
import "./unref_broadcast_channel.ts";
import type { PeerId, PeerInfo } from "@libp2p/interface";
import { peerIdFromPrivateKey, peerIdFromString } from "@libp2p/peer-id";
import type { Multiaddr } from "@multiformats/multiaddr";
import { UnavailableError } from "../../errors.ts";
import type { ListenAddress } from "../../net/listen.ts";
import type { Logger } from "../../observability/logger.ts";
import { sleep } from "../../sleep.ts";
import { VERSION } from "../../version.ts";
import type { Bootstrapper } from "../bootstrap/bootstrapper.ts";
import type { Messenger } from "../messenger.ts";
import { Forgotten } from "../forgotten.ts";
import type { TransferOffers } from "../transfer_offer.ts";
import type {
  Links,
  LookupOptions,
  LostPeer,
  Peer,
  Router,
  RouterStatus,
  Self,
} from "../router.ts";
import { monitorConnections, type MonitoredConnection } from "./connection_monitor.ts";
import { Connector, endpointOf } from "./connector.ts";
import { createNode, MESSAGE_TIMEOUT_MS, type Node, RECORD_VALIDITY_MS } from "./create_node.ts";
import { type Dht, DHT_PROTOCOL } from "./dht.ts";
import type { MembershipKeys } from "./cluster_secret.ts";
import { loadIdentity } from "./identity.ts";
import { closest, type Positioned } from "./keyspace.ts";
import { keyspacePosition, providerKey } from "./provider_key.ts";
import { Libp2pMessenger, type MessengerHost } from "./libp2p_messenger.ts";
import { Libp2pOffers, type OfferHost } from "./libp2p_offers.ts";
import { type NodeInfoHost, NodeInfos } from "./node_info.ts";
import { listenMultiaddrs } from "./listen_multiaddrs.ts";
import { LostPeers } from "./lost_peers.ts";
import { ipsOf, peerIdOf, rankAddresses, withoutPeerId } from "./peer_addresses.ts";
import { encodeFormerProvider, encodeProvider } from "./provider_message.ts";
import { ProviderStreams } from "./provider_stream.ts";
import { Publisher } from "./publisher.ts";
import { RecordStore } from "./record_store.ts";
import { TableGrowth } from "./table_growth.ts";
import { repairTable } from "./table_repair.ts";

/** Name of the router. */
export const LIBP2P = "libp2p";

/**
 * Head start of records that are held here before the DHT is walked as well, in milliseconds. Most lookups are over by
 * then; the walk finds further peers for long transfers.
 */
export const WALK_DELAY_MS = 100;

/** Time limit of a lookup in the DHT, in milliseconds. */
export const LOOKUP_TIMEOUT_MS = 5000;

/** Time limit of a walk to the closest peers, in milliseconds. */
export const WALK_TIMEOUT_MS = 10_000;

/** A peer that was lost is dialled again after this time, in milliseconds, before it is given up. */
export const REDIAL_MS = 500;

/** Options of {@linkcode createLibp2pRouter}. */
export interface Libp2pRouterOptions {
  /** Where the DHT listens. */
  readonly listenAddr: ListenAddress;
  /** Where it listens for WebSocket connections, for networks that let only HTTP pass. */
  readonly websocketAddr?: ListenAddress;
  /** Port of this node's registry, and of all peers' registries. */
  readonly registryPort: number;
  /** Topology zone of this node, told to peers. */
  readonly zone?: string;
  /** Whether peers are told that this node shares downloads in progress. */
  readonly shares?: boolean;
  /** Folder that keeps the identity. */
  readonly dataDir?: string;
  /** Keys of the cluster's members; without them everybody takes part, Spegel included. */
  readonly membershipKeys?: MembershipKeys;
  /** Told of those who come and are no members. */
  readonly onStranger?: (id: string) => void;
  readonly bootstrapper: Bootstrapper;
  readonly log: Logger;
}

/**
 * Joins the cluster.
 *
 * @param options Addresses, identity and bootstrap.
 * @returns The router, listening; bootstrapping goes on in the background.
 * @throws {UnavailableError} If it cannot listen.
 * @throws {ConfigError} If the identity or an address is of no use.
 */
export async function createLibp2pRouter(
  options: Libp2pRouterOptions,
): Promise<Router & { readonly messenger: Messenger; readonly offers: TransferOffers }> {
  const { log, listenAddr, websocketAddr } = options;
  const privateKey = await loadIdentity(options.dataDir, log);
  const now = () => performance.now();
  const self = peerIdFromPrivateKey(privateKey);
  const records = new RecordStore({ self, validity: RECORD_VALIDITY_MS, now });
  const listen = [
    ...listenMultiaddrs(listenAddr),
    ...(websocketAddr === undefined ? [] : listenMultiaddrs(websocketAddr, "/ws")),
  ];
  let node: Node;
  try {
    node = await createNode({ ...options, privateKey, records, listen, now });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UnavailableError(`router cannot listen on ${listen.join(", ")}: ${reason}`, {
      cause,
    });
  }
  log.info("router listens", { id: self.toString(), addresses: node.getMultiaddrs().map(String) });
  const infos = new NodeInfos(node as unknown as NodeInfoHost, {
    version: VERSION,
    ...(options.zone === undefined ? {} : { zone: options.zone }),
    ...(options.shares ? { shares: true } : {}),
  });
  await infos.start();
  return new Libp2pRouter({ ...options, node, records, infos, now });
}

interface RouterParts extends Libp2pRouterOptions {
  readonly node: Node;
  readonly records: RecordStore;
  readonly infos: NodeInfos;
  readonly now: () => number;
}

/** See {@linkcode createLibp2pRouter}. */
class Libp2pRouter implements Router {
  readonly name = LIBP2P;
  readonly messenger: Messenger;
  readonly offers: TransferOffers;
  readonly #node: Node;
  readonly #dht: Dht;
  /** Where this node lies in the keyspace. */
  readonly #position: Uint8Array;
  readonly #records: RecordStore;
  readonly #infos: NodeInfos;
  readonly #registryPort: number;
  readonly #log: Logger;
  readonly #forgotten: Forgotten;
  readonly #streams: ProviderStreams;
  readonly #publisher: Publisher;
  readonly #connector: Connector;
  readonly #growth: TableGrowth;
  readonly #abort = new AbortController();
  readonly #running: Promise<unknown>;
  readonly #lost: LostPeers;
  #stopping: Promise<void> | undefined;

  constructor(parts: RouterParts) {
    this.#node = parts.node;
    // The class has more than its published interface says; `dht.ts` names what is used of it.
    this.#dht = parts.node.services.dht as unknown as Dht;
    this.#position = positioned(parts.node.peerId).position;
    this.#records = parts.records;
    this.#infos = parts.infos;
    this.#registryPort = parts.registryPort;
    this.#log = parts.log;
    this.#forgotten = new Forgotten(parts.now);
    this.#lost = new LostPeers(parts.now);
    this.messenger = new Libp2pMessenger({
      host: parts.node as unknown as MessengerHost,
      answering: () => this.#infos.sharing(),
      describe: (id) => this.#peer(id),
    });
    this.offers = new Libp2pOffers(parts.node as unknown as OfferHost);
    this.#streams = new ProviderStreams({
      open: (peer, signal) =>
        this.#node.dialProtocol(peerIdFromString(peer), DHT_PROTOCOL, { signal }),
      provider: () =>
        encodeProvider(
          this.#node.peerId.toMultihash().bytes,
          this.#node.getMultiaddrs().map((address) => withoutPeerId(address).bytes),
        ),
      formerProvider: encodeFormerProvider(this.#node.peerId.toMultihash().bytes),
    });
    this.#publisher = new Publisher({
      network: {
        peers: () => this.#tablePeers(),
        closestPeers: (key, signal) => this.#closestPeers(key.multihash, signal),
        send: (peer, telling, signal) => this.#streams.send(peer, telling, signal),
      },
      log: parts.log,
      now: parts.now,
      random: Math.random,
    });
    this.#connector = new Connector({
      node: {
        id: this.#node.peerId.toString(),
        addresses: () => this.#node.getMultiaddrs(),
        isConnected: (address) => this.#isConnected(address),
        dial: (address, signal) => this.#dial(address, signal),
        peerCount: () => this.#dht.routingTable.size,
        missed: () => this.#lost.missed((address) => this.#isConnected(address)),
      },
      bootstrapper: parts.bootstrapper,
      routerPort: parts.listenAddr.port,
      log: parts.log,
    });
    this.#growth = new TableGrowth({
      table: this.#dht.routingTable,
      walk: async (ending) => void await this.#closestPeers(somewhere(), ending),
      log: parts.log,
    }, this.#abort.signal);
    this.#node.addEventListener("peer:disconnect", this.#onDisconnect);
    this.#node.addEventListener("peer:connect", this.#onConnect);
    this.#dht.routingTable.addEventListener("peer:add", this.#onPeerAdded);
    this.#dht.routingTable.addEventListener("peer:remove", this.#onPeerRemoved);
    const { signal } = this.#abort;
    const self = () => this.#node.getMultiaddrs().map(String);
    this.#running = Promise.allSettled([
      this.#publisher.run(),
      this.#connector.run(signal),
      monitorConnections({
        connections: () => this.#node.getConnections() as unknown as MonitoredConnection[],
      }, signal),
      repairTable({
        table: this.#dht.routingTable,
        connected: () => this.#node.getPeers(),
        protocols: async (peer) => (await this.#node.peerStore.get(peer)).protocols,
        walk: async (ending) =>
          void await this.#closestPeers(this.#node.peerId.toMultihash().bytes, ending),
      }, signal),
      parts.bootstrapper.run({ self, signal }).catch((error) => {
        parts.log.error("the bootstrapper failed", { kind: parts.bootstrapper.kind, error });
      }),
    ]);
  }

  async *lookup(key: string, options: LookupOptions = {}): AsyncIterable<Peer> {
    const abort = new AbortController();
    const signal = AbortSignal.any([
      this.#abort.signal,
      abort.signal,
      AbortSignal.timeout(LOOKUP_TIMEOUT_MS),
      ...(options.signal === undefined ? [] : [options.signal]),
    ]);
    const seen = new Set<string>();
    try {
      for await (const peer of this.#find(key, signal)) {
        if (signal.aborted) return;
        if (seen.has(peer.id)) continue;
        seen.add(peer.id);
        yield peer;
        if (seen.size === options.count) return;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      abort.abort();
    }
  }

  /** Peers from the records held here, then from the DHT. */
  async *#find(key: string, signal: AbortSignal): AsyncGenerator<Peer> {
    const { cid, recordName } = providerKey(key);
    let found = false;
    // In any order: the one that announced last would otherwise serve the whole cluster.
    for (const { peer: id, storedAt } of shuffled(this.#records.providersOf(recordName))) {
      if (this.#lost.has(id) || this.#forgotten.has(key, id, storedAt)) continue;
      const peer = await this.#peer(peerIdFromString(id));
      if (peer === undefined) continue;
      found = true;
      yield peer;
    }
    if (found) await sleep(WALK_DELAY_MS, signal);
    if (signal.aborted || this.#dht.routingTable.size === 0) return;
    for await (const event of this.#dht.findProviders(cid, { signal })) {
      if (event.name !== "PROVIDER" && event.name !== "PEER_RESPONSE") continue;
      for (const provider of event.providers) {
        const id = provider.id.toString();
        if (provider.id.equals(this.#node.peerId) || this.#lost.has(id)) continue;
        if (this.#forgotten.has(key, id)) continue;
        const peer = await this.#peer(provider.id, provider);
        if (peer !== undefined) yield peer;
      }
    }
  }

  async #peer(id: PeerId, info?: PeerInfo): Promise<Peer | undefined> {
    const announced = info?.multiaddrs ?? await this.#storedAddresses(id);
    const addresses = rankAddresses(this.#node.getConnections(id), announced);
    if (addresses.length === 0) return undefined;
    const text = id.toString();
    return { id: text, addresses, registryPort: this.#registryPort, ...this.#infos.get(text) };
  }

  async #storedAddresses(id: PeerId): Promise<Multiaddr[]> {
    try {
      return (await this.#node.peerStore.get(id)).addresses.map(({ multiaddr }) => multiaddr);
    } catch {
      return []; // Not known; an open connection may still tell an address.
    }
  }

  advertise(keys: readonly string[]): Promise<void> {
    const provided = keys.map(providerKey);
    for (const { recordName } of provided) this.#records.addOwn(recordName);
    this.#publisher.add(provided);
    return Promise.resolve();
  }

  withdraw(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.#records.removeOwn(providerKey(key).recordName);
    this.#publisher.remove(keys);
    return Promise.resolve();
  }

  forget(key: string, peer: Peer): void {
    this.#forgotten.add(key, peer.id);
  }

  async peers(): Promise<Peer[]> {
    const connected = [...this.#dht.routingTable.kb.toIterable()]
      .filter(({ peerId }) => this.#node.getConnections(peerId).length > 0);
    const peers = await Promise.all(connected.map(({ peerId }) => this.#peer(peerId)));
    return peers.filter((peer) => peer !== undefined);
  }

  lost(): LostPeer[] {
    return this.#lost.list();
  }

  links(): Links {
    const connections = this.#node.getConnections();
    return {
      connections: connections.length,
      streams: connections.reduce((sum, { streams }) => sum + streams.length, 0),
    };
  }

  self(): Self {
    return { id: this.#node.peerId.toString(), addresses: ipsOf(this.#node.getMultiaddrs()) };
  }

  status(): Promise<RouterStatus> {
    return Promise.resolve(this.#statusNow());
  }

  #statusNow(): RouterStatus {
    if (this.#abort.signal.aborted) return { ready: false, detail: "router is stopped" };
    const { size } = this.#dht.routingTable;
    if (size > 0) return { ready: true, detail: `${size} peers` };
    const { answered, others, failure } = this.#connector.state;
    if (answered && others === 0) return { ready: true, detail: "no other nodes" };
    return { ready: false, detail: `no peers: ${failure ?? "waiting for them to answer"}` };
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#node.removeEventListener("peer:disconnect", this.#onDisconnect);
    this.#node.removeEventListener("peer:connect", this.#onConnect);
    this.#dht.routingTable.removeEventListener("peer:add", this.#onPeerAdded);
    this.#dht.routingTable.removeEventListener("peer:remove", this.#onPeerRemoved);
    this.#abort.abort();
    this.#publisher.stop();
    this.#streams.close();
    await this.#running;
    await this.#node.stop();
  }

  #tablePeers(): Positioned[] {
    const peers = [...this.#dht.routingTable.kb.toIterable()]
      .map(({ peerId, kadId }) => ({ id: peerId.toString(), position: kadId }));
    return closest(this.#position, peers, peers.length);
  }

  async #closestPeers(multihash: Uint8Array, signal: AbortSignal): Promise<Positioned[]> {
    const found: Positioned[] = [];
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(WALK_TIMEOUT_MS)]);
    for await (const event of this.#dht.getClosestPeers(multihash, { signal: bounded })) {
      if (event.name !== "FINAL_PEER") continue;
      const { id } = event.peer;
      if (!id.equals(this.#node.peerId)) found.push(positioned(id));
    }
    return found;
  }

  async #dial(address: Multiaddr, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#node.dial(address, { signal });
      return true;
    } catch (error) {
      if (isSelfDialed(error)) return false;
      throw error;
    }
  }

  #isConnected(address: Multiaddr): boolean {
    const id = peerIdOf(address);
    if (id !== undefined) return this.#node.getConnections(peerIdFromString(id)).length > 0;
    const endpoint = endpointOf(address);
    return this.#node.getConnections().some((connection) =>
      endpointOf(connection.remoteAddr) === endpoint
    );
  }

  readonly #onConnect = (event: CustomEvent<PeerId>): void => {
    void this.#infos.ask(event.detail, this.#abort.signal);
    const peer = positioned(event.detail);
    this.#lost.delete(peer.id);
    // A peer that was away for a moment is still in the routing table, but may have been restarted and know nothing.
    if (this.#tablePeers().some(({ id }) => id === peer.id)) this.#publisher.peerAdded(peer);
  };

  readonly #onDisconnect = (event: CustomEvent<PeerId>): void => {
    void this.#redial(event.detail);
  };

  /** Dials a lost peer once more; without success it leaves the routing table, which keeps dead peers for long. */
  async #redial(id: PeerId): Promise<void> {
    const { signal } = this.#abort;
    await sleep(REDIAL_MS, signal);
    if (signal.aborted || this.#node.getConnections(id).length > 0) return;
    try {
      await this.#node.dial(id, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(MESSAGE_TIMEOUT_MS.max)]),
      });
    } catch {
      if (signal.aborted) return;
      this.#lost.add(id.toString(), await this.#storedAddresses(id));
      this.#connector.peerMissed();
      this.#infos.delete(id.toString());
      await this.#dht.routingTable.remove(id).catch(() => {});
      this.#log.info("lost a peer", { id: id.toString(), peers: this.#dht.routingTable.size });
    }
  }

  readonly #onPeerAdded = (event: CustomEvent<PeerId>): void => {
    const id = event.detail;
    this.#log.debug("peer joined", { id: id.toString(), peers: this.#dht.routingTable.size });
    this.#publisher.peerAdded(positioned(id));
    this.#growth.peerAdded();
  };

  readonly #onPeerRemoved = (event: CustomEvent<PeerId>): void => {
    this.#publisher.peerRemoved(event.detail.toString());
  };
}

/** Any place of the keyspace. */
function somewhere(): Uint8Array {
  return providerKey(crypto.randomUUID()).multihash;
}

function positioned(id: PeerId): Positioned {
  return { id: id.toString(), position: keyspacePosition(id.toMultihash().bytes) };
}

/** libp2p tells so, with this name alone, of a connection that turned out to be to the node itself. */
function isSelfDialed(error: unknown): boolean {
  return error instanceof Error && error.name === "InvalidPeerIdError";
}

function shuffled<T>(items: readonly T[]): T[] {
  return items.map((item) => ({ item, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);
}
