/**
 * What nodes find through the router is where content really is: no provider is missing, and none too many.
 *
 * @module
 */
import type { Location } from "../../../lib/debug/node_status.ts";
import { LOCATE_PATH } from "../../../lib/debug/node_status.ts";
import { eventually } from "../../integration/harness/process.ts";
import { PORTS } from "../../integration/harness/mirror_process.ts";
import { blobsOf, type World } from "../world.ts";

/** A digest that nobody has. */
const NOTHING = `sha256:${"0".repeat(64)}`;

/** Questions that a node is asked at the same time. */
const AT_ONCE = "6";

/** Who is to be found by each key, as numbers of nodes. */
export type Truth = ReadonlyMap<string, ReadonlySet<number>>;

/**
 * Looks what is in the stores, by the containerds themselves.
 *
 * @param world The cluster, in which nothing is going on.
 * @returns All keys of its images, those that nobody has included.
 */
export async function truthOf(world: World): Promise<Truth> {
  const truth = new Map<string, Set<number>>([[NOTHING, new Set()]]);
  for (const image of world.allImages) {
    for (const key of [image.reference, ...blobsOf(image)]) truth.set(key, new Set());
  }
  for (const node of world.numbers) {
    const { containerd } = world.node(node);
    const contents = await containerd.contents();
    const images = new Set(await containerd.images());
    // A tag whose target is gone is no use to anybody.
    const tags = world.allImages.filter(({ reference, digest }) =>
      images.has(reference) && contents.includes(digest)
    ).map(({ reference }) => reference);
    for (const key of [...contents, ...tags]) {
      truth.set(key, (truth.get(key) ?? new Set()).add(node));
    }
  }
  return truth;
}

/**
 * Compares what nodes find with the truth.
 *
 * @param world The cluster.
 * @param truth What is true.
 * @returns What is wrong, in words.
 */
export async function checkAdvertised(world: World, truth: Truth): Promise<string[]> {
  const found = await Promise.all(world.numbers.map((node) => checkFrom(world, node, truth)));
  return found.flat();
}

/**
 * Waits until what nodes find is true.
 *
 * @param world The cluster, in which nothing is going on.
 * @param deadline Time of the world, in milliseconds.
 * @param say Told what is still wrong.
 * @returns When it was true; what was still wrong at the deadline.
 */
export async function waitForTruth(
  world: World,
  deadline: number,
  say: (line: string) => void,
): Promise<{ readonly at: number; readonly keys: number; readonly violations: string[] }> {
  while (true) {
    const askedAt = world.now();
    const truth = await truthOf(world);
    const violations = await checkAdvertised(world, truth);
    if (violations.length === 0 || askedAt > deadline) {
      return { at: askedAt, keys: truth.size, violations };
    }
    say(`${violations.length} answers are not true yet, such as: ${violations[0]}`);
  }
}

async function checkFrom(world: World, node: number, truth: Truth): Promise<string[]> {
  const wrong: string[] = [];
  const locations = await locateAll(world, node, [...truth.keys()]);
  for (const [key, holders] of truth) {
    const location = locations.get(key);
    if (location === undefined) {
      wrong.push(`node ${node} does not answer where ${key} is`);
      continue;
    }
    const expected = [...holders].filter((holder) => holder !== node).sort();
    const actual = location.peers.map(({ addresses }) => numberAt(world, addresses)).sort();
    if (actual.join() !== expected.join()) {
      wrong.push(`node ${node} finds ${key} at [${actual}] instead of [${expected}]`);
    }
    if (location.local.present !== holders.has(node)) {
      wrong.push(`node ${node} says of itself that ${key} is present: ${location.local.present}`);
    }
  }
  return wrong;
}

/** Number of the node with one of the addresses; 0 for a stranger. */
function numberAt(world: World, addresses: readonly string[]): number {
  return world.numbers.find((number) => {
    const { ip, ipv6 } = world.network(number);
    return addresses.some((address) => address === ip || address === ipv6);
  }) ?? 0;
}

async function locateAll(
  world: World,
  node: number,
  keys: readonly string[],
): Promise<Map<string, Location>> {
  const { mirror } = world.node(node);
  const base = `http://${mirror.node.ip}:${PORTS.metrics}${LOCATE_PATH}`;
  const urls = keys.map((key) => `${base}?key=${encodeURIComponent(key)}`);
  // Each answer is a line.
  const text = await mirror.curl("--parallel", "--parallel-max", AT_ONCE, ...urls);
  const locations = text.split("\n").filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Location);
  return new Map(locations.map((location) => [location.key, location]));
}

/**
 * Waits until nobody finds a content at a node any more.
 *
 * @param world The cluster.
 * @param key The content.
 * @param node Number of the node that is not to be found.
 * @param timeoutMs Longest wait, in milliseconds.
 */
export async function waitUntilWithdrawn(
  world: World,
  key: string,
  node: number,
  timeoutMs: number,
): Promise<void> {
  await eventually(`${key} is not found at node ${node}`, async () => {
    for (const asking of world.numbers.filter((number) => number !== node)) {
      const location = (await locateAll(world, asking, [key])).get(key);
      if (location === undefined) return false;
      if (location.peers.some(({ addresses }) => numberAt(world, addresses) === node)) return false;
    }
    return true;
  }, timeoutMs);
}
