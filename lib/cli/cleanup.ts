/**
 * The command `cleanup`.
 *
 * @module
 */
import { createServer } from "node:http";
import type { CleanupConfig } from "../config/config.ts";
import { cleanUpMirrorConfiguration } from "../hosts/mirror_configuration.ts";
import { closeServer, listen } from "../net/listen.ts";
import type { Logger } from "../observability/logger.ts";

/**
 * Restores containerd's configuration, then answers readiness probes until it is stopped: `cleanup-wait` counts on
 * all nodes answering at the same time.
 *
 * @param config Where.
 * @param log Log.
 * @param signal Stops it.
 */
export async function runCleanup(
  config: CleanupConfig,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  await cleanUpMirrorConfiguration(config.configPath, log);
  const server = createServer((request, response) => {
    const isProbe = request.method === "GET" && request.url === "/readyz";
    response.writeHead(isProbe ? 200 : 404, { "Content-Length": "0" }).end();
  });
  const port = await listen(server, config.addr);
  log.info("cleaned up, answering probes until stopped", { port });
  if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  }
  await closeServer(server, Promise.resolve(), 0);
}
