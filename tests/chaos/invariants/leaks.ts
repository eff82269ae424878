/**
 * After everything, mirrors hold no more than before.
 *
 * @module
 */
import { sleep } from "../../../lib/sleep.ts";
import { type ProcessSample, sampleMirror } from "../process_sample.ts";
import type { World } from "../world.ts";

/** What a mirror may hold more than the largest one before, in the same units as the sample. */
export const ALLOWED = { rssMib: 96, descriptors: 8, threads: 4 } as const;

/** Connections to a peer: both sides may have dialled at once, each by both families. */
const CONNECTIONS_PER_PEER = 4;

/** Longest time for connections to be given up, in milliseconds: idle ones are kept for 75 seconds. */
export const SETTLE_MS = 90_000;

/** Pause between two looks, in milliseconds. */
const LOOK_MS = 1000;

/**
 * Compares mirrors with what they were.
 *
 * @param before Samples of all mirrors, taken when they had worked a little.
 * @param after Samples of all mirrors at rest, in the same order.
 * @returns What is wrong, in words.
 */
export function judgeLeaks(
  before: readonly ProcessSample[],
  after: readonly ProcessSample[],
): string[] {
  const peers = after.length - 1;
  return after.flatMap((sample, index) => {
    const wrong: string[] = [];
    for (const [name, allowed] of Object.entries(ALLOWED)) {
      const key = name as keyof typeof ALLOWED;
      const most = Math.max(...before.map((one) => one[key])) + allowed;
      if (sample[key] > most) {
        wrong.push(`${key} is ${Math.round(sample[key])}, above ${Math.round(most)}`);
      }
    }
    if (sample.routerConnections > peers * CONNECTIONS_PER_PEER) {
      wrong.push(`${sample.routerConnections} connections to routers of ${peers} peers`);
    }
    if (sample.streams > 0) wrong.push(`${sample.streams} streams are open`);
    if (sample.halfClosed > 0) wrong.push(`${sample.halfClosed} connections are half closed`);
    for (const path of sample.openContents) wrong.push(`${path} is open`);
    return wrong.map((text) => `mirror of node ${index + 1}: ${text}`);
  });
}

/**
 * Waits until mirrors have let go of everything.
 *
 * @param world The cluster, in which nothing is going on.
 * @param before Samples of all mirrors.
 * @param timeoutMs Longest wait, in milliseconds.
 * @returns Their samples in the end, and what is still wrong, in words.
 */
export async function checkLeaks(
  world: World,
  before: readonly ProcessSample[],
  timeoutMs = SETTLE_MS,
): Promise<{ readonly after: ProcessSample[]; readonly violations: string[] }> {
  const deadline = world.now() + timeoutMs;
  while (true) {
    const after = await Promise.all(world.numbers.map((node) => sampleMirror(world, node)));
    const violations = judgeLeaks(before, after);
    if (violations.length === 0 || world.now() > deadline) return { after, violations };
    await sleep(LOOK_MS);
  }
}

/**
 * Looks for downloads that containerd has neither ended nor given up.
 *
 * @param world The cluster, in which nothing is going on.
 * @returns What is left, in words.
 */
export async function checkIngests(world: World): Promise<string[]> {
  const wrong: string[] = [];
  for (const node of world.numbers) {
    const text = await world.node(node).containerd.ctr("content", "active");
    // The first line names the columns.
    const left = text.trim().split("\n").slice(1);
    for (const line of left) wrong.push(`node ${node} has a download left over: ${line}`);
  }
  return wrong;
}
