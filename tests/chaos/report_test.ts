import assert from "node:assert/strict";
import { formatReport } from "./report.ts";
import type { ChaosReport } from "./runner.ts";
import { makeSchedule } from "./schedule.ts";

const SCHEDULE = makeSchedule({ seed: 7, nodes: 3, durationMs: 60_000 });

const REPORT: ChaosReport = {
  seed: 7,
  schedule: SCHEDULE,
  faults: { "link cut": 2, "disk full": 1 },
  pulls: { succeeded: 20, excused: 3, violation: 0 },
  pullMilliseconds: [100, 200, 3000],
  rollouts: 4,
  contents: 50,
  keys: 60,
  truthAfterSeconds: 12.34,
  before: [],
  after: [],
  violations: [],
};

Deno.test("the report of a good run counts faults and pulls, and says that all holds", () => {
  const text = formatReport(REPORT);
  assert.match(text, /^seed 7: 3 faults of 2 kinds: 2 link cut, 1 disk full$/m);
  assert.match(text, /20 succeeded, 3 failed where nothing could have served them, 0 failed/);
  assert.match(text, /0\.20 s, 3\.00 s, 3\.00 s \(median/);
  assert.match(text, /all true 12\.3 s after the last event/);
  assert.match(text, /^all invariants hold$/m);
});

Deno.test("the report of a failed run says what is wrong, and how to repeat it, event by event", () => {
  const text = formatReport({
    ...REPORT,
    pullMilliseconds: [],
    violations: ["node 1 has a wrong sha256:a"],
  });
  assert.match(text, /^1 violations:\n {2}node 1 has a wrong sha256:a$/m);
  assert.match(text, /deno task chaos --seed=7/);
  for (const { kind } of SCHEDULE) assert(text.includes(kind), kind);
  assert(!text.includes("all invariants hold"));
});
