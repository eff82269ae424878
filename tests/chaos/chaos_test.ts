/**
 * A short run of what `deno task chaos` does for longer.
 *
 * @module
 */
import assert from "node:assert/strict";
import { REQUIRES_TEST_BED } from "../integration/harness/requirements.ts";
import { formatReport } from "./report.ts";
import { runChaos } from "./runner.ts";

/** The same every time, so that a failure is one of the code. */
const SEED = 1;

Deno.test({
  name: "pulls, content, advertised state and resources survive everything that goes wrong",
  ...REQUIRES_TEST_BED,
  // grpc-js keeps a timer for connections to a containerd that was killed.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const report = await runChaos({ seed: SEED, nodes: 4, durationMs: 30_000, say: () => {} });
    const text = formatReport(report);
    assert.deepEqual(report.violations, [], text);
    Deno.stdout.writeSync(new TextEncoder().encode(text));
    assert(report.pulls.succeeded > 0, text);
  },
});
