/**
 * Can the mirror configuration be read and written?
 *
 * @module
 */
import { access, constants } from "node:fs/promises";
import type { Check } from "../check.ts";
import { reporter } from "../finding.ts";

const certs = reporter("certs-dir");

/** The folder of the mirror configuration. */
export const certsDirCheck: Check = {
  name: "certs-dir",
  async run({ settings, configPath, isInPod }) {
    if (settings.store !== "containerd") return [];
    try {
      for await (const _ of Deno.readDir(configPath)) break;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) {
        return [certs.found("certs-dir-denied", `${configPath}: ${(error as Error).message}`)];
      }
      const what = `there is no ${configPath}`;
      return [certs.found(isInPod ? "certs-dir-not-visible" : "certs-dir-missing", what)];
    }
    try {
      await access(configPath, constants.W_OK);
    } catch {
      return [certs.found("certs-dir-read-only", `${configPath} may not be written`)];
    }
    return [certs.ok(`${configPath} can be read and written`)];
  },
};
