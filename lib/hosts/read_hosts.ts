/**
 * Reads containerd's mirror configuration as containerd does.
 *
 * @module
 */
import { lstatOrUndefined } from "./file_tree.ts";
import { type NamedMirror, parseHostsFile } from "./hosts_file.ts";
import { folderNames, HOSTS_FILE } from "./mirror_configuration.ts";

/** The file that counts for a registry. */
export interface HostsFile {
  readonly path: string;
  /** Mirrors, in the order in which they are asked. */
  readonly mirrors: readonly NamedMirror[];
}

/**
 * Reads what counts for a registry: the first of its folders that is there, be there a file in it or not.
 *
 * @param configPath containerd's `config_path`.
 * @param host Host of the registry, with its port if it has one; `_default` for those without a folder of their own.
 * @returns The file; undefined if there is none.
 * @throws {ConfigError} If it is not TOML. Errors of reading it pass.
 */
export async function readHosts(configPath: string, host: string): Promise<HostsFile | undefined> {
  for (const name of folderNames(host)) {
    if (await lstatOrUndefined(`${configPath}/${name}`) === undefined) continue;
    const path = `${configPath}/${name}/${HOSTS_FILE}`;
    if (await lstatOrUndefined(path) === undefined) return undefined;
    return { path, mirrors: parseHostsFile(await Deno.readTextFile(path)) };
  }
  return undefined;
}
