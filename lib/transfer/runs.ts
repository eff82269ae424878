/**
 * Runs of chunks that wait for a peer to fetch them, in order.
 *
 * @module
 */

/** Chunks from one index up to, but not including, another. */
export interface Run {
  from: number;
  to: number;
}

/** What nobody is to fill at the moment. */
export class Runs {
  readonly #runs: Run[] = [];

  /** The run that comes first in the content; undefined if there is none. */
  get first(): Run | undefined {
    return this.#runs[0];
  }

  /**
   * Adds a run, unless it is empty.
   *
   * @param run The run; it is copied.
   */
  give(run: Run): void {
    if (run.from >= run.to) return;
    this.#runs.push({ from: run.from, to: run.to });
    this.#runs.sort((a, b) => a.from - b.from);
  }

  /**
   * Takes the beginning of the first run.
   *
   * @param limit Where it ends at the latest, given the run.
   * @returns What was taken; undefined if that would be nothing.
   */
  take(limit: (first: Run) => number): Run | undefined {
    const first = this.first;
    if (first === undefined) return undefined;
    const to = Math.min(first.to, limit(first));
    if (first.from >= to) return undefined;
    const run = { from: first.from, to };
    first.from = to;
    if (first.from >= first.to) this.#runs.shift();
    return run;
  }
}
