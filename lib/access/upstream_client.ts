/**
 * Asks an upstream registry whether it would hand out what somebody wants: a HEAD with their credentials, whose body never
 * comes. Only registries that the operator listed are asked, at the address that the operator's files give.
 *
 * @module
 */
import * as http from "node:http";
import * as https from "node:https";
import { Buffer } from "node:buffer";
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
const UNAVAILABLE = [502, 503, 504];

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

interface Head {
  readonly status: number;
  readonly challenges: readonly string[];
  readonly location: string | undefined;
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
      return answerOf(await this.#head(question));
    } catch (error) {
      this.#options.log.warn("an upstream registry cannot be asked for access", {
        registry,
        error,
      });
      return { result: "unreachable" };
    }
  }

  async #head({ registry, repository, path, authorization }: AccessQuestion): Promise<Head> {
    const signal = AbortSignal.timeout(this.#options.timeoutMs ?? CHECK_TIMEOUT_MS);
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

function send(url: URL, { method, headers, signal, agent }: SendOptions): Promise<Head> {
  const { promise, resolve, reject } = Promise.withResolvers<Head>();
  const { request } = url.protocol === "https:" ? https : http;
  const sent = request(url, { method, headers, signal, agent }, (response) => {
    const { statusCode = 0, headersDistinct } = response;
    const head = {
      status: statusCode,
      challenges: headersDistinct["www-authenticate"] ?? [],
      location: headersDistinct["location"]?.[0],
    };
    // With the end of the answer the connection is free for the next question; a body that nobody reads would hold it.
    response.on("error", () => resolve(head)).on("close", () => resolve(head));
    if (method === "HEAD") response.resume();
    else response.destroy();
  });
  sent.on("error", reject);
  sent.end();
  return promise;
}

function redirectOf({ status, location }: Head, from: URL): URL | undefined {
  if (status < 300 || status >= 400 || status === 304 || location === undefined) return undefined;
  return new URL(location, from);
}

function answerOf({ status, challenges }: Head): UpstreamAnswer {
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
