import assert from "node:assert/strict";
import { observedLogger } from "../../../lib/observability/observed_logger.ts";
import { recordingLog } from "../cli/recording_log.ts";

Deno.test("observedLogger() writes everything, and shows warnings and errors with all fields", () => {
  const { log, lines } = recordingLog("INFO");
  const seen: unknown[] = [];
  const observed = observedLogger(log, (...line) => seen.push(line));
  const bound = observed.with({ part: "x" }).with({ more: 1 });
  for (const one of [observed, bound]) {
    one.debug("d");
    one.info("i");
    one.warn("w", { a: 1 });
    one.error("e", { part: "y" });
  }
  assert.deepEqual(lines.map(({ level, msg, part }) => [level, msg, part]), [
    ["INFO", "i", undefined],
    ["WARN", "w", undefined],
    ["ERROR", "e", "y"],
    ["INFO", "i", "x"],
    ["WARN", "w", "x"],
    ["ERROR", "e", "y"],
  ]);
  assert.deepEqual(seen, [
    ["WARN", "w", { a: 1 }],
    ["ERROR", "e", { part: "y" }],
    ["WARN", "w", { part: "x", more: 1, a: 1 }],
    ["ERROR", "e", { part: "y", more: 1 }],
  ]);
  assert.equal(observed.enabled("DEBUG"), false);
  assert.equal(observed.enabled("INFO"), true);
});
