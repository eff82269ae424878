/**
 * How soon and at what cost nodes know what others have. docs/benchmarks.md says what the figures mean.
 *
 *     deno task bench:route [--rounds=3] [--nodes=10] [--scale=20] [--simulated=1000]
 *         [--parts=simulation,memory,processes,scale]
 *
 * @module
 */
import { measureProcesses } from "./route/processes.ts";
import { measureScale } from "./route/scale.ts";
import { measureServiceMemory } from "./route/service_memory.ts";
import { simulate } from "./route/simulation.ts";
import { numberArgument, partsArgument } from "./support/arguments.ts";
import { type Figures, sayFigures } from "./support/report.ts";

const PARTS: Readonly<Record<string, () => Figures | Promise<Figures>>> = {
  simulation: () => simulate(numberArgument("simulated", 1000)),
  memory: measureServiceMemory,
  processes: () => measureProcesses(numberArgument("nodes", 10), numberArgument("rounds", 3)),
  scale: () => measureScale(numberArgument("scale", 20)),
};

let figures: Figures = {};
for (const part of partsArgument(Object.keys(PARTS))) {
  figures = { ...figures, ...await PARTS[part]!() };
}
sayFigures("route", figures);
