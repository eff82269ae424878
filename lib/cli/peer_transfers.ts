/**
 * Puts together how content travels between nodes: the port for peers over TLS, and who is let in where.
 *
 * @module
 */
import type { PeerConfig } from "../config/config.ts";
import type { PeerTransferStatus } from "../debug/node_status.ts";
import { createCertificate } from "../net/certificate.ts";
import { LocalClients } from "../net/local_clients.ts";
import type { Logger } from "../observability/logger.ts";
import { type GateEvents, LocalGate, PeerGate } from "../registry/gates.ts";
import type { Answerer } from "../registry/messages.ts";
import { RegistryServer, type RegistryServerOptions } from "../registry/registry_server.ts";
import { TransferTokens } from "../registry/transfer_tokens.ts";
import type { Peer } from "../routing/router.ts";
import type { TransferOffers } from "../routing/transfer_offer.ts";
import { PeerChannels } from "../transfer/peer_channels.ts";

/** What is needed. */
export interface PeerTransferParts {
  readonly config: PeerConfig;
  readonly offers: TransferOffers;
  readonly events: GateEvents;
  readonly log: Logger;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
}

/**
 * @param parts What is needed.
 * @returns How to speak with peers; undefined if it is always plainly.
 */
export function peerChannels({ config, offers, now }: PeerTransferParts): PeerChannels | undefined {
  if (config.tls === "never") return undefined;
  return new PeerChannels({ offers, required: config.tls === "required", now });
}

/**
 * @param parts What is needed.
 * @param registry What answers.
 * @returns What answers on the plain port.
 */
export function localGate(
  { config, events, log }: PeerTransferParts,
  registry: Answerer,
): LocalGate {
  const clients = new LocalClients(config.localClients);
  const isLocal = config.tls === "required" ? (ip: string) => clients.has(ip) : undefined;
  return new LocalGate({
    registry,
    events,
    log,
    ...(isLocal === undefined ? {} : { isLocal }),
  });
}

/**
 * Listens for peers over TLS, and tells them so.
 *
 * @param parts What is needed.
 * @param options Options of the plain port's server; `registry` is what is behind its gate.
 * @returns The server; undefined if there is no TLS.
 * @throws {UnavailableError} If the address cannot be listened on.
 */
export async function servePeers(
  { config, offers, events, log, now }: PeerTransferParts,
  options: RegistryServerOptions,
): Promise<RegistryServer | undefined> {
  if (config.tls === "never") return undefined;
  const tokens = new TransferTokens({ now });
  const tls = createCertificate();
  const server = new RegistryServer({
    ...options,
    registry: new PeerGate({ registry: options.registry, tokens, events }),
    tls,
  });
  const port = await server.listen(config.tlsAddr);
  const { certificate } = tls;
  await offers.serve((peer) => ({ port, certificate, token: tokens.issue(peer) }));
  log.info("content travels over TLS", {
    port,
    toPeers: config.tls,
    members: config.clusterSecretPath === undefined ? "all" : "with the secret",
  });
  return server;
}

/**
 * Tells how content travels.
 *
 * @param config What is wanted.
 * @param gate The gate of the plain port.
 * @param channels How peers are spoken to.
 * @param peers The peers to tell of.
 * @returns The state.
 */
export async function peerTransferStatus(
  config: PeerConfig,
  gate: LocalGate,
  channels: PeerChannels | undefined,
  peers: readonly Peer[],
): Promise<PeerTransferStatus> {
  return {
    tls: config.tls,
    membersOnly: config.clusterSecretPath !== undefined,
    transports: await channels?.survey(peers) ?? {},
    refusedContainerds: gate.refusedContainerds,
  };
}
