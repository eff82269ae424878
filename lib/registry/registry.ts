/**
 * The registry: what is answered to a request of the distribution specification's pull and discovery categories. Knows nothing
 * of sockets; `registry_server.ts` carries requests to it and answers away.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pull
 * @module
 */
import { NotFoundError, RangeNotSatisfiableError, VerificationError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import {
  type DigestPath,
  type DistributionPath,
  type ListPath,
  parseDistributionPath,
  parseListPath,
} from "../oci/distribution.ts";
import { DistributionError } from "../oci/distribution_error.ts";
import type { ReferenceFilter } from "../oci/filter.ts";
import { isManifestMediaType, OCTET_STREAM } from "../oci/media_types.ts";
import type { Logger } from "../observability/logger.ts";
import type { ChunkList } from "../oci/chunk_list.ts";
import { CHUNK_SIZE } from "../oci/chunk_list.ts";
import { isDigest } from "../oci/digest.ts";
import type { TransferLimits, TransferSlot } from "../net/transfer_limits.ts";
import type { PeerSource } from "../routing/peer_source.ts";
import type { Router } from "../routing/router.ts";
import type { ByteRange, ContentReader, Descriptor, Store } from "../store/store.ts";
import type { Mirror } from "../transfer/mirror.ts";
import {
  CHUNKS_HEADER,
  CHUNKS_PATH,
  GROWING_HEADER,
  LOAD_HEADER,
  MIRRORED_HEADER,
} from "../transfer/peer_client.ts";
import { type Credentials, isAuthorized } from "./basic_auth.ts";
import { entityTag, evaluatePreconditions, rangeApplies } from "./conditional.ts";
import { arrival } from "./growing.ts";
import { Lists } from "./lists.ts";
import { canonicalRange, parseRange } from "./range.ts";

/** Header that tells where the content came from: `local`, or `peer <host:port>`. */
export const SOURCE_HEADER = "X-Kagami-Source";

/** Header of `/readyz` that tells which node answers: its identity in the router's network. */
export const NODE_HEADER = "X-Kagami-Node";

/** A request as the registry sees it. */
export interface RegistryRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: URL;
  /** @returns Value of a header, given its lower-case name. */
  header(name: string): string | undefined;
  /** IP address of the client. */
  readonly client: string;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

/** Facts about an answer, for metrics and logs. */
export interface AnswerFacts {
  /** Which part answered; the same names as Spegel's. */
  readonly handler: "readyz" | "livez" | "v2" | "registry" | "mirror";
  /** What was asked for, as far as the request made sense. */
  readonly path?: DistributionPath;
  /** Where content came from, as in {@linkcode SOURCE_HEADER}. Only of answers that carry content. */
  readonly source?: string;
  /** True if the content was still being written into the store when it was asked for. */
  readonly isGrowing?: boolean;
  /** Why there is no content. */
  readonly error?: unknown;
}

/** An answer, ready to be sent. */
export interface RegistryAnswer {
  readonly status: number;
  /** `Content-Length` included. */
  readonly headers: Readonly<Record<string, string>>;
  /** Small bodies are bytes, content is a reader that must be closed. None for HEAD. */
  readonly body: Uint8Array | ContentReader | undefined;
  /** Paces a body that goes to a peer; must be released when it is over. */
  readonly upload?: TransferSlot;
  readonly facts: AnswerFacts;
}

/** Downloads in progress, shared with other nodes. */
export interface Sharing {
  /**
   * Finds out how to get a content that nobody has.
   *
   * @param key Digest of the content.
   * @param offset First byte that is wanted.
   * @param signal Ends the question.
   * @returns Where to get it from; undefined if it is to come from upstream.
   */
  join(key: string, offset: number, signal: AbortSignal): Promise<PeerSource | undefined>;
  /** How this node stands with a content; undefined if it does nothing about it. */
  state(key: string): "fetching" | "following" | "failed" | undefined;
}

/** Options of {@linkcode Registry}. */
export interface RegistryOptions {
  readonly store: Store;
  readonly router: Router;
  readonly mirror: Mirror;
  readonly filter: ReferenceFilter;
  /** Registry that is meant by clients that send no `ns`. */
  readonly defaultRegistry: string;
  /** Bounds on what is sent to peers. */
  readonly uploads: TransferLimits;
  /** Finds the list of a content's chunks, if there is one. */
  readonly chunkList: (digest: Digest) => Promise<ChunkList | undefined>;
  /** Left out if downloads in progress are not shared. */
  readonly sharing?: Sharing;
  /** Wanted from clients below `/v2/` and `/kagami/`; none if left out. */
  readonly credentials?: Credentials;
  readonly log: Logger;
}

interface Content {
  readonly descriptor: Descriptor;
  readonly source: string;
  /** Part that is sent, if it is not all of the content. */
  readonly range?: ByteRange | undefined;
  /** None if the answer is one without content. */
  readonly body?: Uint8Array | ContentReader | undefined;
  readonly isGrowing?: boolean;
}

/**
 * With this containerd 2 begins to fetch a layer in parallel parts, if it is set so. When one of the later parts fails
 * the pull fails, without a look at upstream; and peers may vanish. A 200 for it, which RFC 9110, 14.2 allows, makes
 * containerd take the layer in one piece, which it goes on with upstream.
 */
const ALL_BYTES = "bytes=0-";

const encoder = new TextEncoder();

/** Answers pull requests from the local store, else from peers. */
export class Registry {
  readonly #options: RegistryOptions;
  readonly #lists: Lists;

  /**
   * @param options Where content comes from, and who may have it.
   */
  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#lists = new Lists(options.store, options.filter);
  }

  /**
   * Answers one request.
   *
   * @param request The request.
   * @returns The answer. Never throws: what goes wrong becomes an error answer.
   */
  async answer(request: RegistryRequest): Promise<RegistryAnswer> {
    const { pathname } = request.url;
    try {
      if (pathname === "/livez") return await this.#liveness(request);
      if (pathname === "/readyz") return await this.#readiness(request);
      if (pathname === "/v2" || pathname.startsWith("/v2/")) return await this.#v2(request);
      if (pathname.startsWith(CHUNKS_PATH)) return await this.#chunks(request);
      return text(request, 404, "not found\n", { handler: "registry" });
    } catch (error) {
      return this.failure(request, error, { handler: "registry" });
    }
  }

  /** Alive as long as a restart would change nothing. */
  async #liveness(request: RegistryRequest): Promise<RegistryAnswer> {
    const status = await this.#options.store.status();
    const isLost = !status.ready && status.lost === true;
    const words = isLost ? status.detail : "ok";
    return text(request, isLost ? 503 : 200, `${words}\n`, { handler: "livez" });
  }

  async #readiness(request: RegistryRequest): Promise<RegistryAnswer> {
    const { store, router } = this.#options;
    const [storeStatus, routerStatus] = await Promise.all([store.status(), router.status()]);
    const ready = storeStatus.ready && routerStatus.ready;
    const lines = [
      `${store.name}: ${storeStatus.ready ? "ready" : "not ready"}: ${storeStatus.detail}`,
      `${router.name}: ${routerStatus.ready ? "ready" : "not ready"}: ${routerStatus.detail}`,
    ];
    const answer = text(request, ready ? 200 : 503, lines.join("\n") + "\n", {
      handler: "readyz",
    });
    return { ...answer, headers: { ...answer.headers, [NODE_HEADER]: router.self().id } };
  }

  /** A list of chunks, for peers that fetch the content. */
  async #chunks(request: RegistryRequest): Promise<RegistryAnswer> {
    this.#check(request);
    const digest = request.url.pathname.slice(CHUNKS_PATH.length);
    const list = isDigest(digest) ? await this.#options.chunkList(digest) : undefined;
    if (list === undefined) throw new NotFoundError(`no chunks of ${digest}`);
    const headers = {
      "Content-Type": OCTET_STREAM,
      "Content-Length": String(list.bytes.length),
    };
    const body = request.method === "HEAD" ? undefined : list.bytes;
    return { status: 200, headers, body, facts: { handler: "registry" } };
  }

  /** What holds for everything below `/v2/` and `/kagami/`: credentials, if they are wanted, and no changes. */
  #check(request: RegistryRequest): void {
    const { credentials } = this.#options;
    if (credentials && !isAuthorized(request.header("authorization"), credentials)) {
      throw new DistributionError("UNAUTHORIZED", "invalid credentials");
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      throw new DistributionError("UNSUPPORTED", "this mirror only serves pulls");
    }
  }

  async #v2(request: RegistryRequest): Promise<RegistryAnswer> {
    const { filter, defaultRegistry } = this.#options;
    this.#check(request);
    const { pathname, searchParams } = request.url;
    if (pathname === "/v2" || pathname === "/v2/") {
      return text(request, 200, "{}", { handler: "v2" }, "application/json");
    }
    const list = parseListPath(pathname, searchParams.get("ns"), defaultRegistry);
    if (list !== undefined) return await this.#list(request, list);
    const path = parseDistributionPath(pathname, searchParams.get("ns"), defaultRegistry);
    if (!filter.allows(path)) {
      const error = unknown(path, "not mirrored, by configuration");
      return this.failure(request, error, { handler: "registry", path });
    }
    return await this.#pull(request, path);
  }

  async #list(request: RegistryRequest, path: ListPath): Promise<RegistryAnswer> {
    const { searchParams } = request.url;
    const { contentType, text: json, headers } = await this.#lists.list(
      path,
      searchParams,
      request.signal,
    );
    const answer = text(request, 200, json, { handler: "registry" }, contentType);
    return { ...answer, headers: { ...answer.headers, ...headers, ...V2_HEADERS } };
  }

  async #pull(request: RegistryRequest, path: DistributionPath): Promise<RegistryAnswer> {
    const isFromMirror = request.header(MIRRORED_HEADER.toLowerCase()) === "true";
    const local = { handler: "registry", path } as const;
    try {
      const content = isFromMirror
        ? await this.#forPeer(request, path)
        : await this.#local(request, path);
      const answer = this.#send(request, content, local);
      return isFromMirror ? this.#toPeer(request, answer) : answer;
    } catch (error) {
      if (error instanceof RangeNotSatisfiableError || isFromMirror) {
        return this.failure(request, error, local);
      }
      // Not there, or containerd cannot be asked: a peer may still have it.
      if (!(error instanceof NotFoundError)) {
        this.#options.log.warn("local store failed, asking peers", { key: path.key, error });
      }
    }
    const mirrored = { handler: "mirror", path } as const;
    try {
      return this.#send(request, await this.#mirrored(request, path), mirrored);
    } catch (error) {
      return this.failure(request, error, mirrored);
    }
  }

  /** Tells a peer what only peers want to know, and holds the answer to the limits. */
  #toPeer(request: RegistryRequest, answer: RegistryAnswer): RegistryAnswer {
    const { uploads } = this.#options;
    const { body, facts } = answer;
    const isBody = body !== undefined && "read" in body;
    const upload = isBody ? uploads.admit(request.client) : undefined;
    if (isBody && upload === undefined) {
      void body.close();
      return this.failure(request, new DistributionError("TOOMANYREQUESTS", "too busy"), facts);
    }
    const isWhole = isBody && !facts.isGrowing;
    const hasChunks = isWhole && facts.path?.kind === "blobs" && body.size > CHUNK_SIZE;
    const headers = {
      ...answer.headers,
      [LOAD_HEADER]: uploads.load.toFixed(2),
      ...(hasChunks ? { [CHUNKS_HEADER]: String(CHUNK_SIZE) } : {}),
      ...(facts.isGrowing ? { [GROWING_HEADER]: "true" } : {}),
    };
    return { ...answer, headers, ...(upload === undefined ? {} : { upload }) };
  }

  /** What is asked for by a peer that was sent here may be on its way. */
  async #forPeer(request: RegistryRequest, path: DistributionPath): Promise<Content> {
    const { sharing } = this.#options;
    const { digest } = path;
    const isAwaited = request.header(GROWING_HEADER.toLowerCase()) === "true";
    if (sharing === undefined || digest === undefined || !isAwaited || request.method !== "GET") {
      return await this.#local(request, path);
    }
    return await arrival({
      complete: () => this.#local(request, path),
      // Manifests are small, and sent when they are complete.
      growing: async (signal) =>
        path.kind === "blobs" ? await this.#growing(request, digest, signal) : undefined,
      isHopeless: () => sharing.state(digest) === "failed",
      signal: request.signal,
    });
  }

  async #growing(
    request: RegistryRequest,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<Content | undefined> {
    const ingest = await this.#options.store.ingests?.find(digest);
    if (ingest === undefined) return undefined;
    const range = parseRange(rangeHeader(request, digest), ingest.total);
    if (ingest.offset <= (range?.start ?? 0)) return undefined;
    const body = await ingest.open(range, signal);
    const descriptor = { digest, mediaType: OCTET_STREAM, size: ingest.total };
    return { descriptor, source: "local", range, body, isGrowing: true };
  }

  async #local(request: RegistryRequest, path: DistributionPath): Promise<Content> {
    const { store } = this.#options;
    const source = "local";
    const digest = path.digest ?? await store.resolve(path.key);
    const descriptor = await store.descriptor(digest);
    if (path.kind === "manifests" && !isManifestMediaType(descriptor.mediaType)) {
      throw new NotFoundError(`${digest} is not a manifest`);
    }
    if (!wantsBody(request, digest)) return { descriptor, source };
    const range = path.kind === "blobs"
      ? parseRange(rangeHeader(request, digest), descriptor.size)
      : undefined;
    const body = await store.open(digest, range);
    if (body.size === descriptor.size) return { descriptor, source, range, body };
    await body.close();
    throw new VerificationError(`${digest} has ${body.size} bytes instead of ${descriptor.size}`);
  }

  /** From a peer that has it, else from one that is getting it. */
  async #mirrored(request: RegistryRequest, path: DistributionPath): Promise<Content> {
    try {
      return await this.#fromPeers(request, path);
    } catch (error) {
      const source = error instanceof NotFoundError ? await this.#join(request, path) : undefined;
      if (source === undefined) throw error;
      return await this.#fromPeers(request, path, source);
    }
  }

  async #join(request: RegistryRequest, path: DistributionPath): Promise<PeerSource | undefined> {
    const { sharing } = this.#options;
    const { digest } = path;
    if (sharing === undefined || digest === undefined) return undefined;
    if (!wantsBody(request, digest)) return undefined;
    const range = path.kind === "blobs" ? canonicalRange(rangeHeader(request, digest)) : undefined;
    const offset = range === undefined ? "0" : /^bytes=([0-9]+)-/.exec(range)?.[1];
    // Where the end of a content lies only those know who have it.
    if (offset === undefined) return undefined;
    return await sharing.join(digest, Number(offset), request.signal);
  }

  async #fromPeers(
    request: RegistryRequest,
    path: DistributionPath,
    peers?: PeerSource,
  ): Promise<Content> {
    const { mirror } = this.#options;
    const { signal } = request;
    if (path.kind === "manifests") {
      const { descriptor, bytes, from } = await mirror.manifest(path, signal, peers);
      const body = wantsBody(request, descriptor.digest) ? bytes : undefined;
      return { descriptor, source: `peer ${from}`, body };
    }
    const blob = path as DigestPath; // The path parser lets blobs pass by digest only.
    if (!wantsBody(request, blob.digest)) {
      const { descriptor, from } = await mirror.describeBlob(blob, signal);
      return { descriptor, source: `peer ${from}` };
    }
    const range = canonicalRange(rangeHeader(request, blob.digest));
    const wanted = range === ALL_BYTES ? undefined : range;
    const { descriptor, reader, from } = await mirror.blob(blob, wanted, signal, peers);
    const sent = wanted === undefined ? undefined : { start: reader.start, end: reader.end };
    return { descriptor, source: `peer ${from}`, range: sent, body: reader };
  }

  #send(request: RegistryRequest, content: Content, from: AnswerFacts): RegistryAnswer {
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
      return this.failure(request, error, facts);
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
   * Makes an error answer. Public so that a body that fails before its first byte can become one, too.
   *
   * @param request The request.
   * @param error What went wrong.
   * @param facts Facts for the log; the error is added, and a source taken away: none of its content is sent.
   * @returns The answer.
   */
  failure(request: RegistryRequest, error: unknown, facts: AnswerFacts): RegistryAnswer {
    const { source: _source, isGrowing: _isGrowing, ...rest } = facts;
    const headers: Record<string, string> = { ...V2_HEADERS };
    if (error instanceof RangeNotSatisfiableError) {
      headers["Content-Range"] = `bytes */${error.size}`;
    }
    const shown = asDistributionError(error, facts.path);
    if (shown.status === 401) headers["WWW-Authenticate"] = 'Basic realm="kagami"';
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
}

const V2_HEADERS = { "Docker-Distribution-API-Version": "registry/2.0" } as const;

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

function unknown(path: DistributionPath | undefined, message: string): DistributionError {
  return new DistributionError(codeFor(path), message, {
    ...(path === undefined ? {} : { detail: { key: path.key } }),
  });
}

/** @returns False for HEAD, and where a condition decides that the content is not sent. */
function wantsBody(request: RegistryRequest, digest: Digest): boolean {
  return request.method !== "HEAD" &&
    evaluatePreconditions(conditions(request), digest) === "proceed";
}

function rangeHeader(request: RegistryRequest, digest: Digest): string | undefined {
  return rangeApplies(conditions(request), digest) ? request.header("range") : undefined;
}

function conditions(request: RegistryRequest): Parameters<typeof evaluatePreconditions>[0] {
  return {
    "if-match": request.header("if-match"),
    "if-none-match": request.header("if-none-match"),
    "if-range": request.header("if-range"),
  };
}

function text(
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
