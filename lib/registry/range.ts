/**
 * Single byte ranges of RFC 9110, section 14.
 *
 * @module
 */
import { RangeNotSatisfiableError } from "../errors.ts";
import type { ByteRange } from "../store/store.ts";

const RANGE_PATTERN = /^bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*$/i;

/**
 * Turns a `Range` header into a range of a content.
 *
 * A header that is malformed, names another unit or several ranges is ignored, as RFC 9110, 14.2 allows: the
 * client then gets the whole content, which is always right.
 *
 * @param header Value of the header, or undefined.
 * @param size Whole size of the content in bytes.
 * @returns The range, or undefined if all of the content is to be sent.
 * @throws {RangeNotSatisfiableError} If no byte of the content lies in the range.
 *
 * @example
 * ```ts
 * parseRange("bytes=-100", 1000); // { start: 900, end: 999 }
 * ```
 */
export function parseRange(header: string | undefined, size: number): ByteRange | undefined {
  if (header === undefined) return undefined;
  const match = RANGE_PATTERN.exec(header);
  const [, first, last] = match ?? [];
  if (first === undefined || last === undefined || (first === "" && last === "")) return undefined;
  const unsatisfiable = () =>
    new RangeNotSatisfiableError(`range ${header.trim()} lies outside of ${size} bytes`, size);
  if (first === "") {
    const length = Number(last);
    if (length === 0 || size === 0) throw unsatisfiable();
    return { start: Math.max(0, size - length), end: size - 1 };
  }
  const start = Number(first);
  if (last !== "" && Number(last) < start) return undefined;
  if (start >= size) throw unsatisfiable();
  return { start, end: last === "" ? size - 1 : Math.min(Number(last), size - 1) };
}
