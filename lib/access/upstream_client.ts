/**
 * Asks an upstream registry by HEAD, whose body never comes: whether it would hand out what somebody wants, with their
 * credentials, or what a tag stands for. Only registries that the operator listed are asked, at the address that the
 * operator's files give.
 *
 * @module
 */
import * as http from "node:http";
import * as https from "node:https";
import { Buffer } from "node:buffer";
import { UnavailableError } from "../errors.ts";
import type { Logger } from "../observability/logger.ts";
import { VERSION } from "../version.ts";
import type { Upstream } from "./upstream_settings.ts";

/** Longest wait for a registry's answer, redirects included, in milliseconds. */
export const CHECK_TIMEOUT_MS = 5000;

/** Most redirects that are followed. */
export const MAX_REDIRECTS = 3;

/** Longest challenge that is passed on, in characters. */
export const MAX_CHALLENGE_LENGTH = 4096;

/** Most connections to one registry. */
export const MAX_UPSTREAM_CONNECTIONS = 8;

/** What somebody wants to have. */
export interface AccessQuestion {
  readonly registry: string;
  readonly repository: string;
  /** Path of the request below the repository: `manifests/<reference>`, `blobs/<digest>` or `tags/list`. */
  readonly path: string;
  /** Value of their `Authorization` header. */
  readonly authorization: string | undefined;
}

/** What the registry says. */
export type UpstreamAnswer =
  | { readonly result: "granted" }
  | { readonly result: "refused"; readonly challenge?: string }
  | { readonly result: "unreachable" };

/** Media types of manifests, as containerd names them. */
const ACCEPT = [
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.oci.image.index.v1+json",
  "*/*",
].join(", ");

/** What says that a registry is away, and nothing about access. */
export const UNAVAILABLE: readonly number[] = [502, 503, 504];

/** Options of {@linkcode UpstreamClient}. */
export interface UpstreamClientOptions {
  /** Finds out how a registry is reached. */
  readonly settings: (registry: string) => Promise<Upstream>;
  readonly log: Logger;
  /** Default: {@linkcode CHECK_TIMEOUT_MS}. */
  readonly timeoutMs?: number;
}

interface Reached {
  /** What the agent was made from. */
  readonly upstream: Upstream;
  readonly agent: http.Agent;
}

/** What a registry answered. */
export interface UpstreamHead {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, readonly string[] | undefined>>;
}

/** Asks upstream registries. */
export class UpstreamClient {
  readonly #options: UpstreamClientOptions;
  /** By registry; only listed ones are asked. */
  readonly #reached = new Map<string, Reached>();

  /**
   * @param options How registries are reached.
   */
  constructor(options: UpstreamClientOptions) {
    this.#options = options;
  }

