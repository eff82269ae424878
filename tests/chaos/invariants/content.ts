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
 * @returns What is missing or wrong, in words.
 */
export async function damagedBlobs(
  world: World,
  node: number,
  image: PushedImage,
): Promise<string[]> {
  const { containerd } = world.node(node);
  const damaged: string[] = [];
  for (const digest of blobsOf(image)) {
    const state = await stateOf(containerd.blobPath(digest), digest);
    if (state !== "right") damaged.push(`${state} ${digest}`);
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
      const state = await stateOf(containerd.blobPath(digest), digest);
      if (state !== "right") violations.push(`node ${node} has a ${state} ${digest}`);
    }
  }
  return { violations, read };
}

async function stateOf(path: string, digest: string): Promise<"right" | "wrong" | "missing"> {
  try {
    const bytes = await Deno.readFile(path);
    const hex = createHash("sha256").update(bytes).digest("hex");
    return `sha256:${hex}` === digest ? "right" : "wrong";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "missing";
    throw error;
  }
}
