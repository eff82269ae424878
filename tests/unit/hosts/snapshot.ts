/**
 * A folder as text, to compare it before and after.
 *
 * @module
 */

/**
 * Lists all that is in a folder: kind, mode, time of change, and content.
 *
 * @param folder The folder.
 * @returns One entry for each path below it.
 */
export async function snapshot(folder: string): Promise<Record<string, string>> {
  const entries: Record<string, string> = {};
  const visit = async (path: string) => {
    const names = (await Array.fromAsync(Deno.readDir(folder + path))).map(({ name }) => name);
    for (const name of names.sort()) {
      const child = `${path}/${name}`;
      entries[child.slice(1)] = await describe(folder + child);
      if ((await Deno.lstat(folder + child)).isDirectory) await visit(child);
    }
  };
  await visit("");
  return entries;
}

async function describe(path: string): Promise<string> {
  const info = await Deno.lstat(path);
  if (info.isSymlink) return `link to ${await Deno.readLink(path)}`;
  const facts = `${(info.mode ?? 0).toString(8)} ${info.mtime?.toISOString()}`;
  if (info.isDirectory) return `folder ${facts}`;
  return `file ${facts} ${(await Deno.readFile(path)).toBase64()}`;
}

/**
 * Reads all files in a folder, links followed.
 *
 * @param folder The folder.
 * @returns Text by path.
 */
export async function readFiles(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const [path, entry] of Object.entries(await snapshot(folder))) {
    if (entry.startsWith("file ")) files[path] = await Deno.readTextFile(`${folder}/${path}`);
  }
  return files;
}

/**
 * Writes files, with the folders that they need.
 *
 * @param folder Where to.
 * @param files Text by path.
 */
export async function writeFiles(folder: string, files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    const file = `${folder}/${path}`;
    await Deno.mkdir(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(file, text);
  }
}
