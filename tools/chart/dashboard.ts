/**
 * The dashboard for Grafana.
 *
 * @module
 */
import type { Json } from "./values.ts";

/** A line of a panel: legend and PromQL. */
type Query = readonly [legend: string, expression: string];

interface Panel {
  readonly title: string;
  readonly unit: string;
  readonly queries: readonly Query[];
}

/** Names such as http_requests_inflight are also those of other programs; the job tells them apart. */
const OURS = 'job=~"$job", instance=~"$instance"';
const RATE = "[$__rate_interval]";

function quantiles(metric: string, labels: string): Query[] {
  return ["0.5", "0.99"].map((quantile) => [
    `p${Number(quantile) * 100}`,
    `histogram_quantile(${quantile}, sum by (le) (rate(${metric}_bucket{${labels}}${RATE})))`,
  ]);
}

function hitRatio(by: string, range: string): string {
  const sum = (labels: string) =>
    `sum${by} (increase(spegel_mirror_requests_total{${labels}}${range}))`;
  return `${sum(`${OURS}, cache="hit"`)} / ${sum(OURS)}`;
}

const STATS: readonly Panel[] = [
  {
    title: "Mirrors",
    unit: "none",
    queries: [["", `count(count by (instance) (http_requests_inflight{${OURS}}))`]],
  },
  { title: "Hit ratio, 1 h", unit: "percentunit", queries: [["", hitRatio("", "[1h]")]] },
  {
    title: "Since the last hit",
    unit: "s",
    queries: [["", `time() - max(spegel_mirror_last_success_timestamp_seconds{${OURS}} > 0)`]],
  },
  {
    title: "Contents that were not what they claimed, 24 h",
    unit: "none",
    queries: [["", `sum(increase(kagami_verification_failures_total{${OURS}}[24h]))`]],
  },
];

const GRAPHS: readonly Panel[] = [
  {
    title: "Requests that went to peers",
    unit: "reqps",
    queries: [["{{cache}}", `sum by (cache) (rate(spegel_mirror_requests_total{${OURS}}${RATE}))`]],
  },
  {
    title: "Hit ratio by registry",
    unit: "percentunit",
    queries: [["{{registry}}", hitRatio(" by (registry)", RATE)]],
  },
  {
    title: "Content served, by where it came from",
    unit: "Bps",
    queries: [["{{source}}", `sum by (source) (rate(kagami_served_bytes_total{${OURS}}${RATE}))`]],
  },
  {
    title: "Time to the first peer",
    unit: "s",
    queries: quantiles("spegel_resolve_duration_seconds", OURS),
  },
  {
    title: "Requests by status",
    unit: "reqps",
    queries: [[
      "{{code}}",
      `sum by (code) (rate(http_request_duration_seconds_count{${OURS}, handler="/v2/*"}${RATE}))`,
    ]],
  },
  {
    title: "Duration of requests",
    unit: "s",
    queries: quantiles("http_request_duration_seconds", `${OURS}, handler="/v2/*"`),
  },
  {
    title: "Size of answers",
    unit: "bytes",
    queries: quantiles("http_response_size_bytes", `${OURS}, handler="/v2/*"`),
  },
  {
    title: "Requests in flight",
    unit: "none",
    queries: [["{{instance}}", `sum by (instance) (http_requests_inflight{${OURS}})`]],
  },
  {
    title: "Advertised",
    unit: "none",
    queries: [
      ["tags", `sum(spegel_advertised_image_tags{${OURS}})`],
      ["images", `sum(spegel_advertised_image_digests{${OURS}})`],
      ["contents", `sum(spegel_advertised_content_digests{${OURS}})`],
    ],
  },
  {
    title: "What went wrong, and was made good",
    unit: "ops",
    queries: [
      ["answers of peers that failed", `sum(rate(kagami_peer_failures_total{${OURS}}${RATE}))`],
      ["bodies continued elsewhere", `sum(rate(kagami_transfer_resumes_total{${OURS}}${RATE}))`],
      ["peers asked beside a slow one", `sum(rate(kagami_transfer_hedges_total{${OURS}}${RATE}))`],
    ],
  },
  {
    title: "Requests between nodes, and who was refused",
    unit: "ops",
    queries: [
      [
        "{{direction}}, {{transport}}",
        `sum by (direction, transport) (rate(kagami_peer_requests_total{${OURS}}${RATE}))`,
      ],
      [
        "refused: {{reason}}",
        `sum by (reason) (rate(kagami_peer_refusals_total{${OURS}}${RATE}))`,
      ],
    ],
  },
  {
    title: "Load on peers",
    unit: "ops",
    queries: [
      ["requests refused by busy peers", `sum(rate(kagami_peer_busy_total{${OURS}}${RATE}))`],
      [
        "further peers for one content",
        `sum(rate(kagami_transfer_lanes_added_total{${OURS}}${RATE}))`,
      ],
    ],
  },
  {
    title: "Downloads shared in progress",
    unit: "ops",
    queries: [
      [
        "contents that did not come from upstream",
        `sum(rate(kagami_share_avoided_total{${OURS}}${RATE}))`,
      ],
      ["contents fetched for all", `sum(rate(kagami_share_fetches_total{${OURS}}${RATE}))`],
      ["contents passed on meanwhile", `sum(rate(kagami_share_served_total{${OURS}}${RATE}))`],
      ["waits that were given up", `sum(rate(kagami_share_abandoned_total{${OURS}}${RATE}))`],
    ],
  },
  {
    title: "Tags resolved together",
    unit: "ops",
    queries: [
      ["questions to upstream", `sum(rate(kagami_share_tag_questions_total{${OURS}}${RATE}))`],
      ["answers from them", `sum(rate(kagami_share_tag_answers_total{${OURS}}${RATE}))`],
    ],
  },
  {
    title: "Wait for shared downloads",
    unit: "s",
    queries: quantiles("kagami_share_wait_seconds", OURS),
  },
  {
    title: "Access to private content",
    unit: "reqps",
    queries: [
      ["{{result}}", `sum by (result) (rate(kagami_access_proofs_total{${OURS}}${RATE}))`],
    ],
  },
];

