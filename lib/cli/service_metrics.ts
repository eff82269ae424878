/**
 * Ties what happens in the service to its metrics.
 *
 * @module
 */
import type { GateEvents, Transport } from "../registry/gates.ts";
import type { Verdict } from "../access/proofs.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { Exchange, ExchangeObserver } from "../registry/registry_server.ts";
import { ClientGoneError } from "../registry/send_body.ts";
import type { ShareEvents } from "../share/participant.ts";
import type { TagEvents } from "../share/tag_desk.ts";
import type { AdvertisedCounts } from "../sync/sync.ts";
import type { MirrorEvents } from "../transfer/mirror_events.ts";

/** Most registries that have a label of their own; requests can name any. */
export const MAX_REGISTRY_LABELS = 256;

const VERDICTS = ["granted", "challenged", "refused", "unreachable", "busy"] satisfies Verdict[
  "result"
][];

const OTHER = "other";
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

/** Listeners that count. */
export interface ServiceMetrics {
  readonly observer: ExchangeObserver;
  readonly mirrorEvents: MirrorEvents;
  readonly shareEvents: ShareEvents;
  readonly tagEvents: TagEvents;
  readonly gateEvents: GateEvents;
  /** A peer answered. */
  answered(transport: Transport): void;
  /** It was found out whether somebody may have private content. */
  proved(verdict: Verdict): void;
  /** A stored content turned out to be corrupt. */
  corrupt(): void;
  /** The advertised state was brought in line. */
  advertised(counts: AdvertisedCounts): void;
}

/**
 * Creates the listeners.
 *
 * @param metrics Where to count.
 * @param router Value of the label `router`.
 * @returns The listeners.
 */
export function createServiceMetrics(metrics: Metrics, router: string): ServiceMetrics {
  const { counters, gauges, histograms } = metrics;
  // There from the start: Prometheus sees no increase from nothing to one, so the first failure would go unnoticed.
  for (const result of VERDICTS) counters.accessProofs.inc({ result }, 0);
  for (const source of ["local", "peer"]) {
    counters.servedBytes.inc({ source }, 0);
    counters.verificationFailures.inc({ source }, 0);
  }
  for (const reason of ["secret", "token", "plain"]) counters.refusals.inc({ reason }, 0);
  const registries = new Set<string>();
  const registryLabel = (registry: string): string => {
    if (!registries.has(registry) && registries.size >= MAX_REGISTRY_LABELS) return OTHER;
    registries.add(registry);
    return registry;
  };

  const countContent = ({ answer, bytes, complete }: Exchange) => {
    const { handler, path, source, error, isGrowing } = answer.facts;
    if (isGrowing) counters.shareServed.inc();
    if (source !== undefined) {
      counters.servedBytes.inc({ source: source === "local" ? "local" : "peer" }, bytes);
    }
    if (handler !== "mirror") return;
    // containerd 2 fetches a layer in parts and hangs up after each: the peer has delivered all the same.
    const hasDelivered = complete || (bytes > 0 && error instanceof ClientGoneError);
    const isHit = source !== undefined && hasDelivered;
    counters.mirrorRequests.inc({
      registry: registryLabel(path?.registry ?? OTHER),
      cache: isHit ? "hit" : "miss",
    });
    if (isHit) gauges.mirrorLastSuccess.setToCurrentTime();
  };

  return {
    observer: {
      started: (handler) => gauges.httpInflight.inc({ handler }),
      ended: (handler) => gauges.httpInflight.dec({ handler }),
      finished(exchange) {
        const { handler, status, bytes, seconds } = exchange;
        const method = METHODS.has(exchange.method) ? exchange.method : OTHER;
        const labels = { handler, method, code: String(status) };
        histograms.httpDuration.observe(labels, seconds);
        histograms.httpResponseSize.observe(labels, bytes);
        countContent(exchange);
      },
    },
    mirrorEvents: {
      resolved: (seconds) => histograms.resolveDuration.observe({ router }, seconds),
      peerFailed: () => counters.peerFailures.inc(),
      peerBusy: () => counters.peerBusy.inc(),
      hedged: () => counters.hedges.inc(),
      laneAdded: () => counters.lanes.inc(),
      resumed: () => counters.resumes.inc(),
      verificationFailed: () => counters.verificationFailures.inc({ source: "peer" }),
    },
    shareEvents: {
      avoided: () => counters.shareAvoided.inc(),
      fetching: () => counters.shareFetches.inc(),
      abandoned: () => counters.shareAbandoned.inc(),
      waited: (seconds) => histograms.shareWait.observe(seconds),
    },
    tagEvents: {
      asked: () => counters.shareTagQuestions.inc(),
      answered: () => counters.shareTagAnswers.inc(),
    },
    gateEvents: {
      admitted: (transport) => counters.peerRequests.inc({ direction: "received", transport }),
      refused: (reason) => counters.refusals.inc({ reason }),
    },
    answered: (transport) => counters.peerRequests.inc({ direction: "sent", transport }),
    proved: ({ result }) => counters.accessProofs.inc({ result }),
    corrupt: () => counters.verificationFailures.inc({ source: "local" }),
    advertised({ tags, images, contents }) {
      const pairs = [
        [gauges.advertisedImageTags, tags],
        [gauges.advertisedImageDigests, images],
        [gauges.advertisedContentDigests, contents],
      ] as const;
      for (const [gauge, counts] of pairs) {
        gauge.reset();
        for (const [registry, count] of counts) {
          gauge.inc({ registry: registryLabel(registry) }, count);
        }
      }
    },
  };
}
