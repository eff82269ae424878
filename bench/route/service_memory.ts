/**
 * Memory of the whole service: with as many keys of its own as a busy node has, and with the records of twenty nodes
 * that have as many.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { sleep } from "../../lib/sleep.ts";
import { LayoutWriter } from "../support/layout.ts";
import { cpuSeconds, memoryUsage, resetPeak, untilQuiet } from "../support/process_usage.ts";
import { type Figures, say } from "../support/report.ts";
import { Service } from "../support/service.ts";
import { WorkerProcess } from "../support/worker_process.ts";
import type { FeederOptions } from "./feeder.ts";

const NODES = 20;
const KEYS = 5000;

/** How long memory is watched after everything is there, in milliseconds. */
const WATCH_MS = 20_000;

/**
 * Measures.
 *
 * @returns `rss_mib` when all is there, its peak, and what it was before.
 */
export async function measureServiceMemory(): Promise<Figures> {
  await using stack = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "kagami-bench-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const layout = await LayoutWriter.create(`${folder}/layout`);
  for (let blob = 0; blob < KEYS; blob++) await layout.addBlob(64);

  say(`the service with ${KEYS} keys, and ${NODES} nodes with ${KEYS} keys each`);
  const service = stack.use(await Service.start({ layout: layout.path, folder }));
  const { pid } = service;
  await untilQuiet([pid]);
  const { rssMib: aloneMib } = await memoryUsage(pid);
  // What the start took is over.
  await resetPeak(pid);

  const options: FeederOptions = { router: service.routerAddress, nodes: NODES, keys: KEYS };
  const cpuBefore = await cpuSeconds(pid);
  const program = fileURLToPath(new URL("./feeder.ts", import.meta.url));
  const feeder = stack.use(new WorkerProcess(program, options));
  await feeder.answer();
  await untilQuiet([pid]);
  const cpuOfRecords = await cpuSeconds(pid) - cpuBefore;
  // Once more: records are told again every quarter of an hour.
  await feeder.ask({});
  await untilQuiet([pid]);
  await sleep(WATCH_MS);
  const { rssMib, peakMib } = await memoryUsage(pid);
  return {
    rss_mib: rssMib,
    rss_peak_mib: peakMib,
    rss_alone_mib: aloneMib,
    service_cpu_ms_a_record: cpuOfRecords / (NODES * KEYS) * 1000,
  };
}
