/**
 * A content in a file of its own.
 *
 * @module
 */

/** The file, removed when disposed. */
export interface ContentFile extends AsyncDisposable {
  readonly path: string;
}

/**
 * Writes bytes into a temporary file.
 *
 * @param bytes The bytes.
 * @returns The file.
 */
export async function makeContentFile(bytes: Uint8Array): Promise<ContentFile> {
  const path = await Deno.makeTempFile({ prefix: "kagami-content-" });
  await Deno.writeFile(path, bytes);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path) };
}

/**
 * Counts the descriptors that this process has open on a file.
 *
 * @param path Its path.
 * @returns How many there are.
 */
export function openDescriptors(path: string): number {
  let count = 0;
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      if (Deno.readLinkSync(`/proc/self/fd/${name}`).startsWith(path)) count += 1;
    } catch {
      // The one of the listing itself is gone again.
    }
  }
  return count;
}
