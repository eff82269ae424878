/**
 * Conditional requests of RFC 9110, section 13, for content that is named by its digest: the digest is the
 * entity tag.
 *
 * @module
 */
import type { Digest } from "../oci/digest.ts";

/** The request headers that conditions are made of, by lower-case name. */
export type ConditionalHeaders = Readonly<
  Partial<Record<"if-match" | "if-none-match" | "if-range", string | undefined>>
>;

/** @returns The strong entity tag of a content. */
export function entityTag(digest: Digest): string {
  return `"${digest}"`;
}

/** How the conditions of a request turn out. */
export type Precondition = "proceed" | "not-modified" | "failed";

/**
 * Evaluates `If-Match` and `If-None-Match`.
 *
 * @param headers The request's headers.
 * @param digest Digest of the content that would be sent.
 * @returns Whether to send it, to answer 304, or to answer 412.
 */
export function evaluatePreconditions(headers: ConditionalHeaders, digest: Digest): Precondition {
  const { "if-match": ifMatch, "if-none-match": ifNoneMatch } = headers;
  if (ifMatch !== undefined && !listsTag(ifMatch, digest, false)) return "failed";
  if (ifNoneMatch !== undefined && listsTag(ifNoneMatch, digest, true)) return "not-modified";
  return "proceed";
}

/**
 * Says whether a `Range` header may be used.
 *
 * @param headers The request's headers.
 * @param digest Digest of the content.
 * @returns False if `If-Range` names something else, so that the whole content is to be sent.
 */
export function rangeApplies(headers: ConditionalHeaders, digest: Digest): boolean {
  const ifRange = headers["if-range"];
  return ifRange === undefined || ifRange.trim() === entityTag(digest);
}

function listsTag(list: string, digest: Digest, weakly: boolean): boolean {
  return list.split(",").map((item) => item.trim()).some((item) => {
    if (item === "*") return true;
    return (weakly ? item.replace(/^W\//, "") : item) === entityTag(digest);
  });
}
