/**
 * Notices changes in folders.
 *
 * @module
 */

/**
 * Watches folders until the signal is aborted.
 *
 * @param paths Folders, not those below them. Those that do not exist are left out.
 * @param onChange Called with the path of each entry that appeared, changed or went.
 * @param signal Ends the watch.
 * @returns The folders that are watched. None if the system refuses (limit of inotify watches reached); the caller
 * must not rely on changes alone.
 */
export function watchFolders(
  paths: readonly string[],
  onChange: (path: string) => void,
  signal: AbortSignal,
): string[] {
  const watched = paths.filter(isFolder);
  if (watched.length === 0 || signal.aborted) return [];
  let watcher: Deno.FsWatcher;
  try {
    watcher = Deno.watchFs(watched, { recursive: false });
  } catch {
    return [];
  }
  const stop = () => watcher.close();
  signal.addEventListener("abort", stop, { once: true });
  void forward(watcher, onChange).finally(() => signal.removeEventListener("abort", stop));
  return watched;
}

async function forward(watcher: Deno.FsWatcher, onChange: (path: string) => void): Promise<void> {
  for await (const event of watcher) {
    if (event.kind === "access") continue;
    for (const path of event.paths) onChange(path);
  }
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
