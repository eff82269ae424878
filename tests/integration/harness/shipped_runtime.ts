/**
 * The runtime with the settings that the program is shipped with: those of the task that starts it.
 *
 * @module
 */
import config from "../../../deno.json" with { type: "json" };

const WORDS = config.tasks.start.split(" ");

/** Settings of the C library, `<name>=<value>`. */
export const RUNTIME_ENVIRONMENT: readonly string[] = WORDS.slice(0, WORDS.indexOf("deno"));

/** Flags of Deno and V8. */
export const RUNTIME_FLAGS: readonly string[] = WORDS.filter((word) => /^--(v8|no)-/.test(word));

/** Command that runs what follows: further flags, the program and its arguments. */
export const SHIPPED_RUN: readonly string[] = [
  "env",
  ...RUNTIME_ENVIRONMENT,
  Deno.execPath(),
  "run",
  ...RUNTIME_FLAGS,
];
