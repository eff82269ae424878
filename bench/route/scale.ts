/**
 * Routing with more nodes than a machine has processes for.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { type Figures, say, sayTable } from "../support/report.ts";
import { quantile } from "../support/statistics.ts";
import { WorkerProcess } from "../support/worker_process.ts";
import type { Scale } from "./scale_worker.ts";

/** Numbers of nodes that are tried, as far as wanted. */
const SIZES = [10, 20, 50, 100, 200];

/**
 * Measures.
 *
 * @param most Largest number of nodes.
 * @returns Latencies and cost by number of nodes.
 */
export async function measureScale(most: number): Promise<Figures> {
  const program = fileURLToPath(new URL("./scale_worker.ts", import.meta.url));
  const figures: Record<string, number> = {};
  const rows: (string | number)[][] = [];
  for (const nodes of SIZES.filter((size) => size <= most)) {
    say(`${nodes} nodes in one process`);
    await using worker = new WorkerProcess(program, { nodes });
    const scale = await worker.answer() as Scale;
    const { firstMs, missMs } = scale;
    rows.push([
      String(nodes),
      scale.joinSeconds,
      scale.fewestPeers,
      scale.mibANode,
      quantile(firstMs, 0.5),
      quantile(firstMs, 0.99),
      quantile(missMs, 0.5),
      quantile(missMs, 0.99),
      scale.foundShare,
    ]);
    figures[`first_p99_ms_${nodes}`] = quantile(firstMs, 0.99);
    figures[`miss_p99_ms_${nodes}`] = quantile(missMs, 0.99);
    figures[`mib_a_node_${nodes}`] = scale.mibANode;
    figures[`found_share_${nodes}`] = scale.foundShare;
  }
  sayTable([
    "nodes in one process",
    "joined s",
    "fewest peers",
    "MiB a node",
    "first p50 ms",
    "p99",
    "miss p50 ms",
    "p99",
    "found",
  ], rows);
  return figures;
}
