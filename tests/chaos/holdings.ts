/**
 * Which node has which image, as far as the run has brought it about.
 *
 * @module
 */
import type { PushedImage } from "../integration/harness/cluster.ts";

/**
 * - `absent`: not on the node, or not all of it.
 * - `held`: pulled.
 * - `busy`: being pulled or removed.
 * - `damaged`: pulled, and one of its blobs was damaged since.
 */
export type HoldingState = "absent" | "held" | "busy" | "damaged";

/** States of images on nodes. */
export class Holdings {
  readonly #states = new Map<string, HoldingState>();

  /** @returns State of an image on a node. */
  get(node: number, image: PushedImage): HoldingState {
    return this.#states.get(keyOf(node, image)) ?? "absent";
  }

  /** Sets the state. */
  set(node: number, image: PushedImage, state: HoldingState): void {
    this.#states.set(keyOf(node, image), state);
  }

  /**
   * Takes an image for oneself; no two meddle with the same one.
   *
   * @returns The state it had; undefined if it is not to be had.
   */
  take(node: number, image: PushedImage): "absent" | "held" | undefined {
    const state = this.get(node, image);
    if (state === "busy" || state === "damaged") return undefined;
    this.set(node, image, "busy");
    return state;
  }
}

function keyOf(node: number, image: PushedImage): string {
  return `${node} ${image.reference}`;
}
