/**
 * The little statistics that benchmarks need.
 *
 * @module
 */

/**
 * The value below which a share of the samples lies.
 *
 * @param samples At least one number, in any order.
 * @param share 0 for the least, 1 for the greatest.
 * @returns One of the samples, the nearest rank.
 * @throws {Error} If there are no samples.
 */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (value === undefined) throw new Error("no samples");
  return value;
}

/**
 * The median.
 *
 * @param samples At least one number, in any order.
 * @returns The middle sample, or the mean of the two in the middle.
 * @throws {Error} If there are no samples.
 */
export function median(samples: readonly number[]): number {
  return (quantile(samples, 0.5) + -quantile(samples.map((value) => -value), 0.5)) / 2;
}

/**
 * Rounds for people and JSON.
 *
 * @param value The number.
 * @param digits Significant digits that are kept at least.
 * @returns The number, rounded; digits before the point are never lost.
 */
export function rounded(value: number, digits = 3): number {
  return Math.abs(value) >= 10 ** digits ? Math.round(value) : Number(value.toPrecision(digits));
}
