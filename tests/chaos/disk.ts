/**
 * A disk that can be full: a file system of its own in a sparse file.
 *
 * @module
 */
import { eventually, run, runCommand } from "../integration/harness/process.ts";

/** Size of the file system; what is not used takes no room. */
const SIZE = "1G";

/** A file system in a file. */
export class SmallDisk implements AsyncDisposable {
  readonly #image: string;
  readonly #folder: string;

  private constructor(image: string, folder: string) {
    this.#image = image;
    this.#folder = folder;
  }

  /**
   * Makes a file system and mounts it.
   *
   * @param image File that is to hold it; made.
   * @param folder Where to mount it; made.
   * @returns The file system.
   */
  static async mount(image: string, folder: string): Promise<SmallDisk> {
    await Deno.mkdir(folder, { recursive: true });
    await run("truncate", "-s", SIZE, image);
    await run("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image);
    await run("mount", "-o", "loop,discard", image, folder);
    return new SmallDisk(image, folder);
  }

  /** Leaves no room for anybody. */
  async fill(): Promise<void> {
    const filler = `${this.#folder}/filler`;
    const free = (await run("df", "--output=avail", "-B1", this.#folder)).trim().split("\n").at(-1);
    // Some of what is free goes for the file's own map; the rest is filled block by block.
    await runCommand("fallocate", ["-l", free!, filler]);
    await runCommand("dd", ["if=/dev/zero", `of=${filler}.rest`, "bs=4k"]);
  }

  /** Gives the room back. */
  async clear(): Promise<void> {
    for (const name of ["filler", "filler.rest"]) {
      await Deno.remove(`${this.#folder}/${name}`).catch(() => {}); // Nothing was left for it.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A process that was killed may hold it for a moment.
    await eventually("the disk is free", async () => {
      return (await runCommand("umount", [this.#folder])).code === 0;
    });
    await Deno.remove(this.#image);
  }
}

async function canMount(): Promise<boolean> {
  if (Deno.uid() !== 0) return false;
  const folder = await Deno.makeTempDir({ prefix: "kagami-disk-" });
  try {
    await using _disk = await SmallDisk.mount(`${folder}/image`, `${folder}/mount`);
    return true;
  } catch {
    return false; // No loop devices, or no ext4.
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Whether there can be such disks on this machine. */
export const CAN_FILL_DISKS: boolean = await canMount();
