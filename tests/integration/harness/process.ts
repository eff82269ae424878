/**
 * Processes of the test bed.
 *
 * @module
 */
import { eventually } from "../../unit/support/eventually.ts";

export { eventually };

/** Longest time for a process to end after SIGTERM, in milliseconds. */
const STOP_TIMEOUT_MS = 30_000;

/** What a command answered. */
export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end, whatever its code. */
export async function runCommand(command: string, args: readonly string[]): Promise<Output> {
  const { code, stdout, stderr } = await new Deno.Command(command, { args: [...args] }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: decode(stdout), stderr: decode(stderr) };
}

/**
 * Runs a command that has to succeed.
 *
 * @returns Its standard output.
 */
export async function run(command: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand(command, args);
  if (code === 0) return stdout;
  throw new Error(`${command} ${args.join(" ")} failed with ${code}: ${stderr || stdout}`);
}

/** A process that runs until it is stopped; its output goes to a file. */
export class ManagedProcess implements AsyncDisposable {
  readonly name: string;
  readonly logPath: string;
  readonly #child: Deno.ChildProcess;
  readonly #ended: Promise<unknown>;
  #isRunning = true;

  private constructor(name: string, logPath: string, child: Deno.ChildProcess, log: Deno.FsFile) {
    this.name = name;
    this.logPath = logPath;
    this.#child = child;
    const copying = [child.stdout, child.stderr].map(async (stream) => {
      for await (const chunk of stream) await log.write(chunk);
    });
    this.#ended = Promise.allSettled([child.status, ...copying]).then(() => {
      this.#isRunning = false;
      log.close();
    });
  }

  /** Starts a process. Its output is appended to the log file. */
  static async start(
    name: string,
    logPath: string,
    command: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<ManagedProcess> {
    const log = await Deno.open(logPath, { append: true, create: true });
    const child = new Deno.Command(command, {
      args: [...args],
      env: { ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    return new ManagedProcess(name, logPath, child, log);
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** ID of the process. What `ip netns exec` starts takes its place, and so its ID. */
  get pid(): number {
    return this.#child.pid;
  }

  /** What it has written so far. */
  output(): Promise<string> {
    return Deno.readTextFile(this.logPath);
  }

  /** Sends a signal. */
  signal(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended by itself.
    }
  }

  /** Kills it, and waits until it is gone. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.#ended;
  }

  /** Asks it to stop, and waits until it is gone. */
  async stop(): Promise<void> {
    this.signal("SIGTERM");
    const timer = setTimeout(() => this.signal("SIGKILL"), STOP_TIMEOUT_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
