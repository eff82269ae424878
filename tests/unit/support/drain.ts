/**
 * Reading to the end, as far as that goes.
 *
 * @module
 */
import type { ContentReader } from "../../../lib/store/store.ts";

/** What a reader yielded, and what ended it. */
export interface Drained {
  readonly bytes: Uint8Array;
  /** What `read` threw; undefined after a clean end. */
  readonly error: unknown;
}

/**
 * Reads until the end or the first error. Does not close the reader.
 *
 * @param reader What to read.
 * @param bufferSize Size of each read in bytes.
 * @returns All bytes that were yielded.
 */
export async function drain(
  reader: Pick<ContentReader, "read">,
  bufferSize = 1000,
): Promise<Drained> {
  const pieces: Uint8Array[] = [];
  const buffer = new Uint8Array(bufferSize);
  try {
    while (true) {
      const count = await reader.read(buffer);
      if (count === 0) return { bytes: concat(pieces), error: undefined };
      pieces.push(buffer.slice(0, count));
    }
  } catch (error) {
    return { bytes: concat(pieces), error };
  }
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
