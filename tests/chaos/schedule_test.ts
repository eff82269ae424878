import assert from "node:assert/strict";
import {
  describeFault,
  type Fault,
  FAULT_KINDS,
  type FaultKind,
  LASTING_MS,
  makeSchedule,
  mostDown,
  traitsOf,
} from "./schedule.ts";

const MINUTE_MS = 60_000;
const SEEDS = Array.from({ length: 20 }, (_, index) => index + 1);

/** Checks what holds at each moment at which a fault begins. */
function atEachBeginning(
  faults: readonly Fault[],
  check: (fault: Fault, others: readonly Fault[]) => void,
): void {
  for (const fault of faults) {
    const others = faults.filter((other) =>
      other !== fault && other.at <= fault.at && other.healedAt >= fault.at
    );
    check(fault, others);
  }
}

Deno.test("makeSchedule() makes the same list of the same seed, and another one of another", () => {
  const make = (seed: number) => makeSchedule({ seed, nodes: 5, durationMs: 5 * MINUTE_MS });
  assert.deepEqual(make(7), make(7));
  assert.notDeepEqual(make(7), make(8));
});

Deno.test("makeSchedule() heals every fault before the end of the run, and none before it has begun", () => {
  for (const seed of SEEDS) {
    const faults = makeSchedule({ seed, nodes: 5, durationMs: MINUTE_MS });
    assert(faults.length > 10);
    for (const { at, healedAt, number } of faults) {
      assert(at >= 0 && healedAt <= MINUTE_MS, `fault ${number} of seed ${seed}`);
      assert(healedAt - at >= LASTING_MS.least, `fault ${number} of seed ${seed}`);
    }
  }
});

Deno.test("makeSchedule() keeps fewer than half of the nodes down", () => {
  for (const seed of SEEDS) {
    for (const nodes of [3, 5]) {
      const faults = makeSchedule({ seed, nodes, durationMs: 10 * MINUTE_MS });
      atEachBeginning(faults, (fault, others) => {
        const down = [fault, ...others].filter((one) => traitsOf(one).isDown);
        assert(new Set(down.map(({ node }) => node)).size <= mostDown(nodes));
      });
    }
  }
});

Deno.test("makeSchedule() lets no two faults meddle with the same part", () => {
  for (const seed of SEEDS) {
    const faults = makeSchedule({ seed, nodes: 4, durationMs: 10 * MINUTE_MS });
    atEachBeginning(faults, (fault, others) => {
      for (const other of others) {
        const { parts, isGlobal } = traitsOf(other);
        const shared = traitsOf(fault).parts.filter((part) => parts.includes(part));
        const isSamePlace = fault.node === other.node || isGlobal || traitsOf(fault).isGlobal;
        assert(!isSamePlace || shared.length === 0, `${fault.kind} during ${other.kind}`);
        assert(fault.kind !== "upstream slow" || other.kind !== "upstream slow");
      }
    });
  }
});

Deno.test("makeSchedule() leaves out no kind in ten minutes, and uses no other than those asked for", () => {
  for (const seed of SEEDS) {
    const options = { seed, nodes: 5, durationMs: 10 * MINUTE_MS };
    assert.deepEqual(new Set(makeSchedule(options).map(({ kind }) => kind)), new Set(FAULT_KINDS));
    const kinds: FaultKind[] = ["mirror killed", "link cut"];
    const found = new Set(makeSchedule({ ...options, kinds }).map(({ kind }) => kind));
    assert.deepEqual(found, new Set(kinds));
  }
  assert.deepEqual(makeSchedule({ seed: 1, nodes: 3, durationMs: MINUTE_MS, kinds: [] }), []);
});

Deno.test("mostDown() is one of three nodes, and two of five", () => {
  assert.deepEqual([1, 3, 4, 5, 10].map(mostDown), [1, 1, 1, 2, 4]);
});

Deno.test("describeFault() names time, place and kind", () => {
  const fault = {
    number: 3,
    kind: "link cut",
    node: 2,
    at: 1500,
    healedAt: 4000,
    choice: 9,
  } as const;
  assert.equal(describeFault(fault), "   3    1.5 s –    4.0 s  node 2: link cut (9)");
  assert.match(describeFault({ ...fault, kind: "upstream slow" }), /upstream: upstream slow/);
});
