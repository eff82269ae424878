/**
 * Finds the content that a request asks for: in the local store, at a peer that has it, or on its way to one of them.
 *
 * @module
 */
import type { AccessGate } from "../access/gate.ts";
import { NotFoundError, VerificationError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import type { DigestPath, DistributionPath } from "../oci/distribution.ts";
import { isManifestMediaType, OCTET_STREAM } from "../oci/media_types.ts";
import type { Tracing } from "../observability/tracing.ts";
import type { TagReference } from "../oci/reference.ts";
import type { PeerSource } from "../routing/peer_source.ts";
import type { ByteRange, ContentReader, Descriptor, Store } from "../store/store.ts";
import type { Mirror } from "../transfer/mirror.ts";
import { GROWING_HEADER } from "../transfer/peer_client.ts";
import { type Credentials, isAuthorized } from "./basic_auth.ts";
import { arrival } from "./growing.ts";
import { type RegistryRequest, UPSTREAM_SOURCE } from "./messages.ts";
import { canonicalRange, parseRange } from "./range.ts";
import { rangeHeader, wantsBody } from "./wanted.ts";

/** Downloads in progress, shared with other nodes. */
export interface Sharing {
  /**
   * Finds out how to get a content that nobody has.
   *
   * @param key Digest of the content.
   * @param offset First byte that is wanted.
   * @param signal Ends the question.
   * @param isQueueing Whether the client queues what it is told to fetch behind other requests to the mirror.
   * @returns Where to get it from; undefined if it is to come from upstream.
   */
  join(
    key: string,
    offset: number,
    signal: AbortSignal,
    isQueueing: boolean,
  ): Promise<PeerSource | undefined>;
  /**
   * Finds out what a tag stands for that nobody has.
   *
   * @param tag The tag.
   * @param signal Ends the question.
   * @returns What upstream says to anybody; undefined if containerd is to ask itself.
   */
  resolve(tag: TagReference, signal: AbortSignal): Promise<Descriptor | undefined>;
  /** How this node stands with a content; undefined if it does nothing about it. */
  state(key: string): "fetching" | "following" | "failed" | undefined;
  /** Whether a content waits in the queue of the containerd that is to fetch it. */
  isQueued(key: string): boolean;
}

/** Content that was found for a request. */
export interface Content {
  readonly descriptor: Descriptor;
  /** As in `SOURCE_HEADER`. */
  readonly source: string;
  /** Part that is sent, if it is not all of the content. */
  readonly range?: ByteRange | undefined;
  /** None if the answer is one without content. */
  readonly body?: Uint8Array | ContentReader | undefined;
  /** True if it is still being written into the store. */
  readonly isGrowing?: boolean;
}

/**
 * With this containerd 2 begins to fetch a layer in parallel parts, if it is set so. When one of the later parts fails
 * the pull fails, without a look at upstream; and peers may vanish. A 200 for it, which RFC 9110, 14.2 allows, makes
 * containerd take the layer in one piece, which it goes on with upstream.
 */
const ALL_BYTES = "bytes=0-";

/**
 * From 2.0 on containerd has a request to one host behind it when it sends that to the next one, and sends others first that
 * have waited longer.
 */
const QUEUEING_CLIENT = /^containerd\/v?(?:[2-9]|[1-9][0-9])/;

/** Where {@linkcode ContentFinder} looks. */
export interface ContentFinderOptions {
  readonly store: Store;
  readonly mirror: Mirror;
  /** Left out if downloads in progress are not shared. */
  readonly sharing?: Sharing;
  /** Of the cluster; left out if clients need none. */
  readonly credentials?: Credentials;
  /** Left out if no content is private. */
  readonly access?: AccessGate;
  /** Left out where traces are off. */
  readonly tracing?: Tracing;
}

/** Finds content, here and at other nodes. */
export class ContentFinder {
  readonly #options: ContentFinderOptions;

  /**
   * @param options Where to look.
   */
  constructor(options: ContentFinderOptions) {
    this.#options = options;
  }

  /**
   * Finds content for a peer: what is asked for by one that was sent here may be on its way.
   *
   * @param request The request.
   * @param path What it asks for.
   * @returns The content.
   * @throws {NotFoundError} If it is not here.
   */
  async forPeer(request: RegistryRequest, path: DistributionPath): Promise<Content> {
    const { sharing } = this.#options;
    const { digest } = path;
    const isAwaited = request.header(GROWING_HEADER.toLowerCase()) === "true";
    if (sharing === undefined || digest === undefined || !isAwaited || request.method !== "GET") {
      return await this.local(request, path);
    }
    return await arrival({
      complete: () => this.local(request, path),
      // Manifests are small, and sent when they are complete.
      growing: async (signal) =>
        path.kind === "blobs" ? await this.#growing(request, path, digest, signal) : undefined,
      isHopeless: () => sharing.state(digest) === "failed",
      isQueued: () => sharing.isQueued(digest),
      signal: request.signal,
    });
  }

  async #growing(
    request: RegistryRequest,
    path: DistributionPath,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<Content | undefined> {
    await this.#options.access?.checkName(path, digest);
    const ingest = await this.#options.store.ingests?.find(digest);
    if (ingest === undefined) return undefined;
    const range = parseRange(rangeHeader(request, digest), ingest.total);
    if (ingest.offset <= (range?.start ?? 0)) return undefined;
    const body = await ingest.open(range, signal);
    const descriptor = { digest, mediaType: OCTET_STREAM, size: ingest.total };
    return { descriptor, source: "local", range, body, isGrowing: true };
  }

  /**
   * Finds content in the store of this node.
   *
   * @param request The request.
   * @param path What it asks for.
   * @returns The content.
   * @throws {NotFoundError} If it is not here.
   */
  async local(request: RegistryRequest, path: DistributionPath): Promise<Content> {
    const { store } = this.#options;
    const source = "local";
    const digest = path.digest ?? await store.resolve(path.key);
    await this.#options.access?.checkName(path, digest);
    const descriptor = await store.descriptor(digest);
    if (path.kind === "manifests" && !isManifestMediaType(descriptor.mediaType)) {
      throw new NotFoundError(`${digest} is not a manifest`);
    }
    if (!wantsBody(request, digest)) return { descriptor, source };
    const kept = path.kind === "manifests" ? store.kept?.(digest) : undefined;
    if (kept?.length === descriptor.size) return { descriptor, source, body: kept };
    const range = path.kind === "blobs"
      ? parseRange(rangeHeader(request, digest), descriptor.size)
      : undefined;
    const body = await store.open(digest, range);
    if (body.size === descriptor.size) return { descriptor, source, range, body };
    await body.close();
    throw new VerificationError(`${digest} has ${body.size} bytes instead of ${descriptor.size}`);
  }

  /**
   * Finds content at other nodes: one that has it, else one that is getting it.
   *
   * @param request The request.
   * @param path What it asks for.
   * @returns The content.
   * @throws {NotFoundError} If no peer delivers it.
   */
  async mirrored(request: RegistryRequest, path: DistributionPath): Promise<Content> {
    try {
      return await this.#fromPeers(request, path);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      const descriptor = await this.#resolve(request, path);
      if (descriptor !== undefined) return await this.#resolved(request, path, descriptor);
      const source = await this.#join(request, path);
      if (source === undefined) throw error;
      return await this.#fromPeers(request, path, source);
    }
  }

  /** What a tag stands for that no node has. Upstream is asked as anybody, so not on behalf of somebody. */
  async #resolve(
    request: RegistryRequest,
    path: DistributionPath,
  ): Promise<Descriptor | undefined> {
    const { sharing, access, credentials } = this.#options;
    const { registry, repository, tag, digest } = path;
    if (sharing === undefined || tag === undefined || digest !== undefined) return undefined;
    const authorization = request.header("authorization");
    const isAnybody = authorization === undefined ||
      (credentials !== undefined && isAuthorized(authorization, credentials));
    if (!isAnybody || access?.covers(path)) return undefined;
    return await sharing.resolve({ registry, repository, tag }, request.signal);
  }

  async #resolved(
    request: RegistryRequest,
    path: DistributionPath,
    descriptor: Descriptor,
  ): Promise<Content> {
    const { digest } = descriptor;
    if (!wantsBody(request, digest)) return { descriptor, source: UPSTREAM_SOURCE };
    const { kind, registry, repository } = path;
    const byDigest = { kind, registry, repository, digest, key: digest };
    try {
      return await this.local(request, byDigest);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      return await this.mirrored(request, byDigest);
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
    const { tracing } = this.#options;
    const isQueueing = QUEUEING_CLIENT.test(request.header("user-agent") ?? "");
    const join = () => sharing.join(digest, Number(offset), request.signal, isQueueing);
    if (tracing === undefined) return await join();
    return await tracing.run("share", { "kagami.offset": Number(offset) }, async (span) => {
      const source = await join();
      span.set({ "kagami.share.decision": source === undefined ? "upstream" : "follow" });
      return source;
    });
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
}
