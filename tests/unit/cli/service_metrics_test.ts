import assert from "node:assert/strict";
import { createServiceMetrics } from "../../../lib/cli/service_metrics.ts";
import { createMetrics } from "../../../lib/observability/metrics.ts";

Deno.test("counters of rare failures start at zero, so that the first one is an increase", async () => {
  const metrics = createMetrics();
  const events = createServiceMetrics(metrics, "libp2p");
  const samples = async () =>
    (await metrics.render()).text.split("\n")
      .filter((line) => /^kagami_(verification|peer)_failures_total/.test(line));
  assert.deepEqual(await samples(), [
    "kagami_peer_failures_total 0",
    'kagami_verification_failures_total{source="local"} 0',
    'kagami_verification_failures_total{source="peer"} 0',
  ]);
  events.corrupt();
  const peer = { id: "peer", addresses: ["10.0.0.1"], registryPort: 5000 };
  events.mirrorEvents.verificationFailed?.(peer);
  events.mirrorEvents.verificationFailed?.(peer);
  assert.deepEqual((await samples()).slice(1), [
    'kagami_verification_failures_total{source="local"} 1',
    'kagami_verification_failures_total{source="peer"} 2',
  ]);
});
