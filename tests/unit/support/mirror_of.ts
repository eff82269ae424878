/**
 * A mirror in front of peers, in one process.
 *
 * @module
 */
import { type DistributionPath, parseDistributionPath } from "../../../lib/oci/distribution.ts";
import type { DigestPath } from "../../../lib/oci/distribution.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { MemoryNetwork, MemoryRouter } from "../../../lib/routing/memory_router.ts";
import type { Peer, Router } from "../../../lib/routing/router.ts";
import { Mirror, type MirrorOptions } from "../../../lib/transfer/mirror.ts";
import { PeerBook } from "../../../lib/transfer/peer_book.ts";
import { PeerClient } from "../../../lib/transfer/peer_client.ts";

/** Time limits for peers that hang on purpose. */
export const TEST_TIMEOUTS = {
  connectMs: 1000,
  headMs: 1000,
  interimMs: 5000,
  stallMs: 150,
} as const;

/** A mirror with what it uses, and what it reported. */
export interface TestMirror {
  readonly mirror: Mirror;
  readonly router: Router;
  readonly network: MemoryNetwork;
  /** Names of events in their order, with the peer's identity. */
  readonly events: string[];
}

/** Announces a key for a peer. */
export async function announce(network: MemoryNetwork, peer: Peer, key: string): Promise<void> {
  await new MemoryRouter({ network, self: peer }).advertise([key]);
}

/**
 * Makes a mirror that asks the peers in the order given.
 *
 * @param key What all peers announce.
 * @param peers The peers.
 * @param overrides Options other than the usual ones.
 * @returns The mirror.
 */
export async function mirrorOf(
  key: string,
  peers: readonly Peer[],
  overrides: Partial<MirrorOptions> = {},
): Promise<TestMirror> {
  const network = new MemoryNetwork();
  for (const peer of peers) await announce(network, peer, key);
  const router = overrides.router ?? new MemoryRouter({
    network,
    self: { id: "self", addresses: ["127.0.0.1"], registryPort: 1 },
  });
  const events: string[] = [];
  const mirror = new Mirror({
    router,
    client: new PeerClient({ timeouts: TEST_TIMEOUTS }),
    resolveTimeoutMs: 200,
    resolveRetries: 3,
    log: silentLogger,
    book: new PeerBook({ random: () => 0 }),
    events: {
      resolved: () => events.push("resolved"),
      peerFailed: (peer) => events.push(`failed ${peer.id}`),
      resumed: () => events.push("resumed"),
      verificationFailed: (peer) => events.push(`wrong ${peer.id}`),
      laneAdded: () => events.push("lane added"),
    },
    ...overrides,
  });
  return { mirror, router, network, events };
}

/** @returns The path of a blob of `docker.io/library/test`. */
export function blobPath(digest: Digest): DigestPath {
  return pathOf(`/v2/library/test/blobs/${digest}`) as DigestPath;
}

/** @returns The path of a manifest of `docker.io/library/test`, by tag or digest. */
export function manifestPath(tagOrDigest: string): DistributionPath {
  return pathOf(`/v2/library/test/manifests/${tagOrDigest}`);
}

function pathOf(pathname: string): DistributionPath {
  return parseDistributionPath(pathname, "docker.io", "docker.io");
}
