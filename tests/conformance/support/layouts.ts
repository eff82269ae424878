/**
 * Stores over OCI layouts.
 *
 * @module
 */
import { LayoutStore } from "../../../lib/store/layout/layout_store.ts";
import { run, runCommand } from "../../integration/harness/process.ts";
import type { StoreFixture } from "../../unit/store/compliance.ts";
import { LayoutFolder } from "../../unit/support/layout_folder.ts";

/** Makes an empty layout, and a store over it. */
export async function createLayout(): Promise<StoreFixture> {
  const folder = await LayoutFolder.create();
  return {
    store: new LayoutStore({ path: folder.path }),
    add: (reference, image) => folder.add(reference, image),
    remove: (reference) => folder.remove(reference),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** Makes an empty layout into which skopeo copies what is added, and a store over it. */
export async function createSkopeoLayout(): Promise<StoreFixture> {
  const folder = await LayoutFolder.create();
  const path = await Deno.makeTempDir({ prefix: "kagami-skopeo-" });
  return {
    store: new LayoutStore({ path }),
    async add(reference, image) {
      await folder.add(reference, image);
      const options = ["--all", "--insecure-policy", "--preserve-digests"];
      const names = [folder.path, path].map((layout) => `oci:${layout}:${reference}`);
      await run("skopeo", "copy", ...options, ...names);
    },
    remove: () => Promise.reject(new Error("skopeo removes nothing from a layout")),
    async [Symbol.asyncDispose]() {
      await folder[Symbol.asyncDispose]();
      await Deno.remove(path, { recursive: true });
    },
  };
}

/** Whether there is skopeo. */
export async function hasSkopeo(): Promise<boolean> {
  try {
    return (await runCommand("skopeo", ["--version"])).code === 0;
  } catch {
    return false;
  }
}
