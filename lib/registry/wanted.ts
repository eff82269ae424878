/**
 * What of a content a request asks for.
 *
 * @module
 */
import type { Digest } from "../oci/digest.ts";
import { evaluatePreconditions, rangeApplies } from "./conditional.ts";
import type { RegistryRequest } from "./messages.ts";

/**
 * Whether content is sent.
 *
 * @param request The request.
 * @param digest Digest of the content.
 * @returns False for HEAD, and where a condition decides that the content is not sent.
 */
export function wantsBody(request: RegistryRequest, digest: Digest): boolean {
  return request.method !== "HEAD" &&
    evaluatePreconditions(conditions(request), digest) === "proceed";
}

/**
 * The range that is asked for.
 *
 * @param request The request.
 * @param digest Digest of the content.
 * @returns Value of the `Range` header; undefined if there is none, or it is meant for other content.
 */
export function rangeHeader(request: RegistryRequest, digest: Digest): string | undefined {
  return rangeApplies(conditions(request), digest) ? request.header("range") : undefined;
}

/**
 * The conditions of a request.
 *
 * @param request The request.
 * @returns Its conditional headers.
 */
export function conditions(
  request: RegistryRequest,
): Parameters<typeof evaluatePreconditions>[0] {
  return {
    "if-match": request.header("if-match"),
    "if-none-match": request.header("if-none-match"),
    "if-range": request.header("if-range"),
  };
}
