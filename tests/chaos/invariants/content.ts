/**
 * No content differs from its digest, but for what the run itself has damaged.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { PushedImage } from "../../integration/harness/cluster.ts";
import { blobsOf, type World } from "../world.ts";

/**
 * Reads an image on a node.
 *
 * @param world The cluster.
 * @param node Number of a node that has it.
 * @param image The image.
 * @returns Digests of what is missing or wrong.
 */
export async function damagedBlobs(
  world: World,
  node: number,
  image: PushedImage,
): Promise<string[]> {
  const { containerd } = world.node(node);
  const damaged: string[] = [];
  for (const digest of blobsOf(image)) {
    if (!await matches(containerd.blobPath(digest), digest)) damaged.push(digest);
  }
  return damaged;
}

/**
 * Reads all content of all nodes.
 *
 * @param world The cluster.
 * @returns What is wrong, in words; and how many contents were read.
 */
export async function checkContent(
  world: World,
): Promise<{ readonly violations: string[]; readonly read: number }> {
  const violations: string[] = [];
  let read = 0;
  for (const node of world.numbers) {
    const { containerd } = world.node(node);
    const excepted = new Set(
      world.allImages.filter((image) => world.holdings.get(node, image) === "damaged")
        .flatMap(blobsOf),
    );
    for (const digest of await containerd.contents()) {
      if (excepted.has(digest)) continue;
      read += 1;
      if (!await matches(containerd.blobPath(digest), digest)) {
        violations.push(`node ${node} has a wrong ${digest}`);
      }
    }
  }
  return { violations, read };
}

async function matches(path: string, digest: string): Promise<boolean> {
  try {
    const bytes = await Deno.readFile(path);
    return `sha256:${createHash("sha256").update(bytes).digest("hex")}` === digest;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
