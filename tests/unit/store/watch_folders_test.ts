import assert from "node:assert/strict";
import { watchFolders } from "../../../lib/store/watch_folders.ts";
import { withFolder } from "../cli/configuration_folder.ts";
import { eventually } from "../support/eventually.ts";

/** Watches folders below one, and collects the paths that are told, relative to it. */
function watching(root: string, ...folders: string[]): {
  told: string[];
  abort: AbortController;
  /** Waits until a path has been told since the last call. */
  next: (path: string) => Promise<void>;
} {
  const told: string[] = [];
  const abort = new AbortController();
  watchFolders(
    folders.map((folder) => `${root}${folder}`),
    (path) => told.push(path.slice(root.length)),
    abort.signal,
  );
  return {
    told,
    abort,
    async next(path) {
      await eventually(`${path} is told`, () => told.includes(path));
      told.length = 0;
    },
  };
}

Deno.test("watchFolders() tells of each folder that it watches", async () => {
  await withFolder(async (root) => {
    await Deno.mkdir(`${root}/a`);
    const { told, abort } = watching(root, "", "/a");
    assert.deepEqual(told, ["", "/a"], "at once");
    abort.abort();
  });
});

Deno.test("watchFolders() tells of entries that come, change, are renamed, and go", async () => {
  await withFolder(async (root) => {
    const { told, abort, next } = watching(root, "");
    told.length = 0;
    await Deno.writeTextFile(`${root}/one`, "1");
    await next("/one");
    await Deno.writeTextFile(`${root}/one`, "2");
    await next("/one");
    await Deno.rename(`${root}/one`, `${root}/two`);
    await next("/two");
    await Deno.remove(`${root}/two`);
    await next("/two");
    abort.abort();
  });
});

Deno.test("watchFolders() tells nothing of what is only read", async () => {
  await withFolder(async (root) => {
    await Deno.writeTextFile(`${root}/one`, "1");
    const { told, abort, next } = watching(root, "");
    told.length = 0;
    for (let count = 0; count < 3; count++) await Deno.readTextFile(`${root}/one`);
    // What came before it would have been told by then.
    await Deno.writeTextFile(`${root}/mark`, "");
    await eventually("the mark is told", () => told.includes("/mark"));
    assert.equal(told.includes("/one"), false);
    await next("/mark");
    abort.abort();
  });
});

Deno.test("watchFolders() watches folders that come later, and says so", async () => {
  await withFolder(async (root) => {
    const { abort, next } = watching(root, "", "/blobs", "/blobs/sha256");
    await Deno.mkdir(`${root}/blobs`);
    await next("/blobs");
    await Deno.mkdir(`${root}/blobs/sha256`);
    await next("/blobs/sha256");
    await Deno.writeTextFile(`${root}/blobs/sha256/one`, "1");
    await next("/blobs/sha256/one");
    abort.abort();
  });
});

Deno.test("watchFolders() finds a folder by itself whose parent is not watched", async () => {
  await withFolder(async (root) => {
    const { abort, next } = watching(root, "/deep/below");
    await Deno.mkdir(`${root}/deep/below`, { recursive: true });
    await next("/deep/below");
    abort.abort();
  });
});

Deno.test("watchFolders() tells nothing and holds nothing after the end", async () => {
  await withFolder(async (root) => {
    const { told, abort } = watching(root, "", "/later");
    abort.abort();
    told.length = 0;
    await Deno.mkdir(`${root}/later`);
    await Deno.writeTextFile(`${root}/one`, "1");
    // Another watch of the same folder has told of both by then.
    const other = watching(root, "");
    await Deno.writeTextFile(`${root}/mark`, "");
    await other.next("/mark");
    other.abort.abort();
    assert.deepEqual(told, []);
  });
});

Deno.test("watchFolders() that is over before it begins does nothing", async () => {
  await withFolder((root) => {
    const told: string[] = [];
    watchFolders([root], (path) => told.push(path), AbortSignal.abort());
    assert.deepEqual(told, []);
    return Promise.resolve();
  });
});

Deno.test("watchFolders() goes on when a watched folder is removed", async () => {
  await withFolder(async (root) => {
    await Deno.mkdir(`${root}/a`);
    const { abort, next } = watching(root, "", "/a");
    await Deno.remove(`${root}/a`);
    await next("/a");
    await Deno.writeTextFile(`${root}/one`, "1");
    await next("/one");
    abort.abort();
  });
});
