/**
 * What a benchmark prints: progress and tables for people, and one JSON object as its last line.
 *
 * @module
 */
import { rounded } from "./statistics.ts";

/** Figures by name. Those that could not be measured are left out. */
export type Figures = Readonly<Record<string, number>>;

/**
 * Prints a line.
 *
 * @param text The line.
 */
export function say(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

/**
 * Prints a table.
 *
 * @param head Titles of the columns.
 * @param rows Cells; numbers are rounded.
 */
export function sayTable(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): void {
  const texts = [head, ...rows].map((row) =>
    row.map((cell) => typeof cell === "number" ? String(rounded(cell)) : cell)
  );
  const widths = head.map((_, column) => Math.max(...texts.map((row) => row[column]?.length ?? 0)));
  say("");
  for (const row of texts) {
    say(
      row.map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
      ).join("  "),
    );
  }
  say("");
}

/**
 * Prints the last line.
 *
 * @param bench Name of the benchmark.
 * @param figures What was measured.
 */
export function sayFigures(bench: string, figures: Figures): void {
  const shown = Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [name, rounded(value)]),
  );
  say(JSON.stringify({ bench, figures: shown }));
}
