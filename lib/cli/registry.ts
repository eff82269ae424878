/**
 * The command `registry`: puts the service together, runs it, and takes it apart.
 *
 * @module
 */
import type {
  BootstrapConfig,
  RegistryConfig,
  StoreConfig,
  TransferConfig,
} from "../config/config.ts";
import { configuredFilter } from "../config/go_regexp.ts";
import { Activity } from "../debug/activity.ts";
import type { NodeSettings, TransferStatus } from "../debug/node_status.ts";
import { openLibc } from "../net/libc.ts";
import { TransferLimits } from "../net/transfer_limits.ts";
import { trimMemory } from "../net/trim_memory.ts";
import type { Logger } from "../observability/logger.ts";
import { createMetrics } from "../observability/metrics.ts";
import { MetricsServer } from "../observability/metrics_server.ts";
import type { Tracing } from "../observability/tracing.ts";
import { basicAuthorization } from "../registry/basic_auth.ts";
import { loadCredentials } from "../registry/load_credentials.ts";
import { Registry } from "../registry/registry.ts";
import { RegistryServer } from "../registry/registry_server.ts";
import { BodySender } from "../registry/send_body.ts";
import type { Bootstrapper } from "../routing/bootstrap/bootstrapper.ts";
import { DnsBootstrapper } from "../routing/bootstrap/dns.ts";
import { HttpBootstrapper } from "../routing/bootstrap/http.ts";
import { KubernetesBootstrapper } from "../routing/bootstrap/kubernetes.ts";
import { createLeaseClient } from "../routing/bootstrap/lease_client.ts";
import { StaticBootstrapper } from "../routing/bootstrap/static.ts";
import { loadMembershipKeys } from "../routing/libp2p/cluster_secret.ts";
import { createLibp2pRouter, LIBP2P } from "../routing/libp2p/libp2p_router.ts";
import { ContainerdStore } from "../store/containerd/containerd_store.ts";
import { LayoutStore } from "../store/layout/layout_store.ts";
import type { Store } from "../store/store.ts";
import { VerifiedStore } from "../store/verified_store.ts";
import { type AdvertisedCounts, Sync } from "../sync/sync.ts";
import { Mirror } from "../transfer/mirror.ts";
import { ConnectionPool } from "../transfer/connection_pool.ts";
import { PeerBook } from "../transfer/peer_book.ts";
import { PeerClient } from "../transfer/peer_client.ts";
import { VERSION } from "../version.ts";
import { Debugging } from "./debugging.ts";
import { localGate, peerChannels, peerTransferStatus, servePeers } from "./peer_transfers.ts";
import { createAccessGate } from "./access.ts";
import type { Revoke } from "./permissions.ts";
import { createSharing, createTagDesk } from "./sharing.ts";
import { createServiceMetrics } from "./service_metrics.ts";

/** What the process lends the mirror. */
export interface RegistrySurroundings {
  /** Makes traces; left out where they are off. */
  readonly tracing?: Tracing;
  /** Takes permissions back that are needed no more; left out, all are kept. */
  readonly revoke?: Revoke;
}

/**
 * Runs the mirror of this node.
 *
 * @param config Validated configuration.
 * @param ownLog Log.
 * @param signal Stops it: no new requests, then running transfers get their grace time.
 * @param surroundings What the process lends it.
 * @throws {UnavailableError} If an address cannot be listened on.
 * @throws {ConfigError} If a file that the configuration names is of no use, or a filter is no expression.
 */
