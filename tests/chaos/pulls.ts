/**
 * All pulls of a run, and whether each of them was right.
 *
 * @module
 */
import type { Outages } from "./outages.ts";

/** A pull that has ended. */
export interface Pull {
  readonly node: number;
  readonly reference: string;
  /** Times in milliseconds from the start of the run. */
  readonly from: number;
  readonly to: number;
  /** Why it failed; left out if it did not. */
  readonly failure?: string;
}

/**
 * What containerd says when it stumbles over a snapshot that it began before it was killed, or before its disk was full.
 * It does not get that far without all of the content, and the next try succeeds.
 */
const OWN_REMAINS = /failed to prepare extraction snapshot.*\/snapshots\/\d+: file exists/;

/** What became of a pull: `excused` is one that failed and would have without a mirror, too. */
export type Verdict = "succeeded" | "excused" | "violation";

/** Judges pulls and keeps what became of them. */
export class Pulls {
  readonly #outages: Outages;
  readonly #counts: Record<Verdict, number> = { succeeded: 0, excused: 0, violation: 0 };
  readonly #violations: Pull[] = [];
  readonly #milliseconds: number[] = [];

  constructor(outages: Outages) {
    this.#outages = outages;
  }

  /** How many there were of each kind. */
  get counts(): Readonly<Record<Verdict, number>> {
    return this.#counts;
  }

  /** Those that failed and should not have. */
  get violations(): readonly Pull[] {
    return this.#violations;
  }

  /** How long those that succeeded took. */
  get milliseconds(): readonly number[] {
    return this.#milliseconds;
  }

  /**
   * Takes a pull in.
   *
   * @param pull The pull.
   * @returns What became of it.
   */
  add(pull: Pull): Verdict {
    const verdict = this.#judge(pull);
    this.#counts[verdict] += 1;
    if (verdict === "violation") this.#violations.push(pull);
    if (verdict === "succeeded") this.#milliseconds.push(pull.to - pull.from);
    return verdict;
  }

  #judge({ node, from, to, failure }: Pull): Verdict {
    if (failure === undefined) return "succeeded";
    if (OWN_REMAINS.test(failure)) return "excused";
    return this.#outages.overlap(node, from, to) ? "excused" : "violation";
  }
}
