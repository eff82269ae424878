import assert from "node:assert/strict";
import { createMetrics, METRIC_DEFINITIONS } from "../../../lib/observability/metrics.ts";

/** Names that dashboards and alerts for Spegel know. */
const SPEGEL_NAMES = [
  "spegel_mirror_requests_total",
  "spegel_mirror_last_success_timestamp_seconds",
  "spegel_resolve_duration_seconds",
  "spegel_advertised_image_tags",
  "spegel_advertised_image_digests",
  "spegel_advertised_content_digests",
  "http_request_duration_seconds",
  "http_response_size_bytes",
  "http_requests_inflight",
];

Deno.test("METRIC_DEFINITIONS has Spegel's names, and Prometheus' rules for all", () => {
  const names = METRIC_DEFINITIONS.map(({ name }) => name);
  assert.deepEqual(SPEGEL_NAMES.filter((name) => !names.includes(name)), []);
  assert.equal(new Set(names).size, names.length);
  for (const { name, type, help, labels, buckets } of METRIC_DEFINITIONS) {
    assert.match(name, /^[a-z][a-z0-9_]*$/);
    assert.equal(name.endsWith("_total"), type === "counter", name);
    assert.ok(help.endsWith("."), name);
    for (const label of labels) assert.match(label, /^[a-z][a-z0-9_]*$/);
    assert.equal(buckets === undefined, type !== "histogram", name);
    assert.deepEqual(buckets ?? [], [...new Set(buckets)].sort((a, b) => a - b), name);
  }
});

Deno.test("createMetrics() renders every metric with help and type", async () => {
  const { contentType, text } = await createMetrics().render();
  assert.match(contentType, /^text\/plain; version=0\.0\.4/);
  for (const { name, type, help } of METRIC_DEFINITIONS) {
    assert.ok(text.includes(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`), name);
  }
});

Deno.test("createMetrics() counts in places of its own each time", async () => {
  const [one, other] = [createMetrics(), createMetrics()];
  one.counters.mirrorRequests.inc({ registry: "docker.io", cache: "hit" });
  one.gauges.httpInflight.inc({ handler: "/v2/*" }, 3);
  one.histograms.resolveDuration.observe({ router: "libp2p" }, 0.002);
  const { text } = await one.render();
  assert.match(text, /^spegel_mirror_requests_total\{registry="docker.io",cache="hit"\} 1$/m);
  assert.match(text, /^http_requests_inflight\{handler="\/v2\/\*"\} 3$/m);
  assert.match(text, /^spegel_resolve_duration_seconds_bucket\{le="0.0025",router="libp2p"\} 1$/m);
  assert.match(text, /^spegel_resolve_duration_seconds_bucket\{le="0.001",router="libp2p"\} 0$/m);
  assert.doesNotMatch((await other.render()).text, /^spegel_mirror_requests_total\{/m);
});

Deno.test("createMetrics() refuses labels that are not defined", () => {
  const { counters } = createMetrics();
  assert.throws(() => counters.mirrorRequests.inc({ image: "nginx" }));
});
