/**
 * A program of the benchmarks as a process of its own: one JSON line for each line that it is told.
 *
 * @module
 */
import { TextLineStream } from "./lines.ts";

/** A running program. It ends with its input. */
export class WorkerProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #answers: ReadableStreamDefaultReader<string>;
  readonly #commands: WritableStreamDefaultWriter<Uint8Array>;

  /**
   * Starts a program, with the options as its only argument.
   *
   * @param program Path of its module.
   * @param options What it is started with.
   */
  constructor(program: string, options: object) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", program, JSON.stringify(options)],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#commands = this.#child.stdin.getWriter();
    this.#answers = this.#child.stdout
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream())
      .getReader();
  }

  /** ID of the process. */
  get pid(): number {
    return this.#child.pid;
  }

  /**
   * Tells the program something.
   *
   * @param command What.
   * @returns Its answer.
   */
  async ask(command: object): Promise<unknown> {
    await this.#commands.write(new TextEncoder().encode(JSON.stringify(command) + "\n"));
    return await this.answer();
  }

  /**
   * Waits for what the program says.
   *
   * @returns The next line.
   * @throws {Error} If it has ended.
   */
  async answer(): Promise<unknown> {
    const { value, done } = await this.#answers.read();
    if (done) throw new Error(`process ${this.pid} has ended`);
    return JSON.parse(value);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#commands.close().catch(() => {}); // It has ended by itself.
    await this.#answers.cancel();
    await this.#child.status;
  }
}
