/**
 * Runs of chunks that wait for a peer to fetch them, in order.
 *
 * @module
 */

/** Most chunks that a peer is asked for at once when several deliver. */
export const RUN_LENGTH = 4;

/**
 * How long a peer may take for a run, in milliseconds, if that is not a single chunk. What a slow one has taken on, all
 * others wait for once they are as far ahead as they may be.
 */
export const RUN_MS = 100;

/**
 * How many chunks a peer is asked for next when several deliver.
 *
 * @param left Chunks that nobody has taken on yet. Of the last ones each peer gets few, so that all end at the same time.
 * @param lanes Peers that deliver.
 * @param chunkMs How long its last chunk took, in milliseconds; undefined before the first one.
 * @returns Their number, at least 1.
 */
export function runLength(left: number, lanes: number, chunkMs = 0): number {
  const inTime = chunkMs * RUN_LENGTH <= RUN_MS ? RUN_LENGTH : Math.floor(RUN_MS / chunkMs);
  return Math.max(1, Math.min(RUN_LENGTH, inTime, Math.ceil(left / (2 * lanes))));
}

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

  /** Number of chunks in all of them. */
  get length(): number {
    return this.#runs.reduce((sum, { from, to }) => sum + to - from, 0);
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
