/**
 * Finds out who has a content.
 *
 * @module
 */
import { NotFoundError } from "../errors.ts";
import { isDigest } from "../oci/digest.ts";
import type { Peer, Router } from "../routing/router.ts";
import type { Store } from "../store/store.ts";
import type { Location } from "./node_status.ts";

/** Longest search for peers, in milliseconds. */
export const LOCATE_TIMEOUT_MS = 3000;

/** Most peers that are told. */
export const MAX_LOCATED_PEERS = 64;

/** Where to look. */
export interface LocateParts {
  readonly store: Store;
  readonly router: Router;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
}

/**
 * Looks for a content in the store and among peers.
 *
 * @param parts Where.
 * @param key Digest, or full tag reference.
 * @param signal Ends the search.
 * @returns Who has it.
 */
export async function locate(
  parts: LocateParts,
  key: string,
  signal: AbortSignal,
): Promise<Location> {
  const startedAt = parts.now();
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(LOCATE_TIMEOUT_MS)]);
  const [local, peers] = await Promise.all([
    findLocally(parts.store, key),
    findPeers(parts.router, key, bounded),
  ]);
  return {
    key,
    local,
    peers,
    complete: !bounded.aborted && peers.length < MAX_LOCATED_PEERS,
    milliseconds: Math.round(parts.now() - startedAt),
  };
}

async function findLocally(store: Store, key: string): Promise<Location["local"]> {
  try {
    const digest = isDigest(key) ? key : await store.resolve(key);
    const { size } = await store.descriptor(digest);
    return { present: true, digest, size };
  } catch (error) {
    if (error instanceof NotFoundError) return { present: false };
    return { present: false, failure: error instanceof Error ? error.message : String(error) };
  }
}

async function findPeers(router: Router, key: string, signal: AbortSignal): Promise<Peer[]> {
  const peers: Peer[] = [];
  for await (const peer of router.lookup(key, { count: MAX_LOCATED_PEERS, signal })) {
    peers.push(peer);
  }
  return peers;
}
