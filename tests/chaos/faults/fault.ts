/**
 * What brings a fault about.
 *
 * @module
 */
import type { Fault } from "../schedule.ts";
import type { World } from "../world.ts";

/** Puts everything in order again; called once. */
export type Heal = () => Promise<void>;

/**
 * Brings a fault about.
 *
 * @returns What heals it; undefined if there was nothing that it could happen to.
 */
export type Inject = (world: World, fault: Fault) => Promise<Heal | undefined>;
