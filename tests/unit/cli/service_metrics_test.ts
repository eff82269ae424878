import assert from "node:assert/strict";
import { createServiceMetrics } from "../../../lib/cli/service_metrics.ts";
import { sha256Digest } from "../../../lib/oci/digest.ts";
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
  const digest = sha256Digest(new Uint8Array());
  events.mirrorEvents.verificationFailed?.(digest);
  events.mirrorEvents.verificationFailed?.(digest);
  assert.deepEqual((await samples()).slice(1), [
    'kagami_verification_failures_total{source="local"} 1',
    'kagami_verification_failures_total{source="peer"} 2',
  ]);
});
