/**
 * Runs of things that are compared, in turns, so that what else the machine does meets all of them alike.
 *
 * @module
 */

/**
 * Runs each candidate once a round. The order turns around from round to round.
 *
 * @param rounds Number of rounds.
 * @param candidates What is compared, by name.
 * @returns The results of each candidate, one a round.
 */
export async function alternate<Name extends string, Result>(
  rounds: number,
  candidates: Readonly<Record<Name, (round: number) => Promise<Result>>>,
): Promise<Record<Name, Result[]>> {
  const names = Object.keys(candidates) as Name[];
  const results = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<
    Name,
    Result[]
  >;
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? names : names.toReversed();
    for (const name of order) results[name].push(await candidates[name](round));
  }
  return results;
}
