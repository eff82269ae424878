import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { FIRST_BYTE_MS, IDLE_MS } from "../../../lib/share/participant.ts";
import { MAX_COORDINATORS } from "../../../lib/share/questions.ts";
import { SimulatedCluster } from "./simulated_cluster.ts";
import type { Faults, Outcome, Setting } from "./simulated_setting.ts";
import { randomFrom } from "./simulated_time.ts";

const NO_FAULTS: Faults = {
  loss: 0,
  delay: 0,
  blindness: 0,
  mirrorDeath: 0,
  containerdDeath: 0,
  nodeDeath: 0,
  refusal: 0,
  stall: 0,
  corruption: 0,
};

/** Longest time that a mirror may make its containerd wait for a byte, or for the word that it must go upstream. */
const LONGEST_WAIT_MS = Math.max(FIRST_BYTE_MS, IDLE_MS) + 500;

/** When every pull has ended: several such waits, upstream's own stall, and the transfer. */
const END_MS = 60_000;

function keyOf(seed: number, number: number): string {
  return `sha256:${createHash("sha256").update(`${seed} ${number}`).digest("hex")}`;
}

/** What holds in every schedule. */
function check(outcome: Outcome, label: string): void {
  assert.equal(outcome.open, 0, `${label}: pulls are open after ${END_MS} ms`);
  assert.equal(outcome.wrongBodies, 0, `${label}: a wrong body was completed`);
  for (const { node, end, reason, longestWaitMs } of outcome.pulls) {
    assert(longestWaitMs <= LONGEST_WAIT_MS, `${label}: ${node} waited for ${longestWaitMs} ms`);
    assert(end === "complete" || reason !== undefined, `${label}: ${node} failed`);
  }
}

interface Plan {
  readonly schedules: number;
  readonly nodes: number;
  readonly keys: number;
  readonly faults: (random: () => number) => Faults;
  readonly setting?: Partial<Setting>;
}

const SETTING = { steps: 20, deathsMs: 1500, noticeMs: 300 } as const;

/** What came of one schedule. */
interface Run {
  readonly label: string;
  readonly outcome: Outcome;
  /** Copies of a content that left upstream. */
  readonly copies: number;
}

async function simulate(name: string, plan: Plan): Promise<Run[]> {
  const runs: Run[] = [];
  for (let seed = 1; seed <= plan.schedules; seed++) {
    const random = randomFrom(seed * 7919);
    const { nodes } = plan;
    const setting = { ...SETTING, seed, nodes, faults: plan.faults(random), ...plan.setting };
    const cluster = new SimulatedCluster(setting);
    const keys = Array.from({ length: plan.keys }, (_, number) => keyOf(seed, number));
    const outcome = await cluster.pullAll(keys, 100, END_MS);
    const label = `${name}, seed ${seed}`;
    check(outcome, label);
    const copies = outcome.upstreamSteps / setting.steps / plan.keys;
    runs.push({ label, outcome, copies });
  }
  return runs;
}

function mean(runs: readonly Run[]): number {
  return runs.reduce((sum, { copies }) => sum + copies, 0) / runs.length;
}

Deno.test("sharing without faults costs upstream one copy", async () => {
  const runs = await simulate("no faults", {
    schedules: 150,
    nodes: 10,
    keys: 2,
    faults: () => NO_FAULTS,
  });
  assert.equal(mean(runs), 1);
});

Deno.test("sharing survives each fault by itself", async () => {
  for (const fault of Object.keys(NO_FAULTS) as (keyof Faults)[]) {
    await simulate(fault, {
      schedules: 60,
      nodes: 6,
      keys: 1,
      faults: () => ({ ...NO_FAULTS, [fault]: 0.3 }),
    });
  }
});

Deno.test("sharing survives all faults together, in thousands of schedules", async () => {
  await simulate("all faults", {
    schedules: 2000,
    nodes: 5,
    keys: 1,
    faults: (random) => ({
      loss: random() * 0.3,
      delay: random() * 0.3,
      blindness: random() * 0.5,
      mirrorDeath: random() * 0.4,
      containerdDeath: random() * 0.4,
      nodeDeath: random() * 0.2,
      refusal: random() * 0.5,
      stall: random() * 0.4,
      corruption: random() * 0.3,
    }),
  });
});

Deno.test("sharing goes on with few copies when mirrors and containerds die at random moments", async () => {
  const copies = mean(
    await simulate("deaths", {
      schedules: 150,
      nodes: 10,
      keys: 1,
      faults: () => ({ ...NO_FAULTS, mirrorDeath: 0.1, containerdDeath: 0.1 }),
    }),
  );
  assert(copies < 2, `${copies} copies`);
});

Deno.test("sharing costs upstream one copy whichever nodes die, before the others know of it", async () => {
  for (const deathsMs of [300, 2000]) {
    const runs = await simulate(`deaths within ${deathsMs} ms`, {
      schedules: 120,
      nodes: 10,
      keys: 1,
      faults: () => ({ ...NO_FAULTS, nodeDeath: 0.1 }),
      setting: { steps: 50, deathsMs, noticeMs: 1000 },
    });
    for (const { label, outcome: { deaths }, copies } of runs) {
      // With those who decide one after the other nobody knows any more what goes on.
      if (deaths < MAX_COORDINATORS) {
        assert(copies <= 1.1, `${label}: ${deaths} dead, ${copies} copies`);
      }
    }
  }
});

Deno.test("sharing costs upstream one copy where containerds queue, however many layers there are", async () => {
  for (const keys of [4, 8]) {
    const runs = await simulate(`queues, ${keys} layers`, {
      schedules: 10,
      nodes: 10,
      keys,
      faults: () => NO_FAULTS,
      setting: {
        slots: 3,
        manifest: keyOf(0, keys),
        steps: 200 / keys,
        isUpstreamShared: true,
      },
    });
    // The manifest is a step of its own.
    for (const { label, copies } of runs) assert(copies < 1.05, `${label}: ${copies} copies`);
  }
});
