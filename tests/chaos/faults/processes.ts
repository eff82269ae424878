/**
 * Faults of processes: they are killed, stopped in order, or stand still.
 *
 * @module
 */
import type { World } from "../world.ts";
import type { Fault } from "../schedule.ts";
import type { Heal } from "./fault.ts";
import { answersCri, reachesUpstream } from "./waits.ts";

/** The mirror is gone from one moment to the next. */
export async function killMirror(world: World, { node }: Fault): Promise<Heal> {
  const { mirror } = world.node(node);
  await mirror.kill();
  return () => mirror.startAgain();
}

/** The mirror is stopped as by an upgrade. */
export async function stopMirror(world: World, { node }: Fault): Promise<Heal> {
  const { mirror } = world.node(node);
  await mirror.stop();
  return () => mirror.startAgain();
}

/** The mirror stands still, with all its connections open. */
export function pauseMirror(world: World, { node }: Fault): Promise<Heal> {
  const { mirror } = world.node(node);
  mirror.signal("SIGSTOP");
  return Promise.resolve(() => Promise.resolve(mirror.signal("SIGCONT")));
}

/** containerd is gone from one moment to the next. */
export async function killContainerd(world: World, { node }: Fault): Promise<Heal> {
  const { containerd } = world.node(node);
  await containerd.kill();
  return async () => {
    await containerd.startAgain();
    await answersCri(world, node);
  };
}

/** containerd stands still. */
export function pauseContainerd(world: World, { node }: Fault): Promise<Heal> {
  const { containerd } = world.node(node);
  containerd.signal("SIGSTOP");
  return Promise.resolve(() => Promise.resolve(containerd.signal("SIGCONT")));
}

/** The machine loses its power. Nobody is told: its connections stay open at the others. */
export async function loseNode(world: World, { node }: Fault): Promise<Heal> {
  const { containerd, mirror } = world.node(node);
  const network = world.network(node);
  await world.cluster.network.setCable(network, "down");
  await Promise.all([containerd.kill(), mirror.kill()]);
  return async () => {
    await world.cluster.network.setCable(network, "up");
    await containerd.startAgain();
    await mirror.startAgain();
    await reachesUpstream(world, node);
    await answersCri(world, node);
  };
}
