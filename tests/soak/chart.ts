/**
 * Small charts of text.
 *
 * @module
 */
import { quantile } from "../../bench/support/statistics.ts";

const BARS = "▁▂▃▄▅▆▇█";

/**
 * Draws a series as one line of bars, from nothing to the greatest value.
 *
 * @param values The series, none below 0; more of them than fit are put together by their median.
 * @param width Most characters.
 * @returns The line.
 */
export function sparkline(values: readonly number[], width: number): string {
  const columns = Math.min(width, values.length);
  const shown = Array.from({ length: columns }, (_, column) => {
    const from = Math.floor(column * values.length / columns);
    const to = Math.floor((column + 1) * values.length / columns);
    return quantile(values.slice(from, to), 0.5);
  });
  const most = Math.max(...shown, 0);
  return shown.map((value) => BARS[most === 0 ? 0 : Math.round(value / most * (BARS.length - 1))])
    .join("");
}
