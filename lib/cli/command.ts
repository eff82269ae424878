/**
 * From the command line to the command, and from its end to an exit code.
 *
 * @module
 */
import { type Command, parseCommand } from "../config/config.ts";
import { ConfigError } from "../errors.ts";
import { createLogger, type Logger } from "../observability/logger.ts";
import { keepOnly, type Revoke } from "./permissions.ts";

/** Exit codes of the program. */
export const EXIT = { ok: 0, failure: 1, usage: 2 } as const;

/** What a command needs of the process. */
export interface ProcessContext {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted when the process is asked to stop. */
  readonly signal: AbortSignal;
  /** Whether standard output is read by a person, who may see colours. */
  readonly isTerminal?: boolean;
  /** Takes permissions back that the command does not need; left out, all are kept. */
  readonly revoke?: Revoke;
  /** Writes to standard output. */
  stdout(text: string): void;
  /** Writes to standard error. */
  stderr(text: string): void;
}

/**
 * Runs the program.
 *
 * @param context The process.
 * @returns The exit code.
 */
export async function runProgram(context: ProcessContext): Promise<number> {
  let command: Command;
  try {
    command = parseCommand(context.args, context.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    context.stderr(`kagami: ${error.message}\n`);
    return EXIT.usage;
  }
  const level = "config" in command && "logLevel" in command.config
    ? command.config.logLevel
    : "INFO";
  const log = createLogger({ level, write: context.stderr });
  if (context.revoke !== undefined && command.name !== "help") {
    keepOnly(command.name, context.revoke);
  }
  try {
    return await runCommand(command, log, context);
  } catch (error) {
    log.error("exit with error", { error });
    return EXIT.failure;
  }
}

// Each command's modules are loaded only when it runs: `version` needs no DHT.
async function runCommand(
  command: Command,
  log: Logger,
  context: ProcessContext,
): Promise<number> {
  const { signal } = context;
  switch (command.name) {
    case "help":
      context.stdout(command.text);
      return EXIT.ok;
    case "version": {
      const { versionText } = await import("./version.ts");
      context.stdout(versionText(command.config.format));
      return EXIT.ok;
    }
    case "registry": {
      const { runRegistry } = await import("./registry.ts");
      const { createTracing } = await import("../observability/tracing.ts");
      const tracing = await createTracing(context.env);
      await runRegistry(command.config, log, signal, {
        ...(tracing === undefined ? {} : { tracing }),
        ...(context.revoke === undefined ? {} : { revoke: context.revoke }),
      });
      break;
    }
    case "configuration": {
      const { runConfiguration } = await import("./configuration.ts");
      await runConfiguration(command.config, log);
      break;
    }
    case "prepare": {
      const { runPrepare } = await import("./prepare.ts");
      await runPrepare(command.config, log);
      break;
    }
    case "cleanup": {
      const { runCleanup } = await import("./cleanup.ts");
      await runCleanup(command.config, log, signal);
      break;
    }
    case "cleanup-wait": {
      const { runCleanupWait } = await import("./cleanup_wait.ts");
      await runCleanupWait(command.config, log, signal);
      break;
    }
    case "doctor": {
      const { runDoctor } = await import("./doctor.ts");
      return await runDoctor(command.config, log, context) ? EXIT.ok : EXIT.failure;
    }
    case "status": {
      const { runStatus } = await import("./status.ts");
      await runStatus(command.config, context.stdout);
      return EXIT.ok;
    }
    case "demo": {
      const { runDemo } = await import("./demo.ts");
      return await runDemo(command.config, context.stdout, signal) ? EXIT.ok : EXIT.failure;
    }
  }
  log.info("exit gracefully");
  return EXIT.ok;
}
