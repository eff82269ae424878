/**
 * Single byte ranges of RFC 9110, section 14.
 *
 * @module
 */
import { RangeNotSatisfiableError } from "../errors.ts";
import type { ByteRange } from "../store/store.ts";

/** What a syntactically right `Range` header asks for, before the content's size is known. */
interface RangeSpec {
  /** First byte, or undefined for a suffix range. */
  readonly first: number | undefined;
  /** Last byte; length for a suffix range; undefined for all the rest. */
  readonly last: number | undefined;
}

const RANGE_PATTERN = /^bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*$/i;

function parseSpec(header: string | undefined): RangeSpec | undefined {
  const match = RANGE_PATTERN.exec(header ?? "");
  const [, first, last] = match ?? [];
  if (first === undefined || last === undefined || (first === "" && last === "")) return undefined;
  const spec = {
    first: first === "" ? undefined : Number(first),
    last: last === "" ? undefined : Number(last),
  };
  const isBackwards = spec.first !== undefined && spec.last !== undefined && spec.last < spec.first;
  return isBackwards ? undefined : spec;
}

/**
 * Brings a `Range` header into the form in which it is passed on to a peer.
 *
 * @param header Value of the header, or undefined.
 * @returns `bytes=<first>-[<last>]` or `bytes=-<length>`; undefined if the header is to be ignored.
 */
export function canonicalRange(header: string | undefined): string | undefined {
  const spec = parseSpec(header);
  if (spec === undefined) return undefined;
  const isSafe = [spec.first, spec.last].every((n) => n === undefined || Number.isSafeInteger(n));
  return isSafe ? `bytes=${spec.first ?? ""}-${spec.last ?? ""}` : undefined;
}

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
  const spec = parseSpec(header);
  if (spec === undefined) return undefined;
  const { first, last } = spec;
  const isSatisfiable = first === undefined ? last !== 0 && size > 0 : first < size;
  if (!isSatisfiable) {
    throw new RangeNotSatisfiableError(
      `range ${header?.trim()} lies outside of ${size} bytes`,
      size,
    );
  }
  if (first === undefined) return { start: Math.max(0, size - (last ?? 0)), end: size - 1 };
  return { start: first, end: Math.min(last ?? size - 1, size - 1) };
}
