/**
 * Runs a check on many inputs. `FUZZ_SEED` and `FUZZ_CASES` (of all checks together) change which and how many.
 *
 * @module
 */
import { mutate } from "./mutate.ts";
import { Random } from "./random.ts";
import { ALL_SHARES, SHARES } from "./shares.ts";
import CORPUS from "../corpus.json" with { type: "json" };

/** Inputs of all checks together, unless `FUZZ_CASES` says otherwise. */
const DEFAULT_CASES = 100_000;

/**
 * The same in every run, so that a run that fails has found something that was changed, unless `FUZZ_SEED` says otherwise.
 */
const DEFAULT_SEED = 1;

const SEED = numberFrom("FUZZ_SEED") ?? DEFAULT_SEED;
const CASES = numberFrom("FUZZ_CASES") ?? DEFAULT_CASES;

/** Shown of an input in messages. */
const SHOWN_LENGTH = 2000;

function numberFrom(name: string): number | undefined {
  const text = Deno.env.get(name) ?? "";
  if (text === "") return undefined;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(`${name}=${text} is not a number`);
}

/** What is checked. */
export interface FuzzTarget {
  /** What holds for every input; the name of its failures in `corpus.json`. */
  readonly name: keyof typeof SHARES;
  /** Good inputs, from which the others are made. */
  readonly seeds: readonly string[];
  /** Throws if something does not hold. */
  readonly check: (input: string, random: Random) => void | Promise<void>;
}

/**
 * Registers a check: on inputs that have failed before, on the good inputs, and on changed ones.
 *
 * @param target What is checked.
 */
export function fuzz(target: FuzzTarget): void {
  Deno.test(`fuzz: ${target.name}`, () => runFuzz(target));
}

/**
 * Runs a check, for those that need something to be set up.
 *
 * @param target What is checked.
 */
export async function runFuzz(target: FuzzTarget): Promise<void> {
  const { name, seeds, check } = target;
  const past = (CORPUS as Record<string, string[]>)[name] ?? [];
  for (const input of [...past, ...seeds]) await runCase(target, input, new Random(name, input));
  const count = Math.ceil(CASES * SHARES[name] / ALL_SHARES);
  for (let number = 0; number < count; number++) {
    const random = new Random(SEED, name, number);
    await runCase(target, mutate(random, seeds), random);
  }

  async function runCase({ name }: FuzzTarget, input: string, random: Random): Promise<void> {
    try {
      const result = check(input, random);
      // Awaiting what is no promise would cost more than most checks do.
      if (result !== undefined) await result;
    } catch (cause) {
      const shown = JSON.stringify(input.slice(0, SHOWN_LENGTH));
      const more = input.length > SHOWN_LENGTH ? ` and ${input.length - SHOWN_LENGTH} more` : "";
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(
        `FUZZ_SEED=${SEED}: ${name}: ${shown}${more}: ${reason}; when it is mended, add it to corpus.json`,
        { cause },
      );
    }
  }
}
