/**
 * Entry of the program: command line to command.
 *
 * @module
 */
import { runProgram } from "./lib/cli/command.ts";
import { writeToStderr } from "./lib/observability/logger.ts";

if (import.meta.main) {
  const abort = new AbortController();
  const stop = () => abort.abort();
  for (const name of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(name, stop);
  const encoder = new TextEncoder();
  const code = await runProgram({
    args: Deno.args,
    env: Deno.env.toObject(),
    signal: abort.signal,
    isTerminal: Deno.stdout.isTerminal(),
    revoke: (permission) => void Deno.permissions.revokeSync(permission),
    stdout: (text) => void Deno.stdout.writeSync(encoder.encode(text)),
    stderr: writeToStderr,
  });
  // Everything is closed by now; time limits of libp2p that have no use any more would hold the process for seconds.
  Deno.exit(code);
}
