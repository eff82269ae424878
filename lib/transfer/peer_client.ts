/**
 * Asks one peer for one content and checks what its answer claims, before a byte of it is used.
 *
 * @module
 */
import {
  BusyError,
  NotFoundError,
  PeerError,
  RangeNotSatisfiableError,
  VerificationError,
} from "../errors.ts";
import { ChunkList } from "../oci/chunk_list.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { type DistributionPath, formatDistributionPath } from "../oci/distribution.ts";
import { MANIFEST_MEDIA_TYPES, OCTET_STREAM } from "../oci/media_types.ts";
import type { Tracing } from "../observability/tracing.ts";
import type { Peer } from "../routing/router.ts";
import type { ConnectionPool } from "./connection_pool.ts";
import {
  hostAndPort,
  type HttpRequest,
  httpRequest,
  type HttpResponse,
  type HttpTimeouts,
  OtherServerError,
} from "./http_client.ts";
import { type PeerChannel, type PeerChannels, PLAIN } from "./peer_channels.ts";
import { staggered } from "./staggered.ts";

/** Header by which mirrors mark their requests, so that a peer answers from its own store only. */
export const MIRRORED_HEADER = "X-Spegel-Mirrored";

/** Header by which Kagami tells a peer that it understands interim responses. */
export const INTERIM_HEADER = "X-Kagami-Interim";

/** Header by which Kagami asks a peer for content that may still be growing there, and by which the peer says so. */
export const GROWING_HEADER = "X-Kagami-Growing";

/** Header by which a peer tells that it has a list of the content's chunks. */
export const CHUNKS_HEADER = "X-Kagami-Chunks";

/** Header by which a peer tells how busy it is: a number from 0 to 1. */
export const LOAD_HEADER = "X-Kagami-Load";

/** Header that carries the token of an offer, over TLS alone. */
export const TOKEN_HEADER = "X-Kagami-Token";

/** Path of a content's list of chunks, followed by its digest. */
export const CHUNKS_PATH = "/kagami/v1/chunks/";

/** Largest list of chunks that is taken, in bytes: that of a content of 200 GiB. */
export const MAX_CHUNK_LIST_BYTES = 8 * 1024 * 1024;

/**
 * Head start of one address of a peer to take a connection, before the next one is tried beside it, in milliseconds (RFC
 * 8305: 250). How long an answer takes then says nothing about the address.
 */
export const ADDRESS_HEAD_START_MS = 150;

/** Longest pause in a body that grows, in milliseconds: it comes no faster than from upstream, and in steps. */
export const GROWING_STALL_MS = 5000;

/** Longest wait for the head of an answer whose content is awaited at the peer, in milliseconds: who asks waits less. */
export const GROWING_INTERIM_MS = 60_000;

/** A busy peer that does not say when to come again is left alone for so long, in milliseconds. */
const DEFAULT_BUSY_MS = 1000;

/**
 * Default time limits between mirrors of one cluster, in milliseconds. A peer that is alive answers within
 * a few; a dead one must not cost a pull more than this.
 */
export const DEFAULT_PEER_TIMEOUTS: HttpTimeouts = {
  connectMs: 500,
  headMs: 2000,
  interimMs: 15_000,
  stallMs: 3000,
};

/** A good answer of a peer. */
export interface PeerAnswer {
  readonly peer: Peer;
  /** Which registry that is, `host:port`, for logs. Over TLS it was asked at another port. */
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
  /** Whether the peer has a list of the content's chunks. */
  readonly hasChunks: boolean;
  /** How busy the peer says it is, 0 to 1; undefined if it does not say. */
  readonly load: number | undefined;
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
  /** Whether the content may still be growing at the peer. */
  readonly isGrowing?: boolean;
  /** Called when the peer tells that it works on the answer. */
  readonly onInterim?: () => void;
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode PeerClient}. */
export interface PeerClientOptions {
  /** `Authorization` header for peers' registries, if they want basic authentication. */
  readonly authorization?: string;
  readonly timeouts?: HttpTimeouts;
  /** Where connections are kept; without one each request has a connection of its own. */
  readonly pool?: ConnectionPool;
  /** How to speak with each peer; plainly with all of them without it. */
  readonly channels?: PeerChannels;
  /** Told of each answer of a peer, and how it came. */
  readonly onAnswer?: (channel: PeerChannel["kind"]) => void;
  /** Tells peers which trace a request belongs to; left out where traces are off. */
  readonly tracing?: Tracing;
}

