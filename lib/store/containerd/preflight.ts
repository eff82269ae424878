/**
 * What has to be right on the node for a mirror to be of use, as far as containerd tells.
 *
 * @module
 */
import type { Logger } from "../../observability/logger.ts";
import type { ContainerdClient } from "./containerd_client.ts";
import { METHODS } from "./schema.ts";

/** Options of {@linkcode preflight}. */
export interface PreflightOptions {
  readonly client: ContainerdClient;
  /** Where Kagami reads blobs. */
  readonly contentPath: string;
  readonly log: Logger;
}

/**
 * Checks containerd's version and settings once, and logs what an operator has to change. Nothing that it finds stops
 * the service.
 *
 * @param options Client, content directory, and log.
 * @returns containerd's version.
 * @throws {UnavailableError} If containerd does not answer.
 */
export async function preflight(options: PreflightOptions): Promise<string> {
  const { client, contentPath, log } = options;
  const { version } = await client.call(METHODS.version, {});
  const { plugins } = await client.call(METHODS.plugins, { filters: ["id==content"] });
  const root = plugins.find((plugin) => plugin.id === "content")?.exports["root"];
  log.info("connected to containerd", { version, contentRoot: root });
  checkContentPath(contentPath, root, log);
  await checkCri(client, log);
  return version;
}

function checkContentPath(contentPath: string, root: string | undefined, log: Logger): void {
  try {
    if (Deno.statSync(contentPath).isDirectory) return;
  } catch {
    // Told below.
  }
  log.warn("there is no content path, reading slowly through containerd's socket instead", {
    contentPath,
    contentRoot: root,
    remedy: "mount containerd's content directory and name it with --containerd-content-path",
  });
}

async function checkCri(client: ContainerdClient, log: Logger): Promise<void> {
  let text: string | undefined;
  try {
    text = (await client.call(METHODS.runtimeStatus, { verbose: true })).info["config"];
  } catch (error) {
    log.debug("containerd's CRI plugin does not tell its settings", { error });
  }
  const settings = parseCriConfig(text);
  if (settings.discardsLayers) {
    log.warn("containerd discards unpacked layers, so that this node has none to share", {
      remedy: "set discard_unpacked_layers = false in containerd's CRI settings",
    });
  }
  if (settings.lacksConfigPath) {
    log.warn("containerd has no registry config_path, so that it does not ask mirrors", {
      remedy: 'set config_path = "/etc/containerd/certs.d" in containerd\'s CRI registry settings',
    });
  }
}

/** Settings of the CRI plugin that keep a mirror from being of use. */
export interface CriFindings {
  readonly discardsLayers: boolean;
  readonly lacksConfigPath: boolean;
}

/**
 * Reads the CRI plugin's settings.
 *
 * @param text JSON as the CRI's verbose status gives it; containerd 2 leaves fields out that 1.x has.
 * @returns What is wrong; nothing if it cannot be known.
 */
export function parseCriConfig(text: string | undefined): CriFindings {
  let config: Record<string, Record<string, unknown> | undefined>;
  try {
    config = JSON.parse(text ?? "{}") ?? {};
  } catch {
    config = {};
  }
  return {
    discardsLayers: config["containerd"]?.["discardUnpackedLayers"] === true,
    lacksConfigPath: config["registry"]?.["configPath"] === "",
  };
}
