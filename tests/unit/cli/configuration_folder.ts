/**
 * A folder in which the commands about containerd's configuration work.
 *
 * @module
 */
import type { ConfigurationConfig } from "../../../lib/config/config.ts";

/**
 * Runs a test with an empty folder, and removes it.
 *
 * @param run The test.
 */
export async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/**
 * @param folder Where certs.d and the secret are.
 * @returns Configuration of `configuration` for all registries.
 */
export function configurationOf(folder: string): ConfigurationConfig {
  return {
    logLevel: "INFO",
    configPath: `${folder}/certs.d`,
    mirroredRegistries: [],
    mirrorTargets: ["http://127.0.0.1:5000"],
    resolveTags: false,
    prependExisting: false,
    basicAuthDir: `${folder}/auth`,
  };
}
