/**
 * Requests and answers of the registry, as the parts that make them and the server that carries them see them.
 *
 * @module
 */
import type { DistributionPath } from "../oci/distribution.ts";
import type { ContentReader } from "../store/store.ts";
import type { TransferSlot } from "../net/transfer_limits.ts";
import { MIRRORED_HEADER } from "../transfer/peer_client.ts";

/** Header that tells where the content came from: `local`, `peer <host:port>`, or {@linkcode UPSTREAM_SOURCE}. */
export const SOURCE_HEADER = "X-Kagami-Source";

/** Its value for what upstream says that a tag stands for, without content. */
export const UPSTREAM_SOURCE = "upstream";

/** Header of `/readyz` that tells which node answers: its identity in the router's network. */
export const NODE_HEADER = "X-Kagami-Node";

/** Paths that tell nothing of content, by which a node is probed. */
export const PROBES: ReadonlySet<string> = new Set(["/readyz", "/livez"]);

/** How containerd calls itself in requests. */
export const CONTAINERD_AGENT = /^containerd\//;

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

/** What answers requests. Never throws: what goes wrong becomes an error answer. */
export interface Answerer {
  answer(request: RegistryRequest): Promise<RegistryAnswer>;
}

/**
 * @param request A request.
 * @returns Whether it claims to be that of a peer, which wants what this node has, and nothing from elsewhere.
 */
export function isFromPeer(request: Pick<RegistryRequest, "header">): boolean {
  return request.header(MIRRORED_HEADER.toLowerCase()) === "true";
}
