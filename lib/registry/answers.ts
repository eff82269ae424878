/**
 * Answers of the registry: content, texts and errors, with the headers that the distribution specification wants.
 *
 * @module
 */
import { NotFoundError, RangeNotSatisfiableError, VerificationError } from "../errors.ts";
import type { DistributionPath } from "../oci/distribution.ts";
import { DistributionError } from "../oci/distribution_error.ts";
import { OCTET_STREAM } from "../oci/media_types.ts";
import { entityTag, evaluatePreconditions } from "./conditional.ts";
import type { Content } from "./content_finder.ts";
import {
  type AnswerFacts,
  type RegistryAnswer,
  type RegistryRequest,
  SOURCE_HEADER,
} from "./messages.ts";
import { conditions } from "./wanted.ts";

/** Headers of every answer below `/v2/`. */
export const V2_HEADERS = { "Docker-Distribution-API-Version": "registry/2.0" } as const;

/** Which credentials are wanted when they are the mirror's own. */
export const OWN_CHALLENGE = 'Basic realm="kagami"';

const encoder = new TextEncoder();

/**
 * Makes an answer that carries content, or tells of it.
 *
 * @param request The request.
 * @param content What was found.
 * @param from Facts for the log; the source is added.
 * @returns The answer.
 */
export function contentAnswer(
  request: RegistryRequest,
  content: Content,
  from: AnswerFacts,
): RegistryAnswer {
  const { descriptor, source, range, body, isGrowing } = content;
  const facts = { ...from, source, ...(isGrowing ? { isGrowing } : {}) };
  const headers: Record<string, string> = {
    "Docker-Content-Digest": descriptor.digest,
    "ETag": entityTag(descriptor.digest),
    [SOURCE_HEADER]: source,
    "OCI-Namespace": facts.path?.registry ?? "",
    ...V2_HEADERS,
  };
  const condition = evaluatePreconditions(conditions(request), descriptor.digest);
  if (condition === "not-modified") return { status: 304, headers, body: undefined, facts };
  if (condition === "failed") {
    const message = "If-Match names other content";
    const error = new DistributionError("UNSUPPORTED", message, { status: 412 });
    return failureAnswer(request, error, facts);
  }
  const length = range === undefined ? descriptor.size : range.end - range.start + 1;
  headers["Content-Length"] = String(length);
  headers["Content-Type"] = descriptor.mediaType || OCTET_STREAM;
  if (facts.path?.kind === "blobs") headers["Accept-Ranges"] = "bytes";
  if (range !== undefined) {
    headers["Content-Range"] = `bytes ${range.start}-${range.end}/${descriptor.size}`;
  }
  return { status: range === undefined ? 200 : 206, headers, body, facts };
}

/**
 * Makes an error answer.
 *
 * @param request The request.
 * @param error What went wrong.
 * @param facts Facts for the log; the error is added, and a source taken away: none of its content is sent.
 * @returns The answer.
 */
export function failureAnswer(
  request: RegistryRequest,
  error: unknown,
  facts: AnswerFacts,
): RegistryAnswer {
  const { source: _source, isGrowing: _isGrowing, ...rest } = facts;
  const headers: Record<string, string> = { ...V2_HEADERS };
  if (error instanceof RangeNotSatisfiableError) {
    headers["Content-Range"] = `bytes */${error.size}`;
  }
  const shown = asDistributionError(error, facts.path);
  if (shown.status === 401) {
    headers["WWW-Authenticate"] = shown.challenge ?? OWN_CHALLENGE;
  }
  if (shown.status === 429) headers["Retry-After"] = "1";
  if (shown.status === 405) headers["Allow"] = "GET, HEAD";
  const body = encoder.encode(shown.body());
  headers["Content-Type"] = "application/json";
  headers["Content-Length"] = String(body.length);
  return {
    status: shown.status,
    headers,
    body: request.method === "HEAD" ? undefined : body,
    facts: { ...rest, error },
  };
}

/**
 * Makes an answer of some text.
 *
 * @param request The request.
 * @param status Its status.
 * @param content The text.
 * @param facts Facts for the log.
 * @param contentType What kind of text it is.
 * @returns The answer.
 */
export function textAnswer(
  request: RegistryRequest,
  status: number,
  content: string,
  facts: AnswerFacts,
  contentType = "text/plain; charset=utf-8",
): RegistryAnswer {
  const body = encoder.encode(content);
  const headers: Record<string, string> = {
    "Content-Type": contentType,
    "Content-Length": String(body.length),
    ...(facts.handler === "v2" ? V2_HEADERS : {}),
  };
  return { status, headers, body: request.method === "HEAD" ? undefined : body, facts };
}

/**
 * What clients are told: that the content is not to be had here, or that this mirror fails, for reasons that only the
 * log tells. Either way they go upstream.
 */
function asDistributionError(error: unknown, path?: DistributionPath): DistributionError {
  if (error instanceof DistributionError) return error;
  if (error instanceof RangeNotSatisfiableError) {
    return new DistributionError("UNSUPPORTED", error.message, { status: 416 });
  }
  if (error instanceof NotFoundError || error instanceof VerificationError) {
    return unknown(path, error.message);
  }
  const message = "this mirror cannot serve the content now, go to the upstream registry";
  return new DistributionError(codeFor(path), message, { status: 503, cause: error });
}

function codeFor(path: DistributionPath | undefined): "MANIFEST_UNKNOWN" | "BLOB_UNKNOWN" {
  return path?.kind === "manifests" ? "MANIFEST_UNKNOWN" : "BLOB_UNKNOWN";
}

/**
 * Tells that a content is not to be had here.
 *
 * @param path What was asked for.
 * @param message Why it is not.
 * @returns The error.
 */
export function unknown(path: DistributionPath | undefined, message: string): DistributionError {
  return new DistributionError(codeFor(path), message, {
    ...(path === undefined ? {} : { detail: { key: path.key } }),
  });
}
