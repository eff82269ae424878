/**
 * The registry: what is answered to a request of the distribution specification's pull and discovery categories. Knows nothing
 * of sockets; `registry_server.ts` carries requests to it and answers away.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pull
 * @module
 */
import { NotFoundError, RangeNotSatisfiableError } from "../errors.ts";
import type { TransferLimits } from "../net/transfer_limits.ts";
import type { Logger } from "../observability/logger.ts";
import { CHUNK_SIZE, type ChunkList } from "../oci/chunk_list.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import {
  type DistributionPath,
  type ListPath,
  namespaceOf,
  parseDistributionPath,
  parseListPath,
} from "../oci/distribution.ts";
import { DistributionError } from "../oci/distribution_error.ts";
import type { ReferenceFilter } from "../oci/filter.ts";
import { OCTET_STREAM } from "../oci/media_types.ts";
import type { Router } from "../routing/router.ts";
import {
  CHUNKS_HEADER,
  CHUNKS_PATH,
  GROWING_HEADER,
  LOAD_HEADER,
} from "../transfer/peer_client.ts";
import { contentAnswer, failureAnswer, textAnswer, unknown, V2_HEADERS } from "./answers.ts";
import { type Credentials, isAuthorized } from "./basic_auth.ts";
import { ContentFinder, type ContentFinderOptions } from "./content_finder.ts";
import { Lists } from "./lists.ts";
import { isFromPeer, NODE_HEADER, type RegistryAnswer, type RegistryRequest } from "./messages.ts";

/** Options of {@linkcode Registry}. */
export interface RegistryOptions extends ContentFinderOptions {
  readonly router: Router;
  readonly filter: ReferenceFilter;
  /** Registry that is meant by clients that send no `ns`. */
  readonly defaultRegistry: string;
  /** Bounds on what is sent to peers. */
  readonly uploads: TransferLimits;
  /** Finds the list of a content's chunks, if there is one. */
  readonly chunkList: (digest: Digest) => Promise<ChunkList | undefined>;
  /** Wanted from clients below `/v2/` and `/kagami/`; none if left out. */
  readonly credentials?: Credentials;
  readonly log: Logger;
}

/** Answers pull requests from the local store, else from peers. */
export class Registry {
  readonly #options: RegistryOptions;
  readonly #finder: ContentFinder;
  readonly #lists: Lists;

