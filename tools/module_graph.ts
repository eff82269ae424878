/**
 * What a program is made of, as `deno info` tells it.
 *
 * @module
 */

/** A package from npm. */
export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  /** Keys of the packages that it needs. */
  readonly dependencies: readonly string[];
}

/** Modules and packages of a program. */
export interface ModuleGraph {
  readonly modules: readonly {
    readonly specifier: string;
    readonly error?: string;
    readonly npmPackage?: string;
  }[];
  /** Packages that the program needs, by their key in deno.lock. */
  readonly npmPackages: Readonly<Record<string, NpmPackage>>;
}

/**
 * Reads the graph of a program of this repository.
 *
 * @param entry Path of its entry, from the root of the repository.
 * @returns The graph.
 * @throws {Error} If Deno cannot make it.
 */
export async function moduleGraph(entry: string): Promise<ModuleGraph> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", entry],
    cwd: new URL("../", import.meta.url),
    stderr: "piped",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const { modules, npmPackages }: ModuleGraph = JSON.parse(new TextDecoder().decode(stdout));
  // Deno lists all that deno.lock has.
  const needed: Record<string, NpmPackage> = {};
  const open = modules.flatMap(({ npmPackage = [] }) => npmPackage);
  for (let key = open.pop(); key !== undefined; key = open.pop()) {
    const found = npmPackages[key];
    if (found === undefined || key in needed) continue;
    needed[key] = found;
    open.push(...found.dependencies);
  }
  const sorted = Object.entries(needed).sort(([a], [b]) => a < b ? -1 : 1);
  return { modules, npmPackages: Object.fromEntries(sorted) };
}
