/**
 * Who gets an answer: what stands between a port and the registry behind it.
 *
 * @module
 */
import { DistributionError } from "../oci/distribution_error.ts";
import type { Logger } from "../observability/logger.ts";
import { MIRRORED_HEADER, TOKEN_HEADER } from "../transfer/peer_client.ts";
import { failureAnswer } from "./answers.ts";
import {
  type Answerer,
  CONTAINERD_AGENT,
  isFromPeer,
  PROBES,
  type RegistryAnswer,
  type RegistryRequest,
} from "./messages.ts";
import type { TransferTokens } from "./transfer_tokens.ts";

/** How a request came. */
export type Transport = "tls" | "plain";

/** Told of requests of other nodes. */
export interface GateEvents {
  /** A peer's request was let through. */
  admitted(transport: Transport): void;
  /** Somebody was refused: a plain request that is not of this node, one without a token, or one without the secret. */
  refused(reason: "plain" | "token" | "secret"): void;
}

/** Most clients that are named in the log when they are refused; more would be noise. */
export const MAX_REFUSALS_TOLD = 16;

/** Options of {@linkcode LocalGate}. */
export interface LocalGateOptions {
  readonly registry: Answerer;
  /** Whether a client, by its IP address, is this node; left out, all are let through. */
  readonly isLocal?: (ip: string) => boolean;
  readonly events: GateEvents;
  readonly log: Logger;
}

/** The plain port: for the node's own containerd, and for peers where plain transfers are allowed. */
export class LocalGate implements Answerer {
  readonly #options: LocalGateOptions;
  readonly #told = new Set<string>();
  readonly #containerds = new Set<string>();

  /**
   * @param options Registry, and who is let through.
   */
  constructor(options: LocalGateOptions) {
    this.#options = options;
  }

  /** Addresses of containerds that were refused; some of them, if there are many. */
  get refusedContainerds(): readonly string[] {
    return [...this.#containerds];
  }

  /** @inheritdoc */
  answer(request: RegistryRequest): Promise<RegistryAnswer> {
    const { registry, isLocal, events } = this.#options;
    const { client, url } = request;
    // Probes tell nothing of content, and kubelet's come from anywhere on the node.
    if (PROBES.has(url.pathname)) return registry.answer(request);
    const isPeer = isFromPeer(request);
    // Where TLS is required no peer comes here, whatever its address; who says so wants what is for peers.
    if (isLocal !== undefined && (isPeer || !isLocal(client))) {
      return Promise.resolve(this.#refuse(request));
    }
    if (isPeer) events.admitted("plain");
    return registry.answer(request);
  }

  #refuse(request: RegistryRequest): RegistryAnswer {
    const { events, log } = this.#options;
    const { client } = request;
    events.refused("plain");
    const agent = request.header("user-agent");
    if (CONTAINERD_AGENT.test(agent ?? "") && this.#containerds.size < MAX_REFUSALS_TOLD) {
      this.#containerds.add(client);
    }
    if (!this.#told.has(client) && this.#told.size < MAX_REFUSALS_TOLD) {
      this.#told.add(client);
      log.warn("refused a request that is not of this node", {
        client,
        agent,
      });
    }
    const error = new DistributionError("DENIED", "this port is for its own node");
    return failureAnswer(request, error, { handler: "registry" });
  }
}

/** Options of {@linkcode PeerGate}. */
export interface PeerGateOptions {
  readonly registry: Answerer;
  readonly tokens: TransferTokens;
  readonly events: GateEvents;
}

/** The TLS port: for peers that this node has given a token to. They get what this node has, and nothing from elsewhere. */
export class PeerGate implements Answerer {
  readonly #options: PeerGateOptions;

  /**
   * @param options Registry and tokens.
   */
  constructor(options: PeerGateOptions) {
    this.#options = options;
  }

  /** @inheritdoc */
  answer(request: RegistryRequest): Promise<RegistryAnswer> {
    const { registry, tokens, events } = this.#options;
    if (tokens.peerOf(request.header(TOKEN_HEADER.toLowerCase())) === undefined) {
      events.refused("token");
      const error = new DistributionError("DENIED", "no token of this node");
      return Promise.resolve(failureAnswer(request, error, { handler: "registry" }));
    }
    events.admitted("tls");
    const mirrored = MIRRORED_HEADER.toLowerCase();
    const header = (name: string) => name === mirrored ? "true" : request.header(name);
    return registry.answer({ ...request, header });
  }
}
