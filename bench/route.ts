/**
 * How soon and at what cost nodes know what others have. docs/benchmarks.md says what the figures mean.
 *
 *     deno task bench:route [--rounds=3] [--nodes=10] [--scale=20] [--simulated=1000]
 *
 * @module
 */
import { measureProcesses } from "./route/processes.ts";
import { measureScale } from "./route/scale.ts";
import { measureServiceMemory } from "./route/service_memory.ts";
import { simulate } from "./route/simulation.ts";
import { numberArgument } from "./support/arguments.ts";
import { sayFigures } from "./support/report.ts";

sayFigures("route", {
  ...await simulate(numberArgument("simulated", 1000)),
  ...await measureServiceMemory(),
  ...await measureProcesses(numberArgument("nodes", 10), numberArgument("rounds", 3)),
  ...await measureScale(numberArgument("scale", 20)),
});
