/**
 * Finds out who has a content.
 *
 * @module
 */
import { NotFoundError } from "../errors.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import type { Peer, Router } from "../routing/router.ts";
import type { Download } from "../share/messages.ts";
import type { RoleView } from "../share/participant.ts";
import type { Ingest, Store } from "../store/store.ts";
import type { LocalDownload, Location } from "./node_status.ts";

/** Longest search for peers, in milliseconds. */
export const LOCATE_TIMEOUT_MS = 3000;

/** Most peers that are told. */
export const MAX_LOCATED_PEERS = 64;

/** Most downloads of this node that are told where the tag is not known. */
export const MAX_LOCATED_DOWNLOADS = 16;

/** What is known of downloads that are shared. */
export interface SharedDownloads {
  /** What this node does about a content. */
  role(key: string): RoleView | undefined;
  /** Other nodes that are getting a content. */
  look(key: string, signal: AbortSignal): Promise<readonly Download[]>;
}

/** Where to look. */
export interface LocateParts {
  readonly store: Store;
  readonly router: Router;
  /** Left out where downloads in progress are not shared. */
  readonly sharing?: SharedDownloads;
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
  const [local, peers, downloads] = await Promise.all([
    findLocally(parts, key),
    findPeers(parts.router, key, bounded),
    isDigest(key) ? parts.sharing?.look(key, bounded) : undefined,
  ]);
  return {
    key,
    local,
    peers,
    ...(downloads === undefined ? {} : { downloads }),
    complete: !bounded.aborted && peers.length < MAX_LOCATED_PEERS,
    milliseconds: Math.round(parts.now() - startedAt),
  };
}

async function findLocally(
  { store, sharing }: LocateParts,
  key: string,
): Promise<Location["local"]> {
  try {
    const digest = isDigest(key) ? key : await store.resolve(key);
    const { size } = await store.descriptor(digest);
    return { present: true, digest, size };
  } catch (error) {
    if (!(error instanceof NotFoundError)) {
      return { present: false, failure: error instanceof Error ? error.message : String(error) };
    }
    if (!isDigest(key)) return { present: false, ...await findDownloads(store, sharing) };
    const download = await findDownload(store, sharing, key);
    return { present: false, ...(download === undefined ? {} : { download }) };
  }
}

async function findDownloads(
  store: Store,
  sharing: SharedDownloads | undefined,
): Promise<Pick<Location["local"], "downloads">> {
  // The store answered a moment ago; if it is away by now, there is nothing to tell.
  const ingests = await store.ingests?.list().catch(() => []) ?? [];
  if (ingests.length === 0) return {};
  const shown = ingests.slice(0, MAX_LOCATED_DOWNLOADS);
  return {
    downloads: shown.map((ingest) => ({ digest: ingest.digest, ...viewOf(ingest, sharing) })),
  };
}

async function findDownload(
  store: Store,
  sharing: SharedDownloads | undefined,
  digest: Digest,
): Promise<LocalDownload | undefined> {
  const ingest = await store.ingests?.find(digest).catch(() => undefined);
  return ingest && viewOf(ingest, sharing);
}

function viewOf(
  { digest, offset, total }: Ingest,
  sharing: SharedDownloads | undefined,
): LocalDownload {
  const role = sharing?.role(digest);
  if (role?.state === "fetching") return { offset, total, from: "upstream" };
  if (role?.parent === undefined) return { offset, total };
  return { offset, total, from: { peer: role.parent } };
}

async function findPeers(router: Router, key: string, signal: AbortSignal): Promise<Peer[]> {
  const peers: Peer[] = [];
  for await (const peer of router.lookup(key, { count: MAX_LOCATED_PEERS, signal })) {
    peers.push(peer);
  }
  return peers;
}
