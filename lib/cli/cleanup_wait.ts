/**
 * The command `cleanup-wait`.
 *
 * @module
 */
import { lookup as systemLookup } from "node:dns/promises";
import type { CleanupWaitConfig } from "../config/config.ts";
import { UnavailableError } from "../errors.ts";
import type { Logger } from "../observability/logger.ts";
import { sleep } from "../sleep.ts";

/** Time limit of one probe, in milliseconds. */
export const PROBE_TIMEOUT_MS = 1000;

/** Probes at the same time. */
export const PROBE_CONCURRENCY = 10;

/** An address that a name has. */
export interface ResolvedAddress {
  readonly address: string;
  /** 4 or 6. */
  readonly family: number;
}

/** Finds all addresses of a name. */
export type Lookup = (host: string) => Promise<readonly ResolvedAddress[]>;

const lookupAll: Lookup = (host) => systemLookup(host, { all: true });

/**
 * Waits until all nodes behind an endpoint answer that they are cleaned up, several times in a row.
 *
 * @param config Endpoint, and how often.
 * @param log Log.
 * @param signal Ends the wait.
 * @param lookup Finds the nodes. Default: the system's resolver.
 * @throws {UnavailableError} If it was stopped before.
 */
export async function runCleanupWait(
  config: CleanupWaitConfig,
  log: Logger,
  signal: AbortSignal,
  lookup: Lookup = lookupAll,
): Promise<void> {
  const { probeEndpoint, threshold, periodMs } = config;
  let successes = 0;
  while (true) {
    if (signal.aborted) throw new UnavailableError("stopped before all nodes were cleaned up");
    try {
      const nodes = await probeAll(await lookup(probeEndpoint.host), probeEndpoint.port, signal);
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
  nodes: readonly ResolvedAddress[],
  port: number,
  signal: AbortSignal,
): Promise<number> {
  if (nodes.length === 0) throw new UnavailableError("the endpoint has no address");
  const open = [...nodes];
  const failed = new AbortController();
  const worker = async () => {
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      await probe(node, port, AbortSignal.any([signal, failed.signal]));
    }
  };
  const workers = Array.from({ length: Math.min(PROBE_CONCURRENCY, nodes.length) }, worker);
  try {
    await Promise.all(workers);
  } finally {
    // One failure settles the round; no probe of it may run into the next one.
    open.length = 0;
    failed.abort();
    await Promise.allSettled(workers);
  }
  return nodes.length;
}

async function probe(node: ResolvedAddress, port: number, signal: AbortSignal): Promise<void> {
  const host = node.family === 6 ? `[${node.address}]` : node.address;
  const response = await fetch(`http://${host}:${port}/readyz`, {
    signal: AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]),
  });
  await response.body?.cancel();
  if (response.status !== 200) throw new UnavailableError(`${host} answers ${response.status}`);
}
