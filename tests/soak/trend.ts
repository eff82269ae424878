/**
 * Whether a series of measurements rises, told by statistics that a few outliers do not sway.
 *
 * @module
 */
import { median } from "../../bench/support/statistics.ts";

/** What a series does. */
export interface Trend {
  /** Rise from the first to the last value, by the median of the slopes between all pairs (Theil and Sen). */
  readonly rise: number;
  /**
   * How sure it is that the series rises or falls at all, in standard deviations (Mann and Kendall): what is left to
   * chance stays between -2 and 2.
   */
  readonly certainty: number;
}

/** Certainty above which a rise is none of chance: one series in 200 gets there by itself. */
const CERTAIN = 2.58;

/**
 * Looks at a series of values at equal distances.
 *
 * @param values The series.
 * @returns What it does; nothing at all if there are fewer than two values.
 */
export function trendOf(values: readonly number[]): Trend {
  const slopes: number[] = [];
  let ups = 0;
  for (const [from, first] of values.entries()) {
    for (let to = from + 1; to < values.length; to++) {
      const difference = values[to]! - first;
      slopes.push(difference / (to - from));
      ups += Math.sign(difference);
    }
  }
  if (slopes.length === 0) return { rise: 0, certainty: 0 };
  return { rise: median(slopes) * (values.length - 1), certainty: certaintyOf(ups, values) };
}

/** The sum of signs by its standard deviation in a series without a trend; values that are the same make it smaller. */
function certaintyOf(ups: number, values: readonly number[]): number {
  const pairs = (count: number) => count * (count - 1) * (2 * count + 5);
  const ties = Map.groupBy(values, (value) => value).values()
    .reduce((sum, same) => sum + pairs(same.length), 0);
  const variance = (pairs(values.length) - ties) / 18;
  return variance <= 0 ? 0 : (ups - Math.sign(ups)) / Math.sqrt(variance);
}

/**
 * Says whether a series rises more than it may.
 *
 * @param trend What it does.
 * @param allowed Rise that is of no matter.
 * @returns True only if it is more than that, and none of chance.
 */
export function risesTooMuch({ rise, certainty }: Trend, allowed: number): boolean {
  return rise > allowed && certainty > CERTAIN;
}
