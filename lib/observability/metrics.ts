/**
 * Prometheus metrics, with Spegel's names where they mean the same. `docs/metrics.md` is generated from
 * {@linkcode METRIC_DEFINITIONS}.
 *
 * @module
 */
import { Counter, Gauge, Histogram, Registry as PrometheusRegistry } from "prom-client";

/** A metric as it is documented. */
export interface MetricDefinition {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[];
}

/** Prometheus' usual buckets for durations in seconds. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** 1 KiB to 2 GiB in steps of five times. */
const BYTES = Array.from({ length: 10 }, (_, step) => 1024 * 5 ** step);

const DEFINITIONS = {
  mirrorRequests: {
    name: "spegel_mirror_requests_total",
    type: "counter",
    help:
      "Requests that went to peers, by upstream registry; cache is hit if a peer delivered, else miss.",
    labels: ["registry", "cache"],
  },
  mirrorLastSuccess: {
    name: "spegel_mirror_last_success_timestamp_seconds",
    type: "gauge",
    help: "Unix time of the last request that a peer could serve.",
    labels: [],
  },
  resolveDuration: {
    name: "spegel_resolve_duration_seconds",
    type: "histogram",
    help: "Time until the router found the first peer for a key.",
    labels: ["router"],
    buckets: [0.001, 0.0025, ...SECONDS],
  },
  advertisedImageTags: {
    name: "spegel_advertised_image_tags",
    type: "gauge",
    help: "Image tags that are advertised, by registry.",
    labels: ["registry"],
  },
  advertisedImageDigests: {
    name: "spegel_advertised_image_digests",
    type: "gauge",
    help: "Digests of images that are advertised, by registry.",
    labels: ["registry"],
  },
  advertisedContentDigests: {
    name: "spegel_advertised_content_digests",
    type: "gauge",
    help: "Digests of all content that is advertised, by registry.",
    labels: ["registry"],
  },
  httpDuration: {
    name: "http_request_duration_seconds",
    type: "histogram",
    help: "Duration of HTTP requests to the registry, until the body was sent.",
    labels: ["handler", "method", "code"],
    buckets: SECONDS,
  },
  httpResponseSize: {
    name: "http_response_size_bytes",
    type: "histogram",
    help: "Size of the bodies that were sent.",
    labels: ["handler", "method", "code"],
    buckets: BYTES,
  },
  httpInflight: {
    name: "http_requests_inflight",
    type: "gauge",
    help: "HTTP requests that are being answered.",
    labels: ["handler"],
  },
  servedBytes: {
    name: "kagami_served_bytes_total",
    type: "counter",
    help: "Bytes of content that were sent, by where they came from (local, peer).",
    labels: ["source"],
  },
  peerFailures: {
    name: "kagami_peer_failures_total",
    type: "counter",
    help: "Answers of peers that failed: unreachable, too slow, broken off, or wrong.",
    labels: [],
  },
  resumes: {
    name: "kagami_transfer_resumes_total",
    type: "counter",
    help: "Bodies that were continued from another peer after one broke off.",
    labels: [],
  },
  peerBusy: {
    name: "kagami_peer_busy_total",
    type: "counter",
    help: "Requests that a peer refused because it has too much to do.",
    labels: [],
  },
  hedges: {
    name: "kagami_transfer_hedges_total",
    type: "counter",
    help: "Peers that were asked beside one that was slow to answer.",
    labels: [],
  },
  lanes: {
    name: "kagami_transfer_lanes_added_total",
    type: "counter",
    help: "Peers that delivered a content together with others at the same time.",
    labels: [],
  },
  shareAvoided: {
    name: "kagami_share_avoided_total",
    type: "counter",
    help:
      "Contents that came whole from a node that was getting them at the same time, and not from upstream.",
    labels: [],
  },
  shareFetches: {
    name: "kagami_share_fetches_total",
    type: "counter",
    help:
      "Contents, or the rest of one, that this node went upstream for on behalf of those who wanted the same.",
    labels: [],
  },
  shareAbandoned: {
    name: "kagami_share_abandoned_total",
    type: "counter",
    help:
      "Waits for a node that was getting a content which were given up, since it did not deliver in time.",
    labels: [],
  },
  shareServed: {
    name: "kagami_share_served_total",
    type: "counter",
    help: "Contents that this node passed on to another one while it was getting them itself.",
    labels: [],
  },
  shareTagQuestions: {
    name: "kagami_share_tag_questions_total",
    type: "counter",
    help: "Tags that this node asked upstream about, on behalf of all who pulled them.",
    labels: [],
  },
  shareTagAnswers: {
    name: "kagami_share_tag_answers_total",
    type: "counter",
    help:
      "Answers that this node gave about tags, to itself and to others, from what upstream said.",
    labels: [],
  },
  shareWait: {
    name: "kagami_share_wait_seconds",
    type: "histogram",
    help:
      "Time from a request for content that nobody had to its first byte or to the decision to go upstream.",
    labels: [],
    buckets: SECONDS,
  },
  peerRequests: {
    name: "kagami_peer_requests_total",
    type: "counter",
    help:
      "Requests between nodes: of peers that were let in (received), and to peers that answered (sent), over TLS or plain.",
    labels: ["direction", "transport"],
  },
  refusals: {
    name: "kagami_peer_refusals_total",
    type: "counter",
    help:
      "Nodes that were refused: without the cluster's secret (secret), without a token over TLS (token), or with a plain request that is not of this node where TLS is required (plain).",
    labels: ["reason"],
  },
  accessProofs: {
    name: "kagami_access_proofs_total",
    type: "counter",
    help:
      "Requests for private content, by what its registry says of the client (granted, challenged, refused, unreachable, busy).",
    labels: ["result"],
  },
  verificationFailures: {
    name: "kagami_verification_failures_total",
    type: "counter",
    help: "Contents that did not match their digest, by where they came from (local, peer).",
    labels: ["source"],
  },
} as const satisfies Record<string, MetricDefinition>;

