/**
 * Which bytes to ask peers for when a client wants a part of a content: whole chunks, since only those can be checked.
 *
 * @module
 */
import { PeerError, RangeNotSatisfiableError } from "../errors.ts";
import { CHUNK_SIZE } from "../oci/chunk_list.ts";
import type { ByteRange } from "../store/store.ts";

const RANGE = /^bytes=([0-9]*)-([0-9]*)$/;

/**
 * Widens a range to whole chunks.
 *
 * @param range Value of a `Range` header as `canonicalRange()` gives it; undefined for all of the content.
 * @returns The range to ask for. A suffix stays as it is, for it lies where the content's size says.
 */
export function widened(range: string | undefined): string | undefined {
  const [first, last] = RANGE.exec(range ?? "")?.slice(1) ?? [];
  if (first === undefined || last === undefined || first === "") return range;
  const start = Number(first) - Number(first) % CHUNK_SIZE;
  if (last === "") return start === 0 && Number(first) === 0 ? range : `bytes=${start}-`;
  const end = (Math.floor(Number(last) / CHUNK_SIZE) + 1) * CHUNK_SIZE - 1;
  return `bytes=${start}-${end}`;
}

/**
 * Finds what the client wants in an answer to the widened range.
 *
 * @param range Value of the client's `Range` header.
 * @param answer Range of the answer, and the content's size.
 * @returns The bytes for the client.
 * @throws {RangeNotSatisfiableError} If there are none.
 * @throws {PeerError} If the answer does not hold them.
 */
export function narrowed(
  range: string | undefined,
  answer: ByteRange & { readonly size: number },
): ByteRange {
  const { size } = answer;
  const [first, last] = RANGE.exec(range ?? "")?.slice(1) ?? [];
  if (first === undefined || last === undefined || first === "") {
    return { start: answer.start, end: answer.end };
  }
  const start = Number(first);
  const end = Math.min(size - 1, last === "" ? size - 1 : Number(last));
  if (start >= size) throw new RangeNotSatisfiableError(`byte ${start} is not below ${size}`, size);
  if (start < answer.start || end > answer.end) throw new PeerError("the answer lacks bytes");
  return { start, end };
}
