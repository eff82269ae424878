import assert from "node:assert/strict";
import { createTracing, wantsTraces } from "../../../lib/observability/tracing.ts";

Deno.test("wantsTraces() is off unless OTEL_DENO says so, and heeds what turns it off again", () => {
  assert.equal(wantsTraces({}), false);
  assert.equal(wantsTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" }), false);
  assert.equal(wantsTraces({ OTEL_DENO: "1" }), false, "Deno takes true alone");
  assert.equal(wantsTraces({ OTEL_DENO: "true" }), true);
  assert.equal(wantsTraces({ OTEL_DENO: "true", OTEL_DENO_TRACING: "false" }), false);
  assert.equal(wantsTraces({ OTEL_DENO: "true", OTEL_SDK_DISABLED: "true" }), false);
});

Deno.test("createTracing() makes nothing when traces are off", async () => {
  assert.equal(await createTracing({}), undefined);
});
