/**
 * Command lines of benchmarks.
 *
 * @module
 */

/**
 * Reads a number such as `--rounds=5`.
 *
 * @param name Name of the argument, without the dashes.
 * @param fallback What it is where it is not given.
 * @returns The number.
 * @throws {Error} If something else than a number is given.
 */
export function numberArgument(name: string, fallback: number): number {
  const prefix = `--${name}=`;
  const given = Deno.args.find((arg) => arg.startsWith(prefix));
  if (given === undefined) return fallback;
  const value = Number(given.slice(prefix.length));
  if (!Number.isFinite(value) || value <= 0) throw new Error(`${given} is not a number above 0`);
  return value;
}

/**
 * Reads which parts of a benchmark are wanted, such as `--parts=memory,scale`.
 *
 * @param known All that there are.
 * @returns Those that are wanted, in the order in which they are known. All without the argument.
 * @throws {Error} If an unknown one is named.
 */
export function partsArgument(known: readonly string[]): string[] {
  const prefix = "--parts=";
  const given = Deno.args.find((arg) => arg.startsWith(prefix));
  if (given === undefined) return [...known];
  const wanted = given.slice(prefix.length).split(",");
  const unknown = wanted.find((part) => !known.includes(part));
  if (unknown !== undefined) throw new Error(`no part ${unknown}, only ${known.join(", ")}`);
  return known.filter((part) => wanted.includes(part));
}
