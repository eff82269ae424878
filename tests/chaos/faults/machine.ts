/**
 * Faults of a machine: no room on the disk, and a clock that is stepped.
 *
 * @module
 */
import type { Fault } from "../schedule.ts";
import type { World } from "../world.ts";
import type { Heal } from "./fault.ts";

const HOUR = 3600;
const DAY = 24 * HOUR;

/** How far clocks are stepped, in seconds. */
const STEPS = [-400 * DAY, -DAY, -HOUR, -90, 90, HOUR, 30 * DAY, 400 * DAY];

/** containerd has no room for anything. */
export async function fillDisk(world: World, { node }: Fault): Promise<Heal> {
  const disk = world.disk(node);
  await disk.fill();
  return () => disk.clear();
}

/** The mirror's clock is stepped, and later back. */
export async function stepClock(world: World, { node, choice }: Fault): Promise<Heal> {
  const clock = world.clock(node);
  await clock.set(STEPS[choice % STEPS.length]!);
  return () => clock.set(0);
}
