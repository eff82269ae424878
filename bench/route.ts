/**
 * How soon and at what cost nodes know what others have. docs/benchmarks.md says what the figures mean.
 *
 *     deno task bench:route [--rounds=3] [--nodes=10] [--max-scale=100]
 *
 * @module
 */
import { numberArgument } from "./support/arguments.ts";
import { sayFigures } from "./support/report.ts";
import { measureProcesses } from "./route/processes.ts";
import { measureServiceMemory } from "./route/service_memory.ts";

const rounds = numberArgument("rounds", 3);

sayFigures("route", {
  ...await measureProcesses(numberArgument("nodes", 10), rounds),
  ...await measureServiceMemory(),
});
