/**
 * Runs a command to its end.
 *
 * @module
 */

/** Longest run of a command, in milliseconds. */
export const COMMAND_TIMEOUT_MS = 60_000;

/** Options of {@linkcode runCommand}. */
export interface CommandOptions {
  /** Environment variables in addition to the test's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** Working directory. */
  readonly cwd?: string;
  /** Text for standard input. */
  readonly stdin?: string;
  /** Time limit; then the command is killed. Default {@linkcode COMMAND_TIMEOUT_MS}. */
  readonly timeoutMs?: number;
  /** Whether an exit code other than 0 is an answer and not an error. */
  readonly allowFailure?: boolean;
}

/** What a command left. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command ended with another code than 0. */
export class CommandError extends Error {
  readonly result: CommandResult;

  /**
   * @param command Command line.
   * @param result What it left.
   */
  constructor(command: string, result: CommandResult) {
    super(`${command}: exit code ${result.code}\n${result.stderr}${result.stdout}`.trimEnd());
    this.name = "CommandError";
    this.result = result;
  }
}

/**
 * Runs a command and collects its output.
 *
 * @param command Name or path.
 * @param args Arguments.
 * @param options Environment, input and time limit.
 * @returns Exit code and output.
 * @throws {CommandError} If it fails, unless `allowFailure` is set.
 * @throws {Deno.errors.NotFound} If there is no such command.
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const child = new Deno.Command(command, {
    args: [...args],
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(options.timeoutMs ?? COMMAND_TIMEOUT_MS),
    ...(options.env === undefined ? {} : { env: { ...options.env } }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  }).spawn();
  const [output] = await Promise.all([child.output(), feed(child, options.stdin)]);
  const decoder = new TextDecoder();
  const result = {
    code: output.code,
    stdout: decoder.decode(output.stdout),
    stderr: decoder.decode(output.stderr),
  };
  if (result.code !== 0 && options.allowFailure !== true) {
    throw new CommandError([command, ...args].join(" "), result);
  }
  return result;
}

async function feed(child: Deno.ChildProcess, text: string | undefined): Promise<void> {
  if (text === undefined) return;
  const writer = child.stdin.getWriter();
  try {
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  } catch (error) {
    // A command that fails early does not read its input; its exit code tells more than this error.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
