/**
 * Can content be read from its files?
 *
 * @module
 */
import { splitDigest } from "../../oci/digest.ts";
import type { Store } from "../../store/store.ts";
import type { Check, CheckContext } from "../check.ts";
import { type Finding, reporter } from "../finding.ts";

const content = reporter("content");

/** Contents whose files are looked for; some may be deleted meanwhile. */
const SAMPLES = 8;

/** The content directory, or the OCI layout. */
export const contentCheck: Check = {
  name: "content",
  async run(context) {
    const { settings } = context;
    if (settings.store === "oci-layout") return [await layout(settings.ociLayoutPath ?? "")];
    return [await contentPath(context)];
  },
};

async function layout(path: string): Promise<Finding> {
  try {
    await Deno.readTextFile(`${path}/oci-layout`);
    await Deno.readTextFile(`${path}/index.json`);
    return content.ok(`OCI layout in ${path}`);
  } catch (error) {
    return content.found("layout-unreadable", `${path}: ${(error as Error).message}`);
  }
}

async function contentPath(context: CheckContext): Promise<Finding> {
  const { settings: { containerdContentPath: path }, containerd, store } = context;
  const root = containerd instanceof Error ? undefined : containerd.contentRoot;
  const hint = root === undefined || root === path ? "" : `; containerd itself says ${root}`;
  try {
    for await (const _ of Deno.readDir(`${path}/blobs/sha256`)) break;
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) {
      return content.found("content-path-denied", `${path} may not be read`);
    }
    // A containerd that has no content yet has no blobs either.
    if (!await isFolder(path)) {
      return content.found("content-path-missing", `there is no folder ${path}${hint}`);
    }
  }
  const missing = containerd instanceof Error ? undefined : await missingFile(path, store);
  if (missing === undefined) return content.ok(`${path} can be read`);
  const what = `${path} does not have ${missing}, which containerd has${hint}`;
  return content.found("content-path-elsewhere", what);
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch {
    return false;
  }
}

/** @returns A content without its file, if not even one of several has one. */
async function missingFile(path: string, store: Store): Promise<string | undefined> {
  const digests = new Set((await store.list()).map(({ digest }) => digest));
  let missing: string | undefined;
  for (const digest of [...digests].slice(0, SAMPLES)) {
    const { algorithm, hex } = splitDigest(digest);
    try {
      await Deno.stat(`${path}/blobs/${algorithm}/${hex}`);
      return undefined;
    } catch {
      missing = digest;
    }
  }
  return missing;
}
