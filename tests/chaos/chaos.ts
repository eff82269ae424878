/**
 * The full run: `deno task chaos [--seed=1] [--minutes=10] [--nodes=5]`. Needs what the integration tests need.
 *
 * @module
 */
import { numberArgument } from "../../bench/support/arguments.ts";
import { say } from "../../bench/support/report.ts";
import { MISSING } from "../integration/harness/requirements.ts";
import { formatReport } from "./report.ts";
import { runChaos } from "./runner.ts";

const seed = numberArgument("seed", Math.floor(Math.random() * 1_000_000) + 1);
const minutes = numberArgument("minutes", 10);
const nodes = numberArgument("nodes", 5);

if (MISSING.length > 0) Deno.exit(1);
say(`seed ${seed}, ${minutes} minutes, ${nodes} nodes`);
const report = await runChaos({ seed, nodes, durationMs: minutes * 60_000, say });
say(formatReport(report));
Deno.exit(report.violations.length > 0 ? 1 : 0);
