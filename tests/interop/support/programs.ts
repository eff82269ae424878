/**
 * The two programs that are tested with each other. `SPEGEL_BIN` names Spegel's binary, where the machine has one.
 *
 * @module
 */
import { KAGAMI } from "../../integration/harness/mirror_process.ts";
import { runCommand } from "../../integration/harness/process.ts";
import { MISSING } from "../../integration/harness/requirements.ts";

/** Which of the two. */
export type Kind = "kagami" | "spegel";

const SPEGEL_BIN = Deno.env.get("SPEGEL_BIN") ?? "";

/** Command line of each. */
export const PROGRAMS: Readonly<Record<Kind, readonly string[]>> = {
  kagami: KAGAMI,
  spegel: [SPEGEL_BIN],
};

/** Command line of each that runs the mirror of a node. */
export const REGISTRIES: Readonly<Record<Kind, readonly string[]>> = {
  kagami: [...PROGRAMS.kagami, "registry"],
  spegel: [...PROGRAMS.spegel, "registry"],
};

/** The other one. */
export function otherThan(kind: Kind): Kind {
  return kind === "kagami" ? "spegel" : "kagami";
}

async function missing(): Promise<string[]> {
  if (SPEGEL_BIN === "") return ["SPEGEL_BIN does not name Spegel's binary"];
  try {
    const { code } = await runCommand(SPEGEL_BIN, ["version"]);
    return code === 0 ? [...MISSING] : [`SPEGEL_BIN=${SPEGEL_BIN} does not run`];
  } catch {
    return [`SPEGEL_BIN=${SPEGEL_BIN} is no program`];
  }
}

const REASONS = await missing();

/** Options for tests that need Spegel. */
export const REQUIRES_SPEGEL = { ignore: REASONS.length > 0 } as const;

if (REASONS.length > 0) {
  const text = `interoperation tests are skipped: ${REASONS.join(", ")}\n`;
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}
