/**
 * Faults of content on disk.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { PushedImage } from "../../integration/harness/cluster.ts";
import { runInside } from "../../integration/harness/network.ts";
import { eventually } from "../../integration/harness/process.ts";
import type { Fault } from "../schedule.ts";
import { blobsOf, type World } from "../world.ts";
import type { Heal } from "./fault.ts";

/** Longest wait for a containerd that is away to take an image from it, in milliseconds. */
const REMOVE_TIMEOUT_MS = 120_000;

/** A blob is written over, which its modification time tells. */
export function overwriteBlob(world: World, fault: Fault): Promise<Heal | undefined> {
  return damage(world, fault, false);
}

/** Bytes of a blob turn over on the disk by themselves, which nothing tells. */
export function decayBlob(world: World, fault: Fault): Promise<Heal | undefined> {
  return damage(world, fault, true);
}

async function damage(
  world: World,
  { node, choice }: Fault,
  keepsTime: boolean,
): Promise<Heal | undefined> {
  const held = world.images.filter((image) => world.holdings.get(node, image) === "held");
  const image = held[choice % held.length];
  if (image === undefined) return undefined;
  const blobs = blobsOf(image);
  const digest = blobs[choice % blobs.length]!;
  world.holdings.set(node, image, "damaged");
  await flipByte(world.node(node).containerd.blobPath(digest), choice, keepsTime);
  if (!keepsTime) await isNotServed(world, node, image, digest);
  return async () => {
    await removeDamaged(world, node, image);
    await repair(world.node(node).containerd.blobPath(digest), choice);
    world.holdings.set(node, image, "absent");
  };
}

/**
 * Changes one byte of a file.
 *
 * @param path The file.
 * @param choice Tells which one.
 * @param keepsTime Whether its modification time stays.
 */
export async function flipByte(path: string, choice: number, keepsTime: boolean): Promise<void> {
  const { size, atime, mtime } = await Deno.stat(path);
  {
    using file = await Deno.open(path, { read: true, write: true });
    const at = choice % size;
    const byte = new Uint8Array(1);
    await file.seek(at, Deno.SeekMode.Start);
    await file.read(byte);
    byte[0]! ^= 1 << (choice % 8);
    await file.seek(at, Deno.SeekMode.Start);
    await file.write(byte);
  }
  if (keepsTime) await Deno.utime(path, atime!, mtime!);
}

/** Asks the node as a peer would. Its mirror may be away; if it answers, it must not be with what is wrong. */
async function isNotServed(
  world: World,
  node: number,
  image: PushedImage,
  digest: string,
): Promise<void> {
  const kind = digest === image.digest ? "manifests" : "blobs";
  const url = `${world.node(node).mirror.url}/v2/${image.repository}/${kind}/${digest}` +
    `?ns=${world.cluster.upstream.host}`;
  const body = await Deno.makeTempFile({ prefix: "kagami-body-" });
  try {
    const asPeer = ["-sf", "--max-time", "10", "-H", "X-Spegel-Mirrored: true", "-o", body, url];
    const { code } = await runInside(world.network(node), "curl", ...asPeer);
    if (code !== 0) return;
    const hex = createHash("sha256").update(await Deno.readFile(body)).digest("hex");
    if (`sha256:${hex}` !== digest) {
      world.violations.push(`node ${node} served a wrong ${digest} of ${image.reference}`);
    }
  } finally {
    await Deno.remove(body);
  }
}

/** What an operator does about it, as the log tells: the image goes, and is pulled anew when it is wanted. */
async function removeDamaged(world: World, node: number, image: PushedImage): Promise<void> {
  const { containerd } = world.node(node);
  await eventually(`${image.reference} is gone from node ${node}`, async () => {
    const { repository } = image;
    // By tag, by digest, and by the digest of its config.
    const names = (await containerd.images()).filter((name) =>
      name === image.config || name.includes(`/${repository}:`) ||
      name.includes(`/${repository}@`)
    );
    for (const name of names) await containerd.ctr("image", "rm", "--sync", name);
    return names.length === 0;
  }, REMOVE_TIMEOUT_MS);
}

/**
 * Sets right what containerd has not thrown away with the image: for a day it keeps what pulls got that were broken off,
 * and uses it for the next one.
 */
async function repair(path: string, choice: number): Promise<void> {
  try {
    await flipByte(path, choice, false);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
