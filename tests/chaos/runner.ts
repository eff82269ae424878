/**
 * Plays a schedule while pulls go on, and looks at the end whether all is as it must be.
 *
 * @module
 */
import { sleep } from "../../lib/sleep.ts";
import { INJECT } from "./faults/all.ts";
import { flipByte } from "./faults/blobs.ts";
import { waitForTruth, waitUntilWithdrawn } from "./invariants/advertised.ts";
import { checkContent } from "./invariants/content.ts";
import { checkIngests, checkLeaks } from "./invariants/leaks.ts";
import { Load } from "./load.ts";
import { type ProcessSample, sampleMirror } from "./process_sample.ts";
import type { Verdict } from "./pulls.ts";
import { type Fault, type FaultKind, makeSchedule, traitsOf } from "./schedule.ts";
import { POSSIBLE_FAULTS, World } from "./world.ts";

/** After the last event, what is advertised is true again within this time, in milliseconds. */
export const TRUTH_MS = 60_000;

/** Pulls go on for so long before anything goes wrong, in milliseconds. */
const WARM_UP_MS = 5000;

/** Options of {@linkcode runChaos}. */
export interface ChaosOptions {
  readonly seed: number;
  readonly nodes: number;
  /** How long things go wrong, in milliseconds. */
  readonly durationMs: number;
  /** Told what happens, as it happens. */
  readonly say: (line: string) => void;
}

/** What came of a run. */
export interface ChaosReport {
  readonly seed: number;
  readonly schedule: readonly Fault[];
  /** Faults that were brought about; others found nothing that they could happen to. */
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
  readonly pulls: Readonly<Record<Verdict, number>>;
  /** How long pulls took that succeeded. */
  readonly pullMilliseconds: readonly number[];
  readonly rollouts: number;
  /** Contents that were read at the end and compared with their digests. */
  readonly contents: number;
  /** Keys that each node was asked for at the end. */
  readonly keys: number;
  /** Seconds from the last event until what is advertised was true. */
  readonly truthAfterSeconds: number;
  readonly before: readonly ProcessSample[];
  readonly after: readonly ProcessSample[];
  /** What must not be, in words; empty if all is well. */
  readonly violations: readonly string[];
}

/**
 * Runs a cluster through everything that a seed has in store for it.
 *
 * @param options Seed and size.
 * @returns What came of it.
 */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { seed, nodes, durationMs, say } = options;
  await using world = await World.create({ nodes });
  const load = new Load(world, seed);
  await sleep(WARM_UP_MS);
  const before = await Promise.all(world.numbers.map((node) => sampleMirror(world, node)));
  const schedule = makeSchedule({ seed, nodes, durationMs, kinds: POSSIBLE_FAULTS });
  const faults = await play(world, schedule, say);
  await load.stop();
  const lastEventAt = world.now();
  say("all is healed, looking at what is left");
  const ended = await world.ended();
  const end = ended.length > 0 ? UNKNOWN : await lookAtEnd(world, before, lastEventAt, say);
  const { pulls } = world;
  const violations = [
    ...ended,
    ...world.violations,
    ...pulls.violations.map(({ node, reference, from, to, failure }) =>
      `node ${node} failed to pull ${reference} (${seconds(from)} to ${seconds(to)}): ${failure}`
    ),
    ...end.violations,
  ];
  if (violations.length > 0) say(`logs are kept in ${await world.keepLogs()}`);
  return {
    seed,
    schedule,
    faults,
    pulls: pulls.counts,
    pullMilliseconds: pulls.milliseconds,
    rollouts: load.rollouts,
    before,
    ...end,
    violations,
  };
}

/** What is seen at the end. */
type End = Pick<ChaosReport, "contents" | "keys" | "truthAfterSeconds" | "after" | "violations">;

/** Of a cluster that is not whole any more. */
const UNKNOWN: End = { contents: 0, keys: 0, truthAfterSeconds: NaN, after: [], violations: [] };

async function lookAtEnd(
  world: World,
  before: readonly ProcessSample[],
  lastEventAt: number,
  say: (line: string) => void,
): Promise<End> {
  const truth = await waitForTruth(world, lastEventAt + TRUTH_MS, say);
  const content = await checkContent(world);
  const withdrawal = truth.violations.length === 0 ? await checkWithdrawal(world) : [];
  const leaks = await checkLeaks(world, before);
  return {
    contents: content.read,
    keys: truth.keys,
    truthAfterSeconds: (truth.at - lastEventAt) / 1000,
    after: leaks.after,
    violations: [
      ...truth.violations,
      ...content.violations,
      ...withdrawal,
      ...leaks.violations,
      ...await checkIngests(world),
    ],
  };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

async function play(
  world: World,
  schedule: readonly Fault[],
  say: (line: string) => void,
): Promise<Partial<Record<FaultKind, number>>> {
  const startedAt = world.now();
  const counts: Partial<Record<FaultKind, number>> = {};
  await Promise.all(schedule.map(async (fault) => {
    const { kind, node, at, healedAt, number } = fault;
    const until = (ms: number) => sleep(Math.max(0, startedAt + ms - world.now()));
    const tell = (what: string) =>
      say(`${seconds(world.now())} ${what} ${number}: ${kind}, ${node}`);
    await until(at);
    // From before it begins until after it is healed.
    const end = traitsOf(fault).excusesPulls ? world.outages.begin(node, world.now()) : () => {};
    tell("fault");
    const heal = await INJECT[kind](world, fault);
    if (heal !== undefined) {
      counts[kind] = (counts[kind] ?? 0) + 1;
      await until(healedAt);
      await heal();
      tell("healed");
    }
    end(world.now());
  }));
  return counts;
}

/** A blob goes bad, somebody asks for it, and soon nobody finds it there any more. */
async function checkWithdrawal(world: World): Promise<string[]> {
  const held = world.numbers.flatMap((node) =>
    world.images.filter((image) => world.holdings.get(node, image) === "held")
      .map((image) => ({ node, image }))
  );
  const [first] = held;
  if (first === undefined) return ["no node has any image left"];
  const { node, image } = first;
  const [digest] = image.layers;
  world.holdings.set(node, image, "damaged");
  await flipByte(world.node(node).containerd.blobPath(digest!), world.numbers.length, false);
  const { mirror } = world.node(node);
  const path = `/v2/${image.repository}/blobs/${digest}?ns=${world.cluster.upstream.host}`;
  const asPeer = ["-o", "/dev/null", "-w", "%{http_code}", "-H", "X-Spegel-Mirrored: true"];
  const status = await mirror.curl(...asPeer, `${mirror.url}${path}`);
  if (status !== "404") return [`node ${node} answers ${status} for ${digest}, which is damaged`];
  try {
    await waitUntilWithdrawn(world, digest!, node, TRUTH_MS);
    return [];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}
