/**
 * What has to be right on the node for a mirror to be of use, as far as containerd tells.
 *
 * @module
 */
import type { Logger } from "../../observability/logger.ts";
import { type ContainerdClient, LIST_TIMEOUT_MS } from "./containerd_client.ts";
import { METHODS, type PluginMessage, type StringMap } from "./schema.ts";

/** Labels of a manifest that is here: its config, and its first layer. */
const CONFIG_LABEL = "containerd.io/gc.ref.content.config";
const LAYER_LABEL = "containerd.io/gc.ref.content.l.0";

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
  const { version, contentRoot, settings } = await inspectContainerd(client, (error) => {
    log.debug("containerd's CRI plugin does not tell its settings", { error });
  });
  log.info("connected to containerd", { version, contentRoot });
  checkContentPath(contentPath, contentRoot, log);
  logSettings(settings, log);
  return version;
}

/** What containerd tells of itself. */
export interface ContainerdFacts {
  readonly version: string;
  /** Its content directory, as it sees it; undefined if it is not told. */
  readonly contentRoot: string | undefined;
  readonly settings: CriFindings & {
    /** True if it does not tell whether it discards layers, and some of its images have none. */
    readonly lacksLayers: boolean;
  };
}

/**
 * Asks containerd for what matters to a mirror.
 *
 * @param client Client of it.
 * @param onUntold Called if its CRI plugin does not answer.
 * @returns What it tells.
 * @throws {UnavailableError} If it does not answer.
 */
export async function inspectContainerd(
  client: ContainerdClient,
  onUntold?: (error: unknown) => void,
): Promise<ContainerdFacts> {
  const { version } = await client.call(METHODS.version, {});
  const { plugins } = await client.call(METHODS.plugins, {
    filters: ["id==content", "id==images"],
  });
  const contentRoot = plugins.find((plugin) => plugin.id === "content")?.exports["root"];
  const isImages = ({ type, id }: PluginMessage) => `${type}.${id}` === IMAGES_PLUGIN;
  const images = plugins.find(isImages)?.exports ?? {};
  let text: string | undefined;
  try {
    text = (await client.call(METHODS.runtimeStatus, { verbose: true })).info["config"];
  } catch (error) {
    onUntold?.(error);
  }
  const findings = { ...parseCriConfig(text), ...parseImagesPlugin(images) };
  const lacksLayers = findings.discardsLayers === undefined && await hasDiscardedLayers(client);
  return { version, contentRoot, settings: { ...findings, lacksLayers } };
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

/** Plugin of containerd 2 that pulls images; after 2.3 it tells two of its settings. */
const IMAGES_PLUGIN = "io.containerd.cri.v1.images";

function logSettings(settings: ContainerdFacts["settings"], log: Logger): void {
  if (settings.discardsLayers) {
    log.warn("containerd discards unpacked layers, so that this node has none to share", {
      remedy: "set discard_unpacked_layers = false in containerd's CRI settings",
    });
  } else if (settings.lacksLayers) {
    log.warn("containerd has discarded layers of images, so that this node cannot share them", {
      remedy: "set discard_unpacked_layers = false in containerd's CRI settings; " +
        "images that were pulled before it stay without layers",
    });
  }
  if (settings.lacksConfigPath) {
    log.warn("containerd has no registry config_path, so that it does not ask mirrors", {
      remedy: 'set config_path = "/etc/containerd/certs.d" in containerd\'s CRI registry settings',
    });
  }
  if (settings.hasConfigPathList) {
    log.warn("containerd's config_path is a list, which it does not understand when it pulls", {
      remedy: "set config_path to the one folder that the mirror is written to, " +
        "or use_local_image_pull = true",
    });
  }
}

/**
 * Reads what the plugin that pulls images tells of its settings.
 *
 * @param told What it exports.
 * @returns What is wrong; only what can be known.
 */
export function parseImagesPlugin(told: StringMap): Partial<CriFindings> {
  const { DiscardUnpackedLayers: discards, RegistryConfigPath: path } = told;
  return {
    ...(discards === undefined ? {} : { discardsLayers: discards === "true" }),
    ...(path === undefined ? {} : {
      configPath: path,
      lacksConfigPath: path === "",
      // Where layers are discarded, containerd pulls in its old way, which knows lists.
      hasConfigPathList: path.includes(":") && discards !== "true",
    }),
  };
}

/** Where the setting is not told, manifests tell what it has done: those of discarded layers are not referred to. */
async function hasDiscardedLayers(client: ContainerdClient): Promise<boolean> {
  const request = { filters: [`labels."${CONFIG_LABEL}"`] };
  const call = client.stream(METHODS.listContent, request, LIST_TIMEOUT_MS);
  try {
    for await (const { info } of call as AsyncIterable<{ info: { labels: StringMap }[] }>) {
      if (info.some(({ labels }) => CONFIG_LABEL in labels && !(LAYER_LABEL in labels))) {
        return true;
      }
    }
    return false;
  } catch (error) {
    throw client.asStoreError(error);
  } finally {
    call.cancel();
  }
}

/** Settings of the CRI plugin that keep a mirror from being of use. */
export interface CriFindings {
  /** Undefined if it is not told: containerd 2 leaves the settings of images out. */
  readonly discardsLayers: boolean | undefined;
  /** Folders where it looks for mirrors, separated by colons; undefined if it is not told. */
  readonly configPath?: string;
  readonly lacksConfigPath: boolean;
  /** True if containerd takes a list of folders for the name of one, and finds no mirror. */
  readonly hasConfigPathList?: boolean;
}

/**
 * Reads the CRI plugin's settings.
 *
 * @param text JSON as the CRI's verbose status gives it.
 * @returns What is wrong; nothing if it cannot be known.
 */
export function parseCriConfig(text: string | undefined): CriFindings {
  let config: Record<string, Record<string, unknown> | undefined>;
  try {
    config = JSON.parse(text ?? "{}") ?? {};
  } catch {
    config = {};
  }
  const discards = config["containerd"]?.["discardUnpackedLayers"];
  const path = config["registry"]?.["configPath"];
  return {
    discardsLayers: typeof discards === "boolean" ? discards : undefined,
    ...(typeof path === "string" ? { configPath: path } : {}),
    lacksConfigPath: path === "",
  };
}
