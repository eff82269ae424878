/**
 * Writes containerd's mirror configuration and takes it back.
 *
 * What was there is first copied whole into `_backup`, which comes into being by one rename; from then on an interrupted
 * run can be repeated or taken back. Entries that Kagami changed are listed in {@linkcode MARKER}; all others are left
 * alone. A `_backup` without the marker was made by Spegel, where everything outside of it is the mirror's.
 *
 * @module
 */
import { ALL_REGISTRIES, type MirroredRegistry } from "../config/value_parsers.ts";
import type { Logger } from "../observability/logger.ts";
import {
  copyTree,
  listNames,
  lstatOrUndefined,
  removeTree,
  TEMPORARY_SUFFIX,
  writeAtomically,
} from "./file_tree.ts";
import { type ExistingHosts, formatHostsFile, prependHostsFile } from "./hosts_file.ts";

/** Folder with what was there before; the same as Spegel's. */
export const BACKUP = "_backup";

/** File that lists what Kagami wrote or set aside. containerd looks only for folders. */
export const MARKER = ".kagami.json";

/** The backup while it is not complete, and while it is being removed. */
const BACKUP_PARTIAL = "_backup.kagami-partial";
const BACKUP_DONE = "_backup.kagami-done";
const MARKER_PARTIAL = `${MARKER}${TEMPORARY_SUFFIX}`;
/** Name of the file in a registry's folder. */
export const HOSTS_FILE = "hosts.toml";

/** What to configure. */
export interface MirrorConfigurationOptions {
  /** containerd's `config_path`. */
  readonly configPath: string;
  /** Registries that are mirrored; none means all. */
  readonly mirroredRegistries: readonly MirroredRegistry[];
  readonly mirrorTargets: readonly string[];
  readonly resolveTags: boolean;
  /** Keep the operator's mirrors, behind ours. */
  readonly prependExisting: boolean;
  readonly authorization?: string;
  readonly log: Logger;
}

/** What Kagami changed. */
interface Changes {
  /** Folders whose hosts.toml is ours, with its text. */
  readonly written: Readonly<Record<string, string>>;
  /** Entries that were set aside. */
  readonly removed: readonly string[];
}

/** What the marker says. */
interface Marker extends Changes {
  /** False while the changes are being made. */
  readonly complete: boolean;
}

/**
 * Writes the configuration. A second run with the same options changes nothing.
 *
 * @param options What to write.
 * @throws {ConfigError} If an existing hosts.toml that is to be kept is not TOML. Nothing is changed then.
 */
export async function writeMirrorConfiguration(options: MirrorConfigurationOptions): Promise<void> {
  const { configPath, log } = options;
  await Deno.mkdir(configPath, { recursive: true });
  await tidyUp(configPath);
  const backedUp = await lstatOrUndefined(`${configPath}/${BACKUP}`) !== undefined;
  const originals = backedUp ? `${configPath}/${BACKUP}` : configPath;
  const changes = await planChanges(options, originals);
  if (backedUp) {
    if (await isInPlace(configPath, changes)) {
      log.info("mirror configuration is up to date", { path: configPath });
      return;
    }
    await restore(configPath);
  }
  await backUp(configPath);
  await writeMarker(configPath, { ...changes, complete: false });
  for (const name of changes.removed) {
    await removeTree(`${configPath}/${name}`);
    log.warn("set an existing registry configuration aside", {
      path: `${configPath}/${name}`,
      remedy: "to keep it behind the mirror set PREPEND_EXISTING to true",
    });
  }
  for (const [name, text] of Object.entries(changes.written)) {
    await writeHosts(configPath, name, text);
    log.info("wrote mirror configuration", { path: `${configPath}/${name}/${HOSTS_FILE}` });
  }
  await writeMarker(configPath, { ...changes, complete: true });
}

/**
 * Puts back what was there before.
 *
 * @param configPath containerd's `config_path`.
 * @param log Told what was done.
 */
export async function cleanUpMirrorConfiguration(configPath: string, log: Logger): Promise<void> {
  await tidyUp(configPath);
  if (await lstatOrUndefined(`${configPath}/${BACKUP}`) === undefined) {
    log.info("nothing to clean up: no mirror configuration was written", { path: configPath });
    return;
  }
  await restore(configPath);
  log.info("restored registry configuration", { path: configPath });
}

/** Removes what a run that was interrupted left behind and that counts for nothing. */
async function tidyUp(configPath: string): Promise<void> {
  await removeTree(`${configPath}/${BACKUP_PARTIAL}`);
  await removeTree(`${configPath}/${BACKUP_DONE}`);
  await removeTree(`${configPath}/${MARKER_PARTIAL}`);
  if (await lstatOrUndefined(`${configPath}/${BACKUP}`) === undefined) {
    await removeTree(`${configPath}/${MARKER}`);
  }
}

async function planChanges(
  options: MirrorConfigurationOptions,
  originals: string,
): Promise<Changes> {
  const { mirroredRegistries, prependExisting } = options;
  const written: Record<string, string> = {};
  const existing = await registryFolders(originals);
  const wanted = mirroredRegistries.length === 0 ? [{ host: ALL_REGISTRIES }] : mirroredRegistries;
  for (const { url, host } of wanted) {
    const name = folderName(host, existing);
    written[name] = await hostsText(options, originals, name, url);
  }
  if (!(ALL_REGISTRIES in written)) return { written, removed: [] };
  // All registries: `_default` counts only for those without a folder of their own.
  const own = existing.filter((name) => !(name in written));
  if (!prependExisting) return { written, removed: own };
  // Without a URL: what the operator left out of them, containerd goes on filling in by itself.
  for (const name of own) written[name] = await hostsText(options, originals, name);
  return { written, removed: [] };
}