const DATASOURCE = { type: "prometheus", uid: "${datasource}" };

function panelJson(panel: Panel, id: number, type: string, gridPos: Json): Json {
  return {
    id,
    type,
    title: panel.title,
    datasource: DATASOURCE,
    gridPos,
    fieldConfig: { defaults: { unit: panel.unit }, overrides: [] },
    targets: panel.queries.map(([legendFormat, expr], index) => ({
      refId: String.fromCharCode("A".charCodeAt(0) + index),
      datasource: DATASOURCE,
      expr,
      legendFormat,
    })),
  };
}

function variable(name: string, query: string): Json {
  return {
    name,
    label: name,
    type: "query",
    datasource: DATASOURCE,
    query,
    refresh: 2,
    multi: true,
    includeAll: true,
    allValue: ".+",
    current: { text: "All", value: "$__all" },
  };
}

/**
 * Makes the dashboard.
 *
 * @returns It, in Grafana's JSON.
 */
export function dashboard(): Json {
  const stats = STATS.map((panel, index) =>
    panelJson(panel, index + 1, "stat", { x: index * 6, y: 0, w: 6, h: 4 })
  );
  const graphs = GRAPHS.map((panel, index) => {
    const place = { x: index % 2 * 12, y: 4 + Math.floor(index / 2) * 8, w: 12, h: 8 };
    return panelJson(panel, STATS.length + index + 1, "timeseries", place);
  });
  return {
    uid: "kagami",
    title: "Kagami",
    tags: ["kagami"],
    schemaVersion: 39,
    editable: true,
    refresh: "1m",
    time: { from: "now-6h", to: "now" },
    templating: {
      list: [
        { name: "datasource", label: "datasource", type: "datasource", query: "prometheus" },
        variable("job", "label_values(spegel_mirror_last_success_timestamp_seconds, job)"),
        variable(
          "instance",
          'label_values(spegel_mirror_last_success_timestamp_seconds{job=~"$job"}, instance)',
        ),
      ],
    },
    panels: [...stats, ...graphs],
  };
}
