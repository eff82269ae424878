/**
 * Reads a whole small content into memory, for manifests.
 *
 * @module
 */
import { VerificationError } from "../errors.ts";
import type { ContentReader } from "../store/store.ts";

/**
 * Reads a whole small content into memory, for manifests.
 *
 * @param reader The reader; closed in the end.
 * @param limit Largest size accepted, in bytes.
 * @returns The bytes.
 * @throws {VerificationError} If the content is larger than the limit or shorter than announced.
 */
export async function readAll(reader: ContentReader, limit: number): Promise<Uint8Array> {
  try {
    const length = reader.end - reader.start + 1;
    if (length > limit) {
      throw new VerificationError(`${length} bytes are over the limit of ${limit}`);
    }
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const count = await reader.read(bytes.subarray(filled));
      if (count === 0) throw new VerificationError(`content ended ${length - filled} bytes early`);
      filled += count;
    }
    return bytes;
  } finally {
    await reader.close();
  }
}
