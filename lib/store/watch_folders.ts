/**
 * Notices changes in folders.
 *
 * @module
 */

/** How often folders that are not there yet are looked for, in milliseconds. */
export const APPEAR_INTERVAL_MS = 1000;

/**
 * Watches folders, also such that come later, until the signal is aborted. Changes may be missed (a limit of the system,
 * a folder that is removed and made again): a caller must not rely on them alone.
 *
 * @param paths Folders, not those below them.
 * @param onChange Called with the path of each entry that appeared, changed or went, and of each folder that is watched
 * from now on.
 * @param signal Ends the watch.
 */
export function watchFolders(
  paths: readonly string[],
  onChange: (path: string) => void,
  signal: AbortSignal,
): void {
  const open = new Set(paths);
  const watchers: Deno.FsWatcher[] = [];
  const look = () => {
    for (const path of open) {
      const watcher = tryToWatch(path);
      if (watcher === undefined) continue;
      open.delete(path);
      watchers.push(watcher);
      void forward(watcher, (changed) => {
        look();
        onChange(changed);
      });
      onChange(path);
    }
  };
  if (signal.aborted) return;
  look();
  const timer = setInterval(look, APPEAR_INTERVAL_MS);
  signal.addEventListener("abort", () => {
    clearInterval(timer);
    open.clear();
    for (const watcher of watchers) watcher.close();
  }, { once: true });
}

function tryToWatch(path: string): Deno.FsWatcher | undefined {
  try {
    return Deno.watchFs(path, { recursive: false });
  } catch {
    return undefined; // Not there yet, or the system has no watches left.
  }
}

async function forward(watcher: Deno.FsWatcher, onChange: (path: string) => void): Promise<void> {
  for await (const event of watcher) {
    if (event.kind === "access") continue;
    for (const path of event.paths) onChange(path);
  }
}
