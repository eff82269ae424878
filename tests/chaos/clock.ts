/**
 * The clock of a mirror, which can be stepped: libfaketime answers for the system's calendar time. Monotonic time goes
 * on as it does.
 *
 * @module
 */

/** Where Debian's package libfaketime has its library, below the folder of the architecture. */
const LIBRARY = "faketime/libfaketimeMT.so.1";

async function findLibrary(): Promise<string | undefined> {
  for (const architecture of ["x86_64-linux-gnu", "aarch64-linux-gnu"]) {
    const path = `/usr/lib/${architecture}/${LIBRARY}`;
    try {
      if ((await Deno.stat(path)).isFile) return path;
    } catch {
      // Not there.
    }
  }
  return undefined;
}

const library = await findLibrary();

/** Whether clocks can be stepped on this machine. */
export const CAN_STEP_CLOCKS = library !== undefined;

/** A clock that is right until it is stepped. */
export class SteppedClock {
  readonly #path: string;

  /**
   * @param path File that tells the process how far its clock is off.
   */
  constructor(path: string) {
    this.#path = path;
    Deno.writeTextFileSync(path, "+0\n");
  }

  /**
   * Steps it.
   *
   * @param seconds How far it is off from now on.
   */
  async set(seconds: number): Promise<void> {
    await Deno.writeTextFile(this.#path, `${seconds < 0 ? "" : "+"}${seconds}\n`);
  }

  /**
   * @param program Command line.
   * @returns The same, to run by this clock.
   */
  command(program: readonly string[]): string[] {
    if (library === undefined) return [...program];
    return [
      "env",
      `LD_PRELOAD=${library}`,
      `FAKETIME_TIMESTAMP_FILE=${this.#path}`,
      "FAKETIME_DONT_FAKE_MONOTONIC=1",
      // Seconds until the file is read again.
      "FAKETIME_CACHE_DURATION=1",
      // Times of files stay as they are.
      "NO_FAKE_STAT=1",
      ...program,
    ];
  }
}
