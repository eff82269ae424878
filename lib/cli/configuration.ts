/**
 * The command `configuration`.
 *
 * @module
 */
import type { ConfigurationConfig } from "../config/config.ts";
import { writeMirrorConfiguration } from "../hosts/mirror_configuration.ts";
import type { Logger } from "../observability/logger.ts";
import { basicAuthorization } from "../registry/basic_auth.ts";
import { loadCredentials } from "../registry/load_credentials.ts";

/**
 * Writes containerd's mirror configuration.
 *
 * @param config What to write.
 * @param log Log.
 */
export async function runConfiguration(config: ConfigurationConfig, log: Logger): Promise<void> {
  const credentials = await loadCredentials(config.basicAuthDir);
  await writeMirrorConfiguration({
    ...config,
    ...(credentials === undefined ? {} : { authorization: basicAuthorization(credentials) }),
    log,
  });
}
