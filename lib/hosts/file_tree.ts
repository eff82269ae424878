/**
 * Copies and replaces files so that a crash at any point leaves old or new, never half.
 *
 * @module
 */

/** What a file's name ends with while {@linkcode writeAtomically} writes it. */
export const TEMPORARY_SUFFIX = ".kagami-new";

/**
 * Whether there is something at a path, be it a broken link.
 *
 * @param path The path.
 * @returns Facts about it, or undefined.
 */
export async function lstatOrUndefined(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * Names in a folder, sorted.
 *
 * @param path The folder.
 * @returns Names; none if there is no such folder.
 */
export async function listNames(path: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return [];
    }
    throw error;
  }
}

/**
 * Removes a file, link or folder with all that is in it. Nothing there is fine.
 *
 * @param path What to remove.
 */
export async function removeTree(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/**
 * Copies a file, link or folder with modes, owners and times.
 *
 * @param from What to copy.
 * @param to Where to; must not exist.
 */
export async function copyTree(from: string, to: string): Promise<void> {
  const info = await Deno.lstat(from);
  if (info.isSymlink) return await Deno.symlink(await Deno.readLink(from), to);
  if (info.isDirectory) {
    await Deno.mkdir(to);
    for (const name of await listNames(from)) await copyTree(`${from}/${name}`, `${to}/${name}`);
  } else {
    await Deno.copyFile(from, to);
    using file = await Deno.open(to, { read: true });
    await file.sync();
  }
  await keepOwner(to, info);
  await Deno.chmod(to, (info.mode ?? 0o644) & 0o7777);
  if (info.mtime !== null) await Deno.utime(to, info.atime ?? info.mtime, info.mtime);
}

async function keepOwner(path: string, info: Deno.FileInfo): Promise<void> {
  try {
    await Deno.chown(path, info.uid, info.gid);
  } catch (error) {
    // Not root: what is copied belongs to the one who may copy it.
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
  }
}

/**
 * Writes a file in one step.
 *
 * @param path The file.
 * @param text Its new text.
 */
export async function writeAtomically(path: string, text: string): Promise<void> {
  const temporary = `${path}${TEMPORARY_SUFFIX}`;
  const file = await Deno.open(temporary, { write: true, create: true, truncate: true });
  try {
    await writeAll(file, new TextEncoder().encode(text));
    await file.sync();
  } finally {
    file.close();
  }
  await Deno.chmod(temporary, 0o644);
  await Deno.rename(temporary, path);
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}
