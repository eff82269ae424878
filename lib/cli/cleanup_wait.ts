/**
 * The command `cleanup-wait`.
 *
 * @module
 */
import { lookup } from "node:dns/promises";
import type { CleanupWaitConfig } from "../config/config.ts";
import { UnavailableError } from "../errors.ts";
import type { Logger } from "../observability/logger.ts";
import { sleep } from "../sleep.ts";

/** Time limit of one probe, in milliseconds. */
export const PROBE_TIMEOUT_MS = 1000;

/** Probes at the same time. */
export const PROBE_CONCURRENCY = 10;

/**
 * Waits until all nodes behind an endpoint answer that they are cleaned up, several times in a row.
 *
 * @param config Endpoint, and how often.
 * @param log Log.
 * @param signal Ends the wait.
 * @throws {UnavailableError} If it was stopped before.
 */
export async function runCleanupWait(
  config: CleanupWaitConfig,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { probeEndpoint, threshold, periodMs } = config;
  let successes = 0;
  while (true) {
    if (signal.aborted) throw new UnavailableError("stopped before all nodes were cleaned up");
    try {
      const nodes = await probeAll(probeEndpoint, signal);
      successes += 1;
      log.info("all nodes answer", { nodes, successes, threshold });
      if (successes === threshold) return;
    } catch (error) {
      successes = 0;
      log.info("not all nodes answer yet", { endpoint: probeEndpoint.host, error });
    }
    await sleep(periodMs, signal);
  }
}

/** @returns Number of nodes, all of which answered. */
async function probeAll(
  endpoint: CleanupWaitConfig["probeEndpoint"],
  signal: AbortSignal,
): Promise<number> {
  const nodes = await lookup(endpoint.host, { all: true });
  const open = [...nodes];
  const worker = async () => {
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      const host = node.family === 6 ? `[${node.address}]` : node.address;
      const response = await fetch(`http://${host}:${endpoint.port}/readyz`, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]),
      });
      await response.body?.cancel();
      if (response.status !== 200) throw new UnavailableError(`${host} answers ${response.status}`);
    }
  };
  await Promise.all(Array.from({ length: PROBE_CONCURRENCY }, worker));
  return nodes.length;
}
