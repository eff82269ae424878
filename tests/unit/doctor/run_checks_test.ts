import assert from "node:assert/strict";
import type { Check, CheckContext } from "../../../lib/doctor/check.ts";
import { reporter } from "../../../lib/doctor/finding.ts";
import { formatFindings, isHealthy } from "../../../lib/doctor/report.ts";
import { runChecks } from "../../../lib/doctor/run_checks.ts";
import { NEVER } from "./doctor_node.ts";

// No check here looks at it.
const CONTEXT = {} as CheckContext;

function check(name: string, run: Check["run"]): Check {
  return { name, run };
}

const good = check("good", () => Promise.resolve([reporter("good").ok("all\n is well")]));
const broken = check("broken", () => Promise.reject(new Error("no memory")));
const lost = check(
  "lost",
  () => Promise.resolve([reporter("lost").found("peers-none", "nobody")]),
);

Deno.test("runChecks() keeps the order, and goes on after a check that fails", async () => {
  const findings = await runChecks([lost, broken, good], CONTEXT, NEVER);
  assert.deepEqual(findings.map(({ check, code }) => [check, code]), [
    ["lost", "peers-none"],
    ["broken", "check-unfinished"],
    ["good", undefined],
  ]);
  assert.equal(findings[1]?.what, "no memory");
});

Deno.test("runChecks() ends a check that hangs, and tells it so", async () => {
  let isTold = false;
  const hanging = check("hanging", (_context, signal) => {
    signal.addEventListener("abort", () => isTold = true);
    return new Promise(() => {});
  });
  const findings = await runChecks([hanging, good], CONTEXT, NEVER, 10);
  assert.deepEqual(findings.map(({ code }) => code), ["check-unfinished", undefined]);
  assert.match(findings[0]?.what ?? "", /not done within 0.01 s/);
  assert.ok(isTold);
});

Deno.test("runChecks() ends when it is stopped", async () => {
  const abort = new AbortController();
  const hanging = check("hanging", () => {
    abort.abort();
    return new Promise(() => {});
  });
  const findings = await runChecks([hanging], CONTEXT, abort.signal);
  assert.equal(findings[0]?.what, "was stopped");
});

Deno.test("formatFindings() aligns, gives remedies and counts", async () => {
  const findings = await runChecks([good, lost, broken], CONTEXT, NEVER);
  const lines = formatFindings(findings, false).split("\n");
  assert.equal(lines[0], "ok       good    all is well");
  assert.equal(lines[1], "failure  lost    nobody");
  assert.match(lines[2] ?? "", /^ {9}remedy: check BOOTSTRAP_KIND .* \[peers-none\]$/);
  assert.equal(lines[3], "warning  broken  no memory");
  assert.equal(lines.at(-2), "1 failures, 1 warnings, 1 ok");
  assert.equal(lines.at(-1), "");
  const coloured = formatFindings(findings, true);
  assert.ok(coloured.includes("\x1b[31mfailure\x1b[0m  lost    nobody"));
});

Deno.test("isHealthy() minds failures, not warnings", async () => {
  assert.equal(isHealthy(await runChecks([good, broken], CONTEXT, NEVER)), true);
  assert.equal(isHealthy(await runChecks([good, lost], CONTEXT, NEVER)), false);
});
