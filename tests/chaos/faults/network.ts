/**
 * Faults of the network: cables pulled out, slow links, halves that do not reach each other.
 *
 * @module
 */
import { reachesUpstream } from "./waits.ts";
import type { Fault } from "../schedule.ts";
import type { World } from "../world.ts";
import type { Heal } from "./fault.ts";

/** What slow links carry, in bytes per second. */
const SLOW_RATES = [1_000_000, 2_000_000, 5_000_000];

/** The same for upstream's, which all nodes share. */
const UPSTREAM_RATES = [6_000_000, 12_000_000, 25_000_000];

/** A node reaches nobody. */
export async function cutLink(world: World, { node }: Fault): Promise<Heal> {
  const { network } = world.cluster;
  const own = world.network(node);
  await network.setCable(own, "down");
  return async () => {
    await network.setCable(own, "up");
    await reachesUpstream(world, node);
  };
}

/** What a node sends goes slowly. */
export async function slowLink(world: World, { node, choice }: Fault): Promise<Heal> {
  const { network } = world.cluster;
  const own = world.network(node);
  await network.limitRate(own, SLOW_RATES[choice % SLOW_RATES.length]!);
  return () => network.unlimitRate(own);
}

/** What upstream sends goes slowly. */
export async function slowUpstream(world: World, { choice }: Fault): Promise<Heal> {
  const { network, upstream } = world.cluster;
  await network.limitRate(upstream.node, UPSTREAM_RATES[choice % UPSTREAM_RATES.length]!);
  return () => network.unlimitRate(upstream.node);
}

/** Two halves of the cluster do not reach each other; both reach upstream. */
export async function splitNetwork(world: World, { choice }: Fault): Promise<Heal> {
  const { numbers, cluster } = world;
  // A bit for each node; neither none nor all of them.
  const side = 1 + choice % (2 ** numbers.length - 2);
  const isHere = (number: number) => (side >> (number - 1) & 1) === 1;
  const pairs = numbers.filter(isHere).flatMap((here) =>
    numbers.filter((there) => !isHere(there)).map((there) => [here, there] as const)
  );
  const setAll = async (isSplit: boolean) => {
    for (const [here, there] of pairs) {
      await cluster.network.setSplit(world.network(here), world.network(there), isSplit);
    }
  };
  await setAll(true);
  return () => setAll(false);
}
