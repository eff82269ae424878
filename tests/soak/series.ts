/**
 * What is measured over the time of a soak, and how it is judged.
 *
 * @module
 */
import { median, rounded } from "../../bench/support/statistics.ts";
import { sparkline } from "./chart.ts";
import { risesTooMuch, trendOf } from "./trend.ts";

/** Characters of a chart. */
const WIDTH = 60;

/** How much a series may rise: the larger of the two. */
export interface Allowance {
  /** Share of its median. */
  readonly share: number;
  /** In its unit. */
  readonly least: number;
}

/** A series of measurements. */
export class Series {
  readonly values: number[] = [];

  /**
   * @param name What is measured.
   * @param unit Its unit.
   * @param allowance How much it may rise.
   */
  constructor(readonly name: string, readonly unit: string, readonly allowance: Allowance) {}

  /**
   * Judges it.
   *
   * @param warmUp Values at the beginning that do not count.
   * @returns A line with its chart, and whether it rises too much.
   */
  judge(warmUp: number): { readonly line: string; readonly rises: boolean } {
    const counted = this.values.slice(warmUp);
    const trend = trendOf(counted);
    const middle = counted.length === 0 ? 0 : median(counted);
    const allowed = Math.max(middle * this.allowance.share, this.allowance.least);
    const rises = risesTooMuch(trend, allowed);
    const chart = sparkline(this.values, WIDTH);
    const sign = trend.rise < 0 ? "" : "+";
    const line = `${this.name.padEnd(22)} ${chart}  ${rounded(middle)} ${this.unit}, ` +
      `${sign}${rounded(trend.rise)} (allowed ${rounded(allowed)}): ${rises ? "RISES" : "flat"}`;
    return { line, rises };
  }
}
