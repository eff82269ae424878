/**
 * The real Spegel, where the machine has one: `SPEGEL_BIN` names its binary.
 *
 * @module
 */
import { MISSING } from "../../integration/harness/requirements.ts";
import { type Output, runCommand } from "../../integration/harness/process.ts";

const BIN = Deno.env.get("SPEGEL_BIN") ?? "";

async function missing(): Promise<string[]> {
  if (BIN === "") return ["SPEGEL_BIN does not name Spegel's binary"];
  try {
    const { code } = await runCommand(BIN, ["version"]);
    return code === 0 ? [...MISSING] : [`SPEGEL_BIN=${BIN} does not run`];
  } catch {
    return [`SPEGEL_BIN=${BIN} is no program`];
  }
}

const REASONS = await missing();

/** Options for tests that need Spegel. */
export const REQUIRES_SPEGEL = { ignore: REASONS.length > 0 } as const;

/** Command that runs Spegel as the mirror of a node. */
export const SPEGEL_REGISTRY: readonly string[] = [BIN, "registry"];

/** Arguments that run a command of Spegel, for what takes a command line. */
export function spegelCommand(...args: string[]): string[] {
  return [BIN, ...args];
}

/** Runs a command of Spegel to its end. */
export function runSpegel(args: readonly string[]): Promise<Output> {
  return runCommand(BIN, args);
}

if (REASONS.length > 0) {
  const text = `interoperation tests are skipped: ${REASONS.join(", ")}\n`;
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}
