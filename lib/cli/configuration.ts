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
  const literals = config.mirrorTargets.filter((target) => target.includes("["));
  if (literals.length > 0) {
    // Measured with 1.6.20: its TOML parser takes no brackets in the name of a table, whatever the quotes.
    log.warn(
      "containerd 1.x cannot read mirror targets with an IPv6 address and then asks no mirror",
      {
        targets: literals.join(", "),
        remedy: "name the targets by a host name, or use containerd 2",
      },
    );
  }
  await writeMirrorConfiguration({
    ...config,
    ...(credentials === undefined ? {} : { authorization: basicAuthorization(credentials) }),
    log,
  });
}
