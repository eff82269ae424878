/**
 * A temporary folder.
 *
 * @module
 */

/** If set, temporary folders stay for a look at logs and stores. */
export const KEEP_VARIABLE = "KAGAMI_TEST_KEEP";

/** Prefix of the folders' names. */
export const TEMP_DIR_PREFIX = "kagami-it-";

/** A folder that is removed when disposed, unless {@linkcode KEEP_VARIABLE} is set. */
export class TempDir implements AsyncDisposable {
  /** Absolute path; short, because paths of unix sockets are limited to 107 bytes. */
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes a new folder.
   *
   * @returns The folder.
   */
  static async create(): Promise<TempDir> {
    return new TempDir(await Deno.makeTempDir({ dir: "/tmp", prefix: TEMP_DIR_PREFIX }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (Deno.env.has(KEEP_VARIABLE)) return;
    await Deno.remove(this.path, { recursive: true });
  }
}
