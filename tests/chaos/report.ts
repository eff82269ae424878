/**
 * A run in words.
 *
 * @module
 */
import { quantile } from "../../bench/support/statistics.ts";
import type { ProcessSample } from "./process_sample.ts";
import type { ChaosReport } from "./runner.ts";
import { describeFault } from "./schedule.ts";

/**
 * Writes what came of a run.
 *
 * @param report The run.
 * @returns Lines; on failure with all that is needed to repeat it.
 */
export function formatReport(report: ChaosReport): string {
  const { pulls, pullMilliseconds, violations } = report;
  const faults = Object.entries(report.faults);
  const count = faults.reduce((sum, [, number]) => sum + number, 0);
  const lines = [
    `seed ${report.seed}: ${count} faults of ${faults.length} kinds: ${
      faults.map(([kind, number]) => `${number} ${kind}`).join(", ")
    }`,
    `pulls: ${pulls.succeeded} succeeded, ${pulls.excused} failed where nothing could have served them, ` +
    `${pulls.violation} failed that should not; ${report.rollouts} images rolled out to all at once`,
    ...(pullMilliseconds.length === 0 ? [] : [
      `a pull took ${
        [0.5, 0.99, 1].map((share) => `${(quantile(pullMilliseconds, share) / 1000).toFixed(2)} s`)
          .join(", ")
      } (median, 99 %, longest)`,
    ]),
    `${report.contents} contents read and compared with their digests; ${report.keys} keys looked up by ` +
    `each node, all true ${report.truthAfterSeconds.toFixed(1)} s after the last event`,
    `mirrors before: ${report.before.map(formatSample).join("; ")}`,
    `mirrors after:  ${report.after.map(formatSample).join("; ")}`,
  ];
  if (violations.length === 0) return [...lines, "all invariants hold", ""].join("\n");
  return [
    ...lines,
    `${violations.length} violations:`,
    ...violations.map((text) => `  ${text}`),
    `to repeat it: deno task chaos --seed=${report.seed}, with the same --minutes and --nodes; events:`,
    ...report.schedule.map(describeFault),
    "",
  ].join("\n");
}

function formatSample(sample: ProcessSample): string {
  const { rssMib, descriptors, threads, routerConnections, streams } = sample;
  return `${
    Math.round(rssMib)
  } MiB, ${descriptors} descriptors, ${threads} threads, ${routerConnections} connections, ${streams} streams`;
}