  /**
   * @param options Where content comes from, and who may have it.
   */
  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#finder = new ContentFinder(options);
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
      return textAnswer(request, 404, "not found\n", { handler: "registry" });
    } catch (error) {
      return failureAnswer(request, error, { handler: "registry" });
    }
  }

  /** Alive as long as a restart would change nothing. */
  async #liveness(request: RegistryRequest): Promise<RegistryAnswer> {
    const status = await this.#options.store.status();
    const isLost = !status.ready && status.lost === true;
    const words = isLost ? status.detail : "ok";
    return textAnswer(request, isLost ? 503 : 200, `${words}\n`, { handler: "livez" });
  }

  async #readiness(request: RegistryRequest): Promise<RegistryAnswer> {
    const { store, router } = this.#options;
    const [storeStatus, routerStatus] = await Promise.all([store.status(), router.status()]);
    const ready = storeStatus.ready && routerStatus.ready;
    const lines = [
      `${store.name}: ${storeStatus.ready ? "ready" : "not ready"}: ${storeStatus.detail}`,
      `${router.name}: ${routerStatus.ready ? "ready" : "not ready"}: ${routerStatus.detail}`,
    ];
    const answer = textAnswer(request, ready ? 200 : 503, lines.join("\n") + "\n", {
      handler: "readyz",
    });
    return { ...answer, headers: { ...answer.headers, [NODE_HEADER]: router.self().id } };
  }

  /** A list of chunks, for peers that fetch the content. */
  async #chunks(request: RegistryRequest): Promise<RegistryAnswer> {
    this.#checkMethod(request);
    this.#checkMember(request);
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

  #checkMethod(request: RegistryRequest): void {
    if (request.method !== "GET" && request.method !== "HEAD") {
      throw new DistributionError("UNSUPPORTED", "this mirror only serves pulls");
    }
  }

  /** Whether a client sends the credentials of the cluster, if there are any. */
  #isMember(request: RegistryRequest): boolean {
    const { credentials } = this.#options;
    return credentials === undefined || isAuthorized(request.header("authorization"), credentials);
  }

  #checkMember(request: RegistryRequest): void {
    if (!this.#isMember(request)) {
      throw new DistributionError("UNAUTHORIZED", "invalid credentials");
    }
  }

  /**
   * Credentials for the upstream registry prove more than those of the cluster, in whose place containerd sends them once
   * it was asked for them. Peers have proven nothing upstream, but their clients have.
   */
  async #checkAccess(request: RegistryRequest, path: DistributionPath | ListPath): Promise<void> {
    const { access, credentials } = this.#options;
    const authorization = request.header("authorization");
    const isMember = this.#isMember(request);
    const mayProve = isMember || authorization !== undefined;
    if (!access?.covers(path) || isFromPeer(request) || !mayProve) {
      return this.#checkMember(request);
    }
    const isOwn = credentials !== undefined && isMember;
    await access.admit(path, isOwn ? undefined : authorization);
  }

  async #v2(request: RegistryRequest): Promise<RegistryAnswer> {
    const { filter, defaultRegistry, access } = this.#options;
    // Without private content nobody learns anything without the cluster's credentials.
    if (access === undefined) this.#checkMember(request);
    this.#checkMethod(request);
    const { pathname } = request.url;
    if (pathname === "/v2" || pathname === "/v2/") {
      this.#checkMember(request);
      return textAnswer(request, 200, "{}", { handler: "v2" }, "application/json");
    }
    const namespace = namespaceOf(request.url);
    const list = parseListPath(pathname, namespace, defaultRegistry);
    if (list !== undefined) {
      await this.#checkAccess(request, list);
      return await this.#list(request, list);
    }
    const path = parseDistributionPath(pathname, namespace, defaultRegistry);
    if (!filter.allows(path)) {
      this.#checkMember(request);
      const error = unknown(path, "not mirrored, by configuration");
      return failureAnswer(request, error, { handler: "registry", path });
    }
    await this.#checkAccess(request, path);
    return await this.#pull(request, path);
  }

  async #list(request: RegistryRequest, path: ListPath): Promise<RegistryAnswer> {
    const { searchParams } = request.url;
    const { contentType, text: json, headers } = await this.#lists.list(
      path,
      searchParams,
      request.signal,
    );
    const answer = textAnswer(request, 200, json, { handler: "registry" }, contentType);
    return { ...answer, headers: { ...answer.headers, ...headers, ...V2_HEADERS } };
  }

  async #pull(request: RegistryRequest, path: DistributionPath): Promise<RegistryAnswer> {
    const isFromMirror = isFromPeer(request);
    const local = { handler: "registry", path } as const;
    try {
      const content = isFromMirror
        ? await this.#finder.forPeer(request, path)
        : await this.#finder.local(request, path);
      const answer = contentAnswer(request, content, local);
      return isFromMirror ? this.#toPeer(request, answer) : answer;
    } catch (error) {
      if (error instanceof RangeNotSatisfiableError || isFromMirror) {
        return failureAnswer(request, error, local);
      }
      // Not there, or containerd cannot be asked: a peer may still have it.
      if (!(error instanceof NotFoundError)) {
        this.#options.log.warn("local store failed, asking peers", { key: path.key, error });
      }
    }
    const mirrored = { handler: "mirror", path } as const;
    try {
      return contentAnswer(request, await this.#finder.mirrored(request, path), mirrored);
    } catch (error) {
      return failureAnswer(request, error, mirrored);
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
      return failureAnswer(request, new DistributionError("TOOMANYREQUESTS", "too busy"), facts);
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
}
