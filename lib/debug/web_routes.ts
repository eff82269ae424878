/**
 * What the web page reads and asks for, and the page itself.
 *
 * @module
 */
import { InvalidReferenceError, UnavailableError } from "../errors.ts";
import type { PostRequest, RouteAnswer, Routes } from "../observability/metrics_server.ts";
import { normalizeReference, type Reference } from "../oci/reference.ts";
import { type DebugParts, json, nodeStatus } from "./debug_routes.ts";
import type { Images } from "./images.ts";
import type { LiveTransfers } from "./live_transfers.ts";
import type { Measurer } from "./measure.ts";
import {
  IMAGES_PATH,
  MEASURE_PATH,
  type Overview,
  OVERVIEW_PATH,
  type Probe,
  type Problem,
  SAVINGS_PATH,
  type Totals,
} from "./node_activity.ts";
import type { NodeStatus } from "./node_status.ts";
import type { PeerProbes } from "./peer_probes.ts";
import type { RecentErrors } from "./recent_errors.ts";
import { isForeign } from "./same_origin.ts";
import type { Savings } from "./savings.ts";
import { WEB_PATH, webPageRoutes } from "./web_page.ts";

/** What the page shows. */
export interface WebParts extends DebugParts {
  readonly transfers: LiveTransfers;
  readonly totals: () => Totals;
  readonly savings: Savings;
  readonly errors: RecentErrors;
  readonly probes: PeerProbes;
  readonly images: Images;
  readonly measurer: Measurer;
  /** Finds what is wrong now. */
  readonly problems: (
    status: NodeStatus,
    probes: Readonly<Record<string, Probe>>,
  ) => readonly Problem[];
}

/**
 * Makes the paths.
 *
 * @param parts What the page shows.
 * @returns What answers, by path.
 */
export function webRoutes(parts: WebParts): Routes {
  const startedAt = parts.now();
  return {
    ...webPageRoutes(),
    // Spegel has it; what reads the identity of its nodes there can go on.
    [`${WEB_PATH}metadata`]: () =>
      Promise.resolve(json(200, { libp2p: { id: parts.router.self().id } })),
    [OVERVIEW_PATH]: async () => json(200, await overview(parts, startedAt)),
    [SAVINGS_PATH]: () => Promise.resolve(json(200, parts.savings.series())),
    [IMAGES_PATH]: (url) => images(parts.images, url),
    [MEASURE_PATH]: { post: (request) => measure(parts.measurer, request) },
  };
}

async function overview(parts: WebParts, startedAt: number): Promise<Overview> {
  const { store, transfers, errors } = parts;
  const [status, ingests] = await Promise.all([
    nodeStatus(parts, startedAt),
    // While containerd is away nothing is written; the state of the node tells that it is.
    store.ingests?.list().catch(() => []),
  ]);
  const probes = parts.probes.look(status.peers);
  const listed = transfers.list(ingests);
  return {
    status,
    probes,
    totals: parts.totals(),
    transfers: listed.transfers,
    moreTransfers: listed.more,
    finished: transfers.finished(),
    problems: parts.problems(status, probes),
    errors: errors.list(),
  };
}

async function images(list: Images, url: URL): Promise<RouteAnswer> {
  try {
    return json(200, await list.list(url.searchParams.get("filter") ?? ""));
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    return json(503, { error: error.message });
  }
}

async function measure(measurer: Measurer, request: PostRequest): Promise<RouteAnswer> {
  const { header, body, signal } = request;
  if (isForeign(header)) return json(403, { error: "only the page of this mirror may ask for it" });
  // A form of another page cannot send it.
  if (!/^application\/json\s*(;|$)/i.test(header("content-type") ?? "")) {
    return json(415, { error: 'send JSON: {"image": "<registry>/<repository>:<tag>"}' });
  }
  let reference: Reference;
  try {
    reference = normalizeReference(imageOf(body));
  } catch (error) {
    if (!(error instanceof InvalidReferenceError)) throw error;
    return json(400, { error: error.message });
  }
  try {
    return json(200, await measurer.measure(reference, signal));
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    return json(409, { error: error.message });
  }
}

function imageOf(body: string): string {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    // Told below.
  }
  const image = typeof value === "object" && value !== null && "image" in value ? value.image : "";
  if (typeof image === "string" && image.trim() !== "") return image.trim();
  throw new InvalidReferenceError('name an image: {"image": "<registry>/<repository>:<tag>"}');
}