/** All metrics of the service, in the order of the documentation. */
export const METRIC_DEFINITIONS: readonly MetricDefinition[] = Object.values(DEFINITIONS);

type Definitions = typeof DEFINITIONS;
type Names<Type> = { [K in keyof Definitions]: Definitions[K]["type"] extends Type ? K : never }[
  keyof Definitions
];

/** The metrics of one service. */
export interface Metrics {
  readonly counters: Readonly<Record<Names<"counter">, Counter>>;
  readonly gauges: Readonly<Record<Names<"gauge">, Gauge>>;
  readonly histograms: Readonly<Record<Names<"histogram">, Histogram>>;
  /** @returns All of them in Prometheus' text format, with the content type to send it as. */
  render(): Promise<{ readonly contentType: string; readonly text: string }>;
}

/**
 * Creates the metrics, in a Prometheus registry of their own.
 *
 * @returns The metrics, all at zero.
 */
export function createMetrics(): Metrics {
  const registry = new PrometheusRegistry();
  const counters: Record<string, Counter> = {};
  const gauges: Record<string, Gauge> = {};
  const histograms: Record<string, Histogram> = {};
  for (const [key, definition] of Object.entries<MetricDefinition>(DEFINITIONS)) {
    const { name, type, help, labels, buckets = [] } = definition;
    const options = { name, help, labelNames: [...labels], registers: [registry] };
    if (type === "counter") counters[key] = new Counter(options);
    else if (type === "gauge") gauges[key] = new Gauge(options);
    else histograms[key] = new Histogram({ ...options, buckets: [...buckets] });
  }
  return {
    // The loop above made exactly the keys that these types list.
    counters: counters as Metrics["counters"],
    gauges: gauges as Metrics["gauges"],
    histograms: histograms as Metrics["histograms"],
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}
