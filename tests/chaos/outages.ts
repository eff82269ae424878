/**
 * When which node could not pull, with or without a mirror: what a failed pull is judged by.
 *
 * @module
 */

interface Outage {
  readonly node: number;
  readonly from: number;
  /** Infinity while it lasts. */
  to: number;
}

/** Times at which nodes were not able to pull. */
export class Outages {
  readonly #outages: Outage[] = [];

  /**
   * A node is about to lose its ability to pull.
   *
   * @param node Its number.
   * @param now Time in milliseconds.
   * @returns Tells that it can pull again, and when.
   */
  begin(node: number, now: number): (now: number) => void {
    const outage = { node, from: now, to: Infinity };
    this.#outages.push(outage);
    return (end) => {
      outage.to = end;
    };
  }

  /**
   * @param node Number of a node.
   * @param from Beginning of a time.
   * @param to End of it.
   * @returns Whether the node was not able to pull at some moment of it.
   */
  overlap(node: number, from: number, to: number): boolean {
    return this.#outages.some((outage) =>
      outage.node === node && outage.from <= to && outage.to >= from
    );
  }
}
