/**
 * The command `status`.
 *
 * @module
 */
import type { StatusConfig } from "../config/config.ts";
import { askHttp } from "../doctor/http_asker.ts";
import { NodeClient } from "../doctor/node_client.ts";
import { formatStatus } from "../doctor/status_screen.ts";
import { UnavailableError } from "../errors.ts";

/**
 * Prints what the mirror of this node does now.
 *
 * @param config Where it is.
 * @param print Writes to standard output.
 * @throws {UnavailableError} If it does not tell.
 */
export async function runStatus(
  config: StatusConfig,
  print: (text: string) => void,
): Promise<void> {
  const { metricsAddr, json } = config;
  const node = new NodeClient({ registry: metricsAddr, metrics: metricsAddr }, askHttp);
  const state = await node.state();
  if (state.kind === "silent") throw new UnavailableError(state.reason);
  if (state.kind === "untold") {
    throw new UnavailableError("the mirror does not tell: DEBUG_WEB_ENABLED is false");
  }
  print(json ? JSON.stringify(state.status, null, 2) + "\n" : formatStatus(state.status));
}
