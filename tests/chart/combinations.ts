/**
 * Pairwise combinations: every value of every factor together with every value of every other one, in few rows.
 *
 * @module
 */

/** Values by the name of the factor. */
export type Factors = Readonly<Record<string, readonly unknown[]>>;

/**
 * Combines factors.
 *
 * @param factors The values of each.
 * @returns Rows: for each factor the index of its value.
 */
export function pairwise(factors: Factors): Record<string, number>[] {
  const names = Object.keys(factors);
  const open = new Set<string>();
  for (const [at, a] of names.entries()) {
    for (const b of names.slice(at + 1)) {
      for (const i of factors[a]!.keys()) {
        for (const j of factors[b]!.keys()) open.add(pair(a, i, b, j));
      }
    }
  }
  const rows: Record<string, number>[] = [];
  for (let first = open.values().next().value; first !== undefined;) {
    // Begins with a pair that is missing, so that every row makes at least one good.
    const [a = "", i, b = "", j] = first.split("|");
    const row: Record<string, number> = { [a]: Number(i), [b]: Number(j) };
    for (const name of names) row[name] ??= best(name, factors[name]!.length, row, names, open);
    for (const [at, a] of names.entries()) {
      for (const b of names.slice(at + 1)) open.delete(pair(a, row[a]!, b, row[b]!));
    }
    rows.push(row);
    first = open.values().next().value;
  }
  return rows;
}

function pair(a: string, i: number, b: string, j: number): string {
  return `${a}|${i}|${b}|${j}`;
}

/** The value that makes most missing pairs with what the row has. */
function best(
  name: string,
  size: number,
  row: Readonly<Record<string, number>>,
  names: readonly string[],
  open: ReadonlySet<string>,
): number {
  const order = names.indexOf(name);
  const gain = (value: number) =>
    Object.entries(row).filter(([other, chosen]) =>
      open.has(
        names.indexOf(other) < order
          ? pair(other, chosen, name, value)
          : pair(name, value, other, chosen),
      )
    ).length;
  const gains = Array.from({ length: size }, (_, value) => gain(value));
  return gains.indexOf(Math.max(...gains));
}
