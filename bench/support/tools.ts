/**
 * Programs of others that benchmarks use where the machine has them.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { run } from "../../tests/integration/harness/process.ts";

/**
 * Says whether a program can be started by its name.
 *
 * @param name Name of the program.
 * @returns True if it is on PATH.
 */
export async function isOnPath(name: string): Promise<boolean> {
  for (const folder of (Deno.env.get("PATH") ?? "").split(":")) {
    try {
      if ((await Deno.stat(`${folder}/${name}`)).isFile) return true;
    } catch {
      // Not in this folder.
    }
  }
  return false;
}

/**
 * Builds one of the Go programs in `bench/baseline`.
 *
 * @param name Name of its file, without `.go`.
 * @param folder Where to put the program, and Go's build cache.
 * @returns Path of the program.
 */
export async function buildGo(name: string, folder: string): Promise<string> {
  const source = fileURLToPath(new URL(`../baseline/${name}.go`, import.meta.url));
  const path = `${folder}/${name}`;
  await run("go", "build", "-o", path, source);
  return path;
}