/** The way to a peer. */
interface Route {
  readonly address: string;
  readonly channel: PeerChannel;
  /** Called when there is a connection. */
  readonly onConnected: () => void;
}

/** Client for peers' registries. */
export class PeerClient {
  readonly #headers: Readonly<Record<string, string>>;
  readonly #timeouts: HttpTimeouts;
  readonly #pool: ConnectionPool | undefined;
  readonly #channels: PeerChannels | undefined;
  readonly #onAnswer: PeerClientOptions["onAnswer"];
  readonly #tracing: Tracing | undefined;

  constructor(options: PeerClientOptions = {}) {
    this.#timeouts = options.timeouts ?? DEFAULT_PEER_TIMEOUTS;
    this.#pool = options.pool;
    this.#channels = options.channels;
    this.#onAnswer = options.onAnswer;
    this.#tracing = options.tracing;
    this.#headers = {
      [MIRRORED_HEADER]: "true",
      [INTERIM_HEADER]: "true",
      "User-Agent": "kagami",
      ...(options.authorization === undefined ? {} : { Authorization: options.authorization }),
    };
  }

  /**
   * Sends the request to the peer, to its further addresses as well when the first one does not answer.
   *
   * @param peer Whom to ask.
   * @param request What to ask.
   * @returns The answer; its `response` must be closed.
   * @throws {NotFoundError} If the peer does not have the content.
   * @throws {RangeNotSatisfiableError} If the peer says that the range lies outside of the content.
   * @throws {BusyError} If the peer has too much to do.
   * @throws {PeerError} If the peer cannot be reached, is too slow or answers badly.
   */
  request(peer: Peer, request: PeerRequest): Promise<PeerAnswer> {
    return this.#atAnyAddress(
      peer,
      request.signal,
      (route, signal) => this.#ask(peer, route, { ...request, signal }),
      ({ response }) => response.close(),
    );
  }

  /**
   * Fetches the list of a content's chunks.
   *
   * @param peer Whom to ask.
   * @param digest Digest of the content.
   * @param size Size of the content in bytes.
   * @param signal Ends the request.
   * @returns The list.
   * @throws {NotFoundError} If the peer has none.
   * @throws {VerificationError} If the list cannot be one of that content.
   * @throws {PeerError} If the peer cannot be reached, is too slow or answers badly.
   */
  async chunkList(
    peer: Peer,
    digest: Digest,
    size: number,
    signal?: AbortSignal,
  ): Promise<ChunkList> {
    const target = `${CHUNKS_PATH}${digest}`;
    const response = await this.#atAnyAddress(
      peer,
      signal,
      (route, bounded) =>
        this.#send(peer, route, {
          method: "GET",
          target,
          headers: { ...this.#headers, ...this.#tracing?.headers() },
          timeouts: this.#timeouts,
          signal: bounded,
        }),
      (late) => late.close(),
    );
    try {
      if (response.status === 404) throw new NotFoundError(`peer has no chunks of ${digest}`);
      const length = response.contentLength ?? 0;
      if (response.status !== 200 || length > MAX_CHUNK_LIST_BYTES) {
        throw new PeerError(`peer answered ${response.status} with ${length} bytes`);
      }
      const bytes = new Uint8Array(length);
      for (let filled = 0; filled < length;) filled += await response.read(bytes.subarray(filled));
      const list = ChunkList.parse(bytes, digest, size);
      if (list === undefined) throw new VerificationError(`peer sent a wrong list for ${digest}`);
      return list;
    } finally {
      response.close();
    }
  }

  async #atAnyAddress<T>(
    peer: Peer,
    signal: AbortSignal | undefined,
    ask: (route: Route, signal: AbortSignal) => Promise<T>,
    discard: (late: T) => void,
  ): Promise<T> {
    if (peer.addresses.length === 0) throw new PeerError(`peer ${peer.id} has no address`);
    const through = (channel: PeerChannel) =>
      staggered(peer.addresses, {
        attempt: (address, bounded, onConnected) => ask({ address, channel, onConnected }, bounded),
        headStartMs: ADDRESS_HEAD_START_MS,
        // Only a peer that cannot be reached here may answer at another of its addresses.
        isFinal: (error) => !(error instanceof PeerError),
        discard,
        ...(signal === undefined ? {} : { signal }),
      });
    const channel = await this.#channels?.of(peer, signal) ?? PLAIN;
    try {
      return await through(channel);
    } catch (error) {
      if (channel.kind === "plain" || !(error instanceof OtherServerError)) throw error;
      const renewed = await this.#channels?.renewed(peer, channel, signal);
      if (renewed === undefined) throw error;
      return await through(renewed);
    }
  }

  /** Sends a request the way that the channel goes. */
  async #send(
    peer: Peer,
    { address, channel, onConnected }: Route,
    request: Omit<HttpRequest, "address" | "port" | "pool" | "certificate" | "onConnected">,
  ): Promise<HttpResponse> {
    const where = {
      address,
      onConnected,
      ...(this.#pool === undefined ? {} : { pool: this.#pool }),
    };
    if (channel.kind === "plain") {
      const response = await httpRequest({ ...request, ...where, port: peer.registryPort });
      this.#onAnswer?.(channel.kind);
      return response;
    }
    const { port, certificate, token } = channel;
    const headers = { ...request.headers, [TOKEN_HEADER]: token };
    const response = await httpRequest({ ...request, ...where, port, certificate, headers });
    this.#onAnswer?.(channel.kind);
    if (response.status !== 403) return response;
    // The token is too old, or of another life of the peer.
    response.close();
    throw new OtherServerError("peer does not take the token");
  }

  async #ask(peer: Peer, route: Route, request: PeerRequest): Promise<PeerAnswer> {
    const { path, method, range, signal, headMs, isGrowing, onInterim } = request;
    const accept = path.kind === "manifests" ? MANIFEST_MEDIA_TYPES.join(", ") : "*/*";
    const response = await this.#send(peer, route, {
      method,
      target: formatDistributionPath(path),
      headers: {
        ...this.#headers,
        ...this.#tracing?.headers(),
        Accept: accept,
        ...(isGrowing ? { [GROWING_HEADER]: "true" } : {}),
        ...(range === undefined ? {} : { Range: range }),
      },
      timeouts: {
        ...this.#timeouts,
        ...(headMs === undefined ? {} : { headMs }),
        ...(isGrowing ? { stallMs: GROWING_STALL_MS, interimMs: GROWING_INTERIM_MS } : {}),
      },
      ...(onInterim === undefined ? {} : { onInterim }),
      ...(signal === undefined ? {} : { signal }),
    });
    try {
      return {
        peer,
        address: hostAndPort(route.address, peer.registryPort),
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
  if (status === 429) throw new BusyError("peer is busy", retryAfterMs(headers.get("retry-after")));
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
  if (range !== undefined && !isAskedFor(request.range, range)) {
    throw new PeerError("peer answered with another range");
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
    hasChunks: headers.has(CHUNKS_HEADER.toLowerCase()),
    load: parseLoad(headers.get(LOAD_HEADER.toLowerCase())),
    response,
  };
}

function isAskedFor(
  asked: string | undefined,
  range: { start: number; end: number; size: number },
): boolean {
  const [first, last] = /^bytes=([0-9]*)-([0-9]*)$/.exec(asked ?? "")?.slice(1) ?? [];
  if (first === undefined || last === undefined) return false;
  const { start, end, size } = range;
  if (first === "") return start === Math.max(0, size - Number(last)) && end === size - 1;
  return start === Number(first) && end === Math.min(size - 1, last === "" ? size : Number(last));
}

function parseLoad(text: string | undefined): number | undefined {
  return /^(?:0(?:\.[0-9]{1,3})?|1)$/.test(text ?? "") ? Number(text) : undefined;
}

function retryAfterMs(text: string | undefined): number {
  return /^[0-9]{1,4}$/.test(text ?? "") ? Number(text) * 1000 : DEFAULT_BUSY_MS;
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