/** containerd looks for `<host>_<port>_` before `<host>:<port>`, so where the first exists it must be ours. */
function folderName(host: string, existing: readonly string[]): string {
  const preferred = host.replace(/:([0-9]+)$/, "_$1_");
  return existing.includes(preferred) ? preferred : host;
}

async function hostsText(
  options: MirrorConfigurationOptions,
  originals: string,
  name: string,
  registryUrl?: string,
): Promise<string> {
  const file = { ...options, ...(registryUrl === undefined ? {} : { registryUrl }) };
  if (!options.prependExisting) return formatHostsFile(file);
  const existing = await readExisting(`${originals}/${name}`);
  return existing === undefined ? formatHostsFile(file) : prependHostsFile(file, existing);
}

/**
 * Reads what is in a registry's folder.
 *
 * @param folder Its path.
 * @returns What is there; undefined for an empty folder.
 */
export async function readExisting(folder: string): Promise<ExistingHosts | undefined> {
  const files = await listNames(folder);
  if (files.length === 0) return undefined;
  const path = `${folder}/${HOSTS_FILE}`;
  try {
    return { path, files, text: await Deno.readTextFile(path) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { path, files, text: undefined };
    throw error;
  }
}

/** Names of the folder for a registry, in the order in which containerd looks for them. */
export function folderNames(host: string): string[] {
  return [...new Set([host.replace(/:([0-9]+)$/, "_$1_"), host, ALL_REGISTRIES])];
}

/**
 * Lists the folders of registries, and links to such.
 *
 * @param path containerd's `config_path`.
 * @returns Their names.
 */
export async function registryFolders(path: string): Promise<string[]> {
  const names: string[] = [];
  for (const name of await listNames(path)) {
    if (isOurs(name)) continue;
    try {
      if ((await Deno.stat(`${path}/${name}`)).isDirectory) names.push(name);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // A broken link is no folder.
    }
  }
  return names;
}

function isOurs(name: string): boolean {
  return [BACKUP, BACKUP_PARTIAL, BACKUP_DONE, MARKER, MARKER_PARTIAL].includes(name);
}

async function isInPlace(configPath: string, changes: Changes): Promise<boolean> {
  const wanted: Marker = { ...changes, complete: true };
  if (JSON.stringify(await readMarker(configPath)) !== JSON.stringify(wanted)) return false;
  for (const [name, text] of Object.entries(changes.written)) {
    const existing = await readExisting(`${configPath}/${name}`);
    if (existing?.text !== text) return false;
  }
  return true;
}

async function writeMarker(configPath: string, marker: Marker): Promise<void> {
  await writeAtomically(`${configPath}/${MARKER}`, JSON.stringify(marker, null, 2) + "\n");
}

async function readMarker(configPath: string): Promise<Marker | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(`${configPath}/${MARKER}`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Copies everything, so that Spegel's cleanup, too, would find all of it. */
async function backUp(configPath: string): Promise<void> {
  const partial = `${configPath}/${BACKUP_PARTIAL}`;
  await Deno.mkdir(partial);
  for (const name of await listNames(configPath)) {
    if (!isOurs(name)) await copyTree(`${configPath}/${name}`, `${partial}/${name}`);
  }
  await Deno.rename(partial, `${configPath}/${BACKUP}`);
}

async function writeHosts(configPath: string, name: string, text: string): Promise<void> {
  const folder = `${configPath}/${name}`;
  const info = await lstatOrUndefined(folder);
  if (info !== undefined && !info.isDirectory) {
    // What a link leads to belongs to somebody else; its files are copied, ours are written beside them.
    const target = info.isSymlink ? await realFolder(folder) : undefined;
    await Deno.remove(folder);
    if (target !== undefined) await copyTree(target, folder);
  }
  await Deno.mkdir(folder, { recursive: true });
  await writeAtomically(`${folder}/${HOSTS_FILE}`, text);
}

/** @returns The folder that a link leads to; undefined if it leads to none. */
async function realFolder(link: string): Promise<string | undefined> {
  try {
    const target = await Deno.realPath(link);
    return (await Deno.stat(target)).isDirectory ? target : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Puts back from the backup. Can be repeated after an interruption, for the backup stays whole until the end. */
async function restore(configPath: string): Promise<void> {
  const backup = `${configPath}/${BACKUP}`;
  const backedUp = new Set(await listNames(backup));
  const changes = await readMarker(configPath);
  const names = changes === undefined
    ? [...backedUp, ...await listNames(configPath)]
    : [...Object.keys(changes.written), ...changes.removed];
  for (const name of new Set(names)) {
    if (isOurs(name)) continue;
    await removeTree(`${configPath}/${name}`);
    if (backedUp.has(name)) await copyTree(`${backup}/${name}`, `${configPath}/${name}`);
  }
  await Deno.rename(backup, `${configPath}/${BACKUP_DONE}`);
  await removeTree(`${configPath}/${MARKER}`);
  await removeTree(`${configPath}/${BACKUP_DONE}`);
}
