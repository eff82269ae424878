/**
 * Telling refusals from faults.
 *
 * @module
 */

/** A class of errors. */
type ErrorClass = abstract new (...args: never[]) => Error;

/**
 * Calls a parser.
 *
 * @param parse The parser.
 * @param refusals Errors by which it may refuse.
 * @returns What it read; undefined if it refused.
 * @throws Any other error.
 */
export function accepted<T>(parse: () => T, ...refusals: ErrorClass[]): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (refusals.some((refusal) => error instanceof refusal)) return undefined;
    throw error;
  }
}
