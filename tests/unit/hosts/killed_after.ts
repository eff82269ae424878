/**
 * Ends work on the file system after a number of changes, as `kill -9` would.
 *
 * @module
 */

/** Functions that change the file system. */
const CHANGES = [
  "chmod",
  "chown",
  "copyFile",
  "mkdir",
  "open",
  "remove",
  "rename",
  "symlink",
  "utime",
] as const;

class Killed extends Error {}

/** Removing a folder is many changes: it can be killed between them. */
async function removeStepwise(
  remove: typeof Deno.remove,
  path: string,
  options?: Deno.RemoveOptions,
): Promise<void> {
  if (options?.recursive && (await Deno.lstat(path)).isDirectory) {
    for (const { name } of await Array.fromAsync(Deno.readDir(path))) {
      await removeStepwise(remove, `${path}/${name}`, options);
    }
  }
  await remove(path);
}

/**
 * Runs something until it has made so many changes; the next one, and all after it, throw.
 *
 * @param changes How many changes are let through.
 * @param run What to run.
 * @returns True if it was killed, false if it ended by itself.
 */
export async function killedAfter(changes: number, run: () => Promise<void>): Promise<boolean> {
  const real = Object.fromEntries(CHANGES.map((name) => [name, Deno[name]]));
  let left = changes;
  for (const name of CHANGES) {
    const change = Deno[name] as (...args: unknown[]) => unknown;
    const limited = (...args: unknown[]) => {
      if (left-- > 0) return change(...args);
      throw new Killed(name);
    };
    Object.assign(Deno, { [name]: limited });
  }
  const remove = Deno.remove;
  Object.assign(Deno, {
    remove: (path: string, options?: Deno.RemoveOptions) => removeStepwise(remove, path, options),
  });
  try {
    await run();
    return false;
  } catch (error) {
    if (error instanceof Killed) return true;
    throw error;
  } finally {
    Object.assign(Deno, real);
  }
}
