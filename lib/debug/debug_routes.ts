/**
 * The paths below `/debug/`, for the metrics server.
 *
 * @module
 */
import { isDigest } from "../oci/digest.ts";
import { parseReference } from "../oci/reference.ts";
import type { Route, RouteAnswer } from "../observability/metrics_server.ts";
import type { Peer } from "../routing/router.ts";
import type { Activity } from "./activity.ts";
import { locate, type LocateParts } from "./locate.ts";
import {
  LOCATE_PATH,
  type NodeSettings,
  type NodeStatus,
  type PeerTransferStatus,
  STATUS_PATH,
  type TransferStatus,
} from "./node_status.ts";

/** What the paths tell of. */
export interface DebugParts extends LocateParts {
  readonly version: string;
  readonly zone?: string;
  readonly activity: Activity;
  readonly uploads: () => TransferStatus;
  readonly downloads: () => TransferStatus;
  /** How content travels to and from some peers. */
  readonly transfer?: (peers: readonly Peer[]) => Promise<PeerTransferStatus>;
  readonly settings: NodeSettings;
}

/**
 * Makes the paths.
 *
 * @param parts The running service.
 * @returns What answers, by path.
 */
export function debugRoutes(parts: DebugParts): Record<string, Route> {
  const startedAt = parts.now();
  return {
    [STATUS_PATH]: async () => json(200, await nodeStatus(parts, startedAt)),
    [LOCATE_PATH]: async (url, signal) => {
      const key = url.searchParams.get("key") ?? "";
      if (!isKey(key)) {
        return json(400, { error: "key must be a digest or <registry>/<repository>:<tag>" });
      }
      return json(200, await locate(parts, key, signal));
    },
  };
}

/**
 * @param status Status code.
 * @param value What is told.
 * @returns The answer.
 */
export function json(status: number, value: object): RouteAnswer {
  return { status, contentType: "application/json", text: JSON.stringify(value) + "\n" };
}

function isKey(text: string): boolean {
  if (isDigest(text)) return true;
  try {
    return parseReference(text).digest === undefined;
  } catch {
    return false;
  }
}

/**
 * Looks at the node.
 *
 * @param parts The running service.
 * @param startedAt When it was started.
 * @returns Its state.
 */
export async function nodeStatus(parts: DebugParts, startedAt: number): Promise<NodeStatus> {
  const { version, zone, store, router, activity, settings, now } = parts;
  const peers = await router.peers();
  const [storeStatus, routerStatus, transfer] = await Promise.all([
    store.status(),
    router.status(),
    parts.transfer?.(peers),
  ]);
  const { advertised } = activity;
  return {
    version,
    ...router.self(),
    ...(zone === undefined ? {} : { zone }),
    uptimeSeconds: Math.round((now() - startedAt) / 1000),
    store: { name: store.name, ready: storeStatus.ready, detail: storeStatus.detail },
    router: { name: router.name, ready: routerStatus.ready, detail: routerStatus.detail },
    peers,
    lost: router.lost(),
    links: router.links(),
    ...(advertised === undefined ? {} : { advertised }),
    requests: activity.requests,
    uploads: parts.uploads(),
    downloads: parts.downloads(),
    ...(transfer === undefined ? {} : { transfer }),
    containerdRequests: activity.containerdRequests,
    settings,
  };
}
