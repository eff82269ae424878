/**
 * A long run of mixed load: memory, descriptors and latency must stay as they are.
 * `deno task soak [--minutes=60] [--nodes=3] [--seed=1]`. Needs what the integration tests need.
 *
 * @module
 */
import { numberArgument } from "../../bench/support/arguments.ts";
import { say } from "../../bench/support/report.ts";
import { quantile } from "../../bench/support/statistics.ts";
import { sleep } from "../../lib/sleep.ts";
import { checkContent } from "../chaos/invariants/content.ts";
import { Load } from "../chaos/load.ts";
import { sampleMirror } from "../chaos/process_sample.ts";
import { World } from "../chaos/world.ts";
import { MISSING } from "../integration/harness/requirements.ts";
import { Requests } from "./requests.ts";
import { Series } from "./series.ts";

/** Values of each series, whatever the run's length. */
const VALUES = 60;

/** Looks at processes for each value; the lowest counts, since work comes and goes, and what leaks stays. */
const LOOKS = 4;

/** Share of the run in which caches and the compiler's work grow. */
const WARM_UP = 0.3;

const ALLOWED = {
  memory: { share: 0.08, least: 10 },
  descriptors: { share: 0.1, least: 6 },
  // Of a machine that does other things as well.
  milliseconds: { share: 0.5, least: 20 },
} as const;

async function soak(world: World, seed: number, durationMs: number): Promise<boolean> {
  const perNode = world.numbers.map((node) => ({
    node,
    memory: new Series(`node ${node} memory`, "MiB", ALLOWED.memory),
    descriptors: new Series(`node ${node} descriptors`, "open", ALLOWED.descriptors),
  }));
  const requestTimes = new Series("requests, median", "ms", ALLOWED.milliseconds);
  const slowRequests = new Series("requests, 95 %", "ms", ALLOWED.milliseconds);
  const pullTimes = new Series("pulls, median", "ms", ALLOWED.milliseconds);
  const load = new Load(world, seed);
  const requests = new Requests(world, seed);
  let pulls = 0;
  for (let value = 0; value < VALUES; value++) {
    const samples = [];
    for (let look = 0; look < LOOKS; look++) {
      await sleep(durationMs / VALUES / LOOKS);
      samples.push(await Promise.all(world.numbers.map((node) => sampleMirror(world, node))));
    }
    for (const [index, { memory, descriptors }] of perNode.entries()) {
      const own = samples.map((sample) => sample[index]!);
      memory.values.push(Math.min(...own.map(({ rssMib }) => rssMib)));
      descriptors.values.push(Math.min(...own.map((sample) => sample.descriptors)));
    }
    const took = requests.take();
    if (took.length > 0) {
      requestTimes.values.push(quantile(took, 0.5));
      slowRequests.values.push(quantile(took, 0.95));
    }
    const pullsTook = world.pulls.milliseconds.slice(pulls);
    if (pullsTook.length > 0) pullTimes.values.push(quantile(pullsTook, 0.5));
    pulls = world.pulls.milliseconds.length;
  }
  await requests.stop();
  await load.stop();
  const content = await checkContent(world);
  const { counts, violations } = world.pulls;
  say(
    `${counts.succeeded} pulls, ${violations.length} failed; ${requests.count} other requests; ` +
      `${content.read} contents read at the end, ${content.violations.length} wrong`,
  );
  for (const { node, reference, failure } of violations) {
    say(`node ${node} failed to pull ${reference}: ${failure}`);
  }
  for (const text of [...world.violations, ...content.violations]) say(text);
  const all = [
    ...perNode.flatMap(({ memory, descriptors }) => [memory, descriptors]),
    requestTimes,
    slowRequests,
    pullTimes,
  ];
  const judged = all.map((series) => series.judge(Math.floor(series.values.length * WARM_UP)));
  for (const { line } of judged) say(line);
  return violations.length + content.violations.length + world.violations.length === 0 &&
    judged.every(({ rises }) => !rises);
}

const minutes = numberArgument("minutes", 60);
const nodes = numberArgument("nodes", 3);
const seed = numberArgument("seed", 1);

if (MISSING.length > 0) Deno.exit(1);
say(`${minutes} minutes, ${nodes} nodes, seed ${seed}`);
let isFlat: boolean;
{
  await using world = await World.create({ nodes, env: { LOG_LEVEL: "INFO" } });
  isFlat = await soak(world, seed, minutes * 60_000);
}
say(isFlat ? "all is flat" : "something is not as it should be");
Deno.exit(isFlat ? 0 : 1);