export async function runRegistry(
  config: RegistryConfig,
  ownLog: Logger,
  signal: AbortSignal,
  { tracing, revoke }: RegistrySurroundings = {},
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const traced = tracing === undefined ? {} : { tracing };
  const debugging = config.debugWebEnabled ? new Debugging() : undefined;
  const log = debugging?.observed(ownLog) ?? ownLog;
  const credentials = await loadCredentials(config.basicAuthDir);
  const filter = await configuredFilter(config);
  const metrics = createMetrics();
  const { clusterSecretPath } = config.peers;
  const membershipKeys = clusterSecretPath === undefined
    ? undefined
    : await loadMembershipKeys(clusterSecretPath);

  const events = createServiceMetrics(metrics, LIBP2P);
  const router = await createLibp2pRouter({
    listenAddr: config.routerAddr,
    ...(config.routerWebsocketAddr === undefined
      ? {}
      : { websocketAddr: config.routerWebsocketAddr }),
    registryPort: config.registryAddr.port,
    ...(config.dataDir === undefined ? {} : { dataDir: config.dataDir }),
    ...(config.zone === undefined ? {} : { zone: config.zone }),
    shares: config.sharesInProgress,
    ...(membershipKeys === undefined ? {} : { membershipKeys }),
    onStranger: () => events.gateEvents.refused("secret"),
    bootstrapper: createBootstrapper(config.bootstrap, log),
    log,
  });
  stack.defer(() => router.stop());

  const downloads = new TransferLimits(config.downloads);
  const store = new VerifiedStore(createStore(config.store, log), {
    log,
    onCorrupt: () => events.corrupt(),
    isBusy: () => downloads.active > 0,
    ...traced,
  });
  stack.defer(() => store.close());

  const activity = new Activity(debugging?.observer(events.observer) ?? events.observer);
  const uploads = new TransferLimits(config.uploads);
  const pool = stack.use(new ConnectionPool());
  const peers = {
    config: config.peers,
    offers: router.offers,
    events: events.gateEvents,
    log,
    now: () => performance.now(),
  };
  const channels = peerChannels(peers);
  const mirror = new Mirror({
    router,
    client: new PeerClient({
      pool,
      ...(channels === undefined ? {} : { channels }),
      onAnswer: (transport) => events.answered(transport),
      ...traced,
      ...(credentials === undefined ? {} : { authorization: basicAuthorization(credentials) }),
    }),
    book: new PeerBook(config.zone === undefined ? {} : { zone: config.zone }),
    downloads,
    resolveTimeoutMs: config.resolveTimeoutMs,
    resolveRetries: config.resolveRetries,
    log,
    events: debugging?.mirrorEvents(events.mirrorEvents) ?? events.mirrorEvents,
    ...traced,
  });
  const tags = config.tagResolution && stack.use(createTagDesk(config.tagResolution, {
    filter,
    privateRegistries: config.access?.registries ?? [],
    log,
    events: events.tagEvents,
  })).desk;
  const sharing = config.sharesInProgress
    ? createSharing(store, router.messenger, log, { ...events, ...(tags && { tags }) })
    : undefined;
  await sharing?.serve();
  // Open as long as the process: what it does for a transfer may end after everything else.
  const libc = openLibc();
  revoke?.({ name: "ffi" });
  if (libc === undefined) log.debug("no access to the C library: the kernel sends no files");
  const access = config.access &&
    stack.use(createAccessGate(config.access, {
      store,
      knowsPeers: credentials !== undefined || clusterSecretPath !== undefined,
      log,
      onVerdict: (verdict) => events.proved(verdict),
    })).gate;
  const registry = new Registry({
    store,
    router,
    mirror,
    filter,
    defaultRegistry: config.defaultRegistry,
    uploads,
    chunkList: (digest) => store.chunkList(digest),
    ...(credentials === undefined ? {} : { credentials }),
    ...(sharing === undefined ? {} : { sharing }),
    ...(access === undefined ? {} : { access }),
    ...traced,
    log,
  });
  const serving = { log, observer: activity, ...traced };
  const gate = localGate(peers, registry);
  // The kernel sends files as they are: not for the port that speaks TLS.
  const sender = new BodySender({ libc });
  const server = new RegistryServer({ ...serving, registry: gate, sender });
  const syncing = new AbortController();
  const routes = debugging?.routes({
    version: VERSION,
    ...(config.zone === undefined ? {} : { zone: config.zone }),
    store,
    router,
    ...(sharing === undefined ? {} : { sharing }),
    activity,
    uploads: () => transferStatus(uploads, config.uploads),
    downloads: () => transferStatus(downloads, config.downloads),
    transfer: (known) => peerTransferStatus(config.peers, gate, channels, known),
    settings: nodeSettings(config),
    now: () => performance.now(),
  }, { mirror, filter, signal: syncing.signal });
  const metricsServer = new MetricsServer(metrics, log, routes);
  await metricsServer.listen(config.metricsAddr);
  stack.defer(() => metricsServer.close());
  const registryPort = await server.listen(config.registryAddr);
  const peerServer = await servePeers(peers, { ...serving, registry });

  const onAdvertised = (counts: AdvertisedCounts) => {
    events.advertised(counts);
    activity.setAdvertised(counts);
  };
  const sync = new Sync({ store, router, filter, log, onAdvertised });
  store.ingests.watch(() => sharing?.wake(), syncing.signal);
  const running = Promise.all([
    sync.run(syncing.signal),
    sharing?.run(syncing.signal),
    debugging?.run(syncing.signal),
    libc && trimMemory(libc, syncing.signal),
  ]);
  stack.defer(async () => {
    syncing.abort();
    await running;
  });

  // The identity is written by now. containerd's socket is reached by the permission to write, also after its restart.
  if (config.store.kind !== "containerd") revoke?.({ name: "write" });
  log.info("running Kagami", { version: VERSION, registry: registryPort, store: store.name });
  await aborted(signal);
  log.info("stopping", { graceMs: config.shutdownGraceMs });
  await Promise.all([server, peerServer].map((one) => one?.close(config.shutdownGraceMs)));
}

function transferStatus(limits: TransferLimits, config: TransferConfig): TransferStatus {
  const { maxStreams, bytesPerSecond } = config;
  return { active: limits.active, most: maxStreams, bytesPerSecond };
}

function nodeSettings(config: RegistryConfig): NodeSettings {
  const { store, dataDir, mirroredRegistries, registryFilters, defaultRegistry } = config;
  const { clusterSecretPath } = config.peers;
  return {
    store: store.kind,
    registryPort: config.registryAddr.port,
    ...(store.kind === "oci-layout" ? { ociLayoutPath: store.path } : {
      containerdSock: store.sock,
      containerdNamespace: store.namespace,
      containerdContentPath: store.contentPath,
    }),
    ...(dataDir === undefined ? {} : { dataDir }),
    ...(clusterSecretPath === undefined ? {} : { clusterSecretPath }),
    mirroredRegistries,
    registryFilters,
    defaultRegistry,
  };
}

function createStore(config: StoreConfig, log: Logger): Store {
  if (config.kind === "oci-layout") return new LayoutStore(config);
  return new ContainerdStore({ ...config, log });
}

function createBootstrapper(config: BootstrapConfig, log: Logger): Bootstrapper {
  switch (config.kind) {
    case "static":
      return new StaticBootstrapper(config.peers);
    case "dns":
      return new DnsBootstrapper(config.domain);
    case "http":
      return new HttpBootstrapper(config);
    case "kubernetes": {
      const { lease, namespace } = config;
      const options = { name: lease, ...(namespace === undefined ? {} : { namespace }) };
      return new KubernetesBootstrapper({ client: createLeaseClient(options), log });
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  signal.addEventListener("abort", () => resolve(), { once: true });
  return promise;
}
