/**
 * Asks one peer for one content and checks what its answer claims, before a byte of it is used.
 *
 * @module
 */
import { NotFoundError, PeerError, RangeNotSatisfiableError } from "../errors.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { type DistributionPath, formatDistributionPath } from "../oci/distribution.ts";
import { MANIFEST_MEDIA_TYPES, OCTET_STREAM } from "../oci/media_types.ts";
import type { Peer } from "../routing/router.ts";
import { hostAndPort, httpRequest, type HttpResponse, type HttpTimeouts } from "./http_client.ts";

/** Header by which mirrors mark their requests, so that a peer answers from its own store only. */
export const MIRRORED_HEADER = "X-Spegel-Mirrored";

/**
 * Default time limits between mirrors of one cluster, in milliseconds. A peer that is alive answers within
 * a few; a dead one must not cost a pull more than this.
 */
export const DEFAULT_PEER_TIMEOUTS: HttpTimeouts = {
  connectMs: 500,
  headMs: 2000,
  stallMs: 3000,
};

/** A good answer of a peer. */
export interface PeerAnswer {
  readonly peer: Peer;
  /** `host:port` that was asked, for logs. */
  readonly address: string;
  /** Media type without parameters. */
  readonly mediaType: string;
  /** Digest that the peer names, if it names one. */
  readonly digest: Digest | undefined;
  /** Whole size of the content in bytes. */
  readonly size: number;
  /** First and last byte of the body; `end` is `start - 1` for empty content. */
  readonly start: number;
  readonly end: number;
  /** The body, empty for HEAD. */
  readonly response: HttpResponse;
}

/** What to ask. */
export interface PeerRequest {
  readonly path: DistributionPath;
  readonly method: "GET" | "HEAD";
  /** Value of the `Range` header; left out for the whole content. */
  readonly range?: string;
  /** Time limit for the head of the answer in ms, where it is not to be the client's. */
  readonly headMs?: number;
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode PeerClient}. */
export interface PeerClientOptions {
  /** `Authorization` header for peers' registries, if they want basic authentication. */
  readonly authorization?: string;
  readonly timeouts?: HttpTimeouts;
}

/** Client for peers' registries. */
export class PeerClient {
  readonly #headers: Readonly<Record<string, string>>;
  readonly #timeouts: HttpTimeouts;

  constructor(options: PeerClientOptions = {}) {
    this.#timeouts = options.timeouts ?? DEFAULT_PEER_TIMEOUTS;
    this.#headers = {
      [MIRRORED_HEADER]: "true",
      "User-Agent": "kagami",
      ...(options.authorization === undefined ? {} : { Authorization: options.authorization }),
    };
  }

  /**
   * Sends the request to the peer, one address after the other until one connects.
   *
   * @param peer Whom to ask.
   * @param request What to ask.
   * @returns The answer; its `response` must be closed.
   * @throws {NotFoundError} If the peer does not have the content.
   * @throws {RangeNotSatisfiableError} If the peer says that the range lies outside of the content.
   * @throws {PeerError} If the peer cannot be reached, is too slow or answers badly.
   */
  async request(peer: Peer, request: PeerRequest): Promise<PeerAnswer> {
    let failure: unknown = new PeerError(`peer ${peer.id} has no address`);
    for (const address of peer.addresses) {
      try {
        return await this.#ask(peer, address, request);
      } catch (error) {
        // Only a peer that cannot be reached here may answer at another of its addresses.
        if (!(error instanceof PeerError) || request.signal?.aborted) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  async #ask(peer: Peer, address: string, request: PeerRequest): Promise<PeerAnswer> {
    const { path, method, range, signal, headMs } = request;
    const accept = path.kind === "manifests" ? MANIFEST_MEDIA_TYPES.join(", ") : "*/*";
    const response = await httpRequest({
      address,
      port: peer.registryPort,
      method,
      target: formatDistributionPath(path),
      headers: {
        ...this.#headers,
        Accept: accept,
        ...(range === undefined ? {} : { Range: range }),
      },
      timeouts: headMs === undefined ? this.#timeouts : { ...this.#timeouts, headMs },
      ...(signal === undefined ? {} : { signal }),
    });
    try {
      return {
        peer,
        address: hostAndPort(address, peer.registryPort),
        ...check(response, request),
      };
    } catch (error) {
      response.close();
      throw error;
    }
  }
}

type CheckedAnswer = Omit<PeerAnswer, "peer" | "address">;

function check(response: HttpResponse, request: PeerRequest): CheckedAnswer {
  const { status, headers, contentLength } = response;
  if (status === 404) throw new NotFoundError(`peer does not have ${request.path.key}`);
  if (status === 416 && request.range !== undefined) {
    throw unsatisfiable(headers.get("content-range"));
  }
  if (status !== 200 && status !== 206) throw new PeerError(`peer answered ${status}`);
  if (contentLength === undefined) throw new PeerError("peer sent no Content-Length");
  const range = status === 206 ? parseContentRange(headers.get("content-range")) : undefined;
  if (range !== undefined && range.end - range.start + 1 !== contentLength) {
    throw new PeerError("peer's Content-Range and Content-Length disagree");
  }
  if (range === undefined && request.range !== undefined) {
    throw new PeerError("peer answered 200 to a Range request");
  }
  if (range !== undefined && request.range === undefined) {
    throw new PeerError("peer answered 206 without a Range request");
  }
  const named = headers.get("docker-content-digest");
  const digest = named !== undefined && isDigest(named) ? named : undefined;
  const wanted = request.path.digest;
  if (wanted !== undefined && digest !== undefined && digest !== wanted) {
    throw new PeerError(`peer answered with ${digest} instead of ${wanted}`);
  }
  return {
    mediaType: (headers.get("content-type") ?? OCTET_STREAM).split(";")[0]?.trim() ?? OCTET_STREAM,
    digest,
    size: range?.size ?? contentLength,
    start: range?.start ?? 0,
    end: range?.end ?? contentLength - 1,
    response,
  };
}

function parseContentRange(
  text: string | undefined,
): { start: number; end: number; size: number } {
  const match = /^bytes ([0-9]{1,15})-([0-9]{1,15})\/([0-9]{1,15})$/.exec(text ?? "");
  const [start, end, size] = (match ?? []).slice(1).map(Number);
  if (
    start === undefined || end === undefined || size === undefined || start > end || end >= size
  ) {
    throw new PeerError("peer sent a malformed Content-Range");
  }
  return { start, end, size };
}

function unsatisfiable(contentRange: string | undefined): RangeNotSatisfiableError | PeerError {
  const size = /^bytes \*\/([0-9]{1,15})$/.exec(contentRange ?? "")?.[1];
  if (size === undefined) return new PeerError("peer answered 416 without the content's size");
  return new RangeNotSatisfiableError(`range lies outside of ${size} bytes`, Number(size));
}