  /**
   * Asks whether somebody may have something.
   *
   * @param question Who and what.
   * @returns What the registry says. Never rejects.
   */
  async ask(question: AccessQuestion): Promise<UpstreamAnswer> {
    const { registry } = question;
    try {
      return answerOf(await this.head(question));
    } catch (error) {
      this.#options.log.warn("an upstream registry cannot be asked for access", {
        registry,
        error,
      });
      return { result: "unreachable" };
    }
  }

  /**
   * Sends one question, and follows redirects.
   *
   * @param question What is asked for, and on whose behalf.
   * @param signal Ends it. Default: one that does so after the client's time.
   * @returns The registry's answer.
   * @throws {Error} If there is none.
   */
  async head(
    { registry, repository, path, authorization }: AccessQuestion,
    signal: AbortSignal = AbortSignal.timeout(this.#options.timeoutMs ?? CHECK_TIMEOUT_MS),
  ): Promise<UpstreamHead> {
    const { upstream, agent } = await this.#reach(registry);
    const first = new URL(`${upstream.base}/${repository}/${path}`);
    // A list has no HEAD in all registries; its body is not read.
    const method = path.startsWith("tags/") ? "GET" : "HEAD";
    let url = first;
    for (let redirects = 0;; redirects++) {
      const isOwn = url.origin === first.origin;
      const head = await send(url, {
        method,
        signal,
        // Whoever a registry redirects to is no business of the client's credentials.
        headers: {
          "Accept": ACCEPT,
          "User-Agent": `kagami/${VERSION}`,
          ...(isOwn && authorization !== undefined ? { "Authorization": authorization } : {}),
        },
        agent: isOwn ? agent : undefined,
      });
      const next = redirectOf(head, url);
      if (next === undefined) return head;
      if (redirects >= MAX_REDIRECTS) throw new Error("too many redirects");
      if (next.protocol !== url.protocol && next.protocol !== "https:") {
        throw new Error(`redirected from ${url.protocol} to ${next.protocol}`);
      }
      url = next;
    }
  }

  /**
   * Reads a small body from where a registry sends those who ask it, without credentials.
   *
   * @param registry The registry, whose certificates are trusted there too, as containerd does.
   * @param url Where to; never from https to http.
   * @param maxBytes Most bytes of the body.
   * @param signal Ends it.
   * @returns The body; undefined if the answer is not 200, or too long.
   * @throws {UnavailableError} If the place is one that is not asked.
   */
  async read(
    registry: string,
    url: URL,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    const { upstream, agent } = await this.#reach(registry);
    const isSameKind = upstream.base.startsWith(url.protocol);
    if (url.protocol !== "https:" && (url.protocol !== "http:" || !isSameKind)) {
      throw new UnavailableError(`${registry} names ${url.origin}, which is not asked`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
    const { request } = url.protocol === "https:" ? https : http;
    const headers = { "Accept": "application/json", "User-Agent": `kagami/${VERSION}` };
    const options = { headers, signal, agent: isSameKind ? agent : undefined };
    request(url, options, (response) => {
      const parts: Buffer[] = [];
      let size = 0;
      const giveUp = () => {
        resolve(undefined);
        response.destroy();
      };
      response.on("error", reject).on("close", () => resolve(undefined));
      if (response.statusCode !== 200) return giveUp();
      response.on("data", (part: Buffer) => {
        size += part.length;
        parts.push(part);
        if (size > maxBytes) giveUp();
      });
      response.on("end", () => resolve(Buffer.concat(parts)));
    }).on("error", reject).end();
    return await promise;
  }

  async #reach(registry: string): Promise<Reached> {
    const upstream = await this.#options.settings(registry);
    const known = this.#reached.get(registry);
    if (known !== undefined && known.upstream === upstream) return known;
    known?.agent.destroy();
    const options = { keepAlive: true, maxSockets: MAX_UPSTREAM_CONNECTIONS, maxFreeSockets: 2 };
    const { ca, skipsVerification } = upstream;
    const agent = upstream.base.startsWith("https:")
      ? new https.Agent({
        ...options,
        rejectUnauthorized: !skipsVerification,
        ...(ca === undefined ? {} : { ca: [...ca] }),
      })
      : new http.Agent(options);
    const reached = { upstream, agent };
    this.#reached.set(registry, reached);
    return reached;
  }

  /** Closes all connections. */
  close(): void {
    for (const { agent } of this.#reached.values()) agent.destroy();
    this.#reached.clear();
  }
}

interface SendOptions {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly signal: AbortSignal;
  readonly agent: http.Agent | undefined;
}

function send(url: URL, { method, headers, signal, agent }: SendOptions): Promise<UpstreamHead> {
  const { promise, resolve, reject } = Promise.withResolvers<UpstreamHead>();
  const { request } = url.protocol === "https:" ? https : http;
  const sent = request(url, { method, headers, signal, agent }, (response) => {
    const { statusCode = 0, headersDistinct } = response;
    const head = { status: statusCode, headers: headersDistinct };
    // With the end of the answer the connection is free for the next question; a body that nobody reads would hold it.
    response.on("error", () => resolve(head)).on("close", () => resolve(head));
    if (method === "HEAD") response.resume();
    else response.destroy();
  });
  sent.on("error", reject);
  sent.end();
  return promise;
}

function redirectOf({ status, headers }: UpstreamHead, from: URL): URL | undefined {
  const location = headers["location"]?.[0];
  if (status < 300 || status >= 400 || status === 304 || location === undefined) return undefined;
  return new URL(location, from);
}

function answerOf({ status, headers }: UpstreamHead): UpstreamAnswer {
  const challenges = headers["www-authenticate"] ?? [];
  if (status >= 200 && status < 300) return { result: "granted" };
  if (UNAVAILABLE.includes(status)) return { result: "unreachable" };
  const challenge = status === 401 ? chooseChallenge(challenges) : undefined;
  return challenge === undefined ? { result: "refused" } : { result: "refused", challenge };
}

/** One that containerd knows how to meet: it reads one a header. */
function chooseChallenge(challenges: readonly string[]): string | undefined {
  const usable = challenges.filter((text) =>
    Buffer.byteLength(text) <= MAX_CHALLENGE_LENGTH && /^[\t\x20-\x7e]+$/.test(text)
  );
  return usable.find((text) => /^bearer /i.test(text)) ??
    usable.find((text) => /^basic\b/i.test(text)) ?? usable[0];
}
