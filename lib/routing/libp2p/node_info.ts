/**
 * What Kagami nodes tell each other about themselves over libp2p. Spegel does not speak this protocol, and nothing depends
 * on an answer.
 *
 * The one who is asked writes one JSON object and closes the stream. Unknown fields are left alone.
 *
 * @module
 */
import type { PeerId, Stream } from "@libp2p/interface";
import { sleep } from "../../sleep.ts";
import { encodeJson, parseJson, readToEnd } from "./json_stream.ts";

/** Protocol of the question. */
export const NODE_INFO_PROTOCOL = "/kagami/node/1.0.0";

/** Time limit of a question, in milliseconds. */
export const NODE_INFO_TIMEOUT_MS = 3000;

/** How often a peer is asked until it answers. */
export const NODE_INFO_ATTEMPTS = 5;

/** Pause before the second question, in milliseconds; twice as long before each further one. */
export const NODE_INFO_RETRY_MS = 1000;

/** Longest answer that is read, in bytes. */
export const MAX_NODE_INFO_BYTES = 4096;

/** Most peers whose answers are remembered; the oldest go first. */
export const MAX_NODE_INFOS = 4096;

/** Pause before a peer that has just connected is asked, in milliseconds: identify goes first. */
export const NODE_INFO_DELAY_MS = 100;

/** What a node tells. */
export interface NodeInfo {
  /** Version of Kagami. */
  readonly version: string;
  /** Topology zone of the node. */
  readonly zone?: string;
  /** True if the node shares downloads in progress. */
  readonly shares?: boolean;
}

/** What is needed of the libp2p node. */
export interface NodeInfoHost {
  handle(protocol: string, handler: (stream: Stream) => void): Promise<void>;
  dialProtocol(peer: PeerId, protocol: string, options: { signal: AbortSignal }): Promise<Stream>;
}

/** Asks and answers. */
export class NodeInfos {
  readonly #host: NodeInfoHost;
  readonly #own: NodeInfo;
  readonly #known = new Map<string, NodeInfo>();
  readonly #retryMs: number;

  /**
   * @param host The libp2p node.
   * @param own What this node tells.
   * @param options `retryMs`: see {@linkcode NODE_INFO_RETRY_MS}.
   */
  constructor(host: NodeInfoHost, own: NodeInfo, options: { readonly retryMs?: number } = {}) {
    this.#host = host;
    this.#own = own;
    this.#retryMs = options.retryMs ?? NODE_INFO_RETRY_MS;
  }

  /** Answers from now on. */
  async start(): Promise<void> {
    const answer = encodeJson(this.#own);
    await this.#host.handle(NODE_INFO_PROTOCOL, (stream) => {
      stream.send(answer);
      stream.close().catch((error) => stream.abort(error));
    });
  }

  /**
   * @param id Text of a peer ID.
   * @returns What the peer told; undefined if it told nothing.
   */
  get(id: string): NodeInfo | undefined {
    return this.#known.get(id);
  }

  /** Texts of the peer IDs of those who share downloads in progress. */
  sharing(): string[] {
    return [...this.#known].filter(([, { shares }]) => shares === true).map(([id]) => id);
  }

  /** Forgets a peer: it may come back as another one. */
  delete(id: string): void {
    this.#known.delete(id);
  }

  /**
   * Asks a peer, unless it has told already.
   *
   * @param peer The peer.
   * @param signal Ends it.
   */
  async ask(peer: PeerId, signal: AbortSignal): Promise<void> {
    const id = peer.toString();
    await sleep(NODE_INFO_DELAY_MS, signal);
    if (signal.aborted || this.#known.has(id)) return;
    for (let attempt = 1; attempt <= NODE_INFO_ATTEMPTS; attempt++) {
      if (await this.#askOnce(peer, signal)) return;
      await sleep(this.#retryMs * 2 ** (attempt - 1), signal);
      if (signal.aborted) return;
    }
  }

  /**
   * @returns False if there was no answer: from Spegel, of which nothing can be known, or from a node that is busy, gone,
   * or not through with its start.
   */
  async #askOnce(peer: PeerId, signal: AbortSignal): Promise<boolean> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(NODE_INFO_TIMEOUT_MS)]);
    let stream: Stream | undefined;
    try {
      stream = await this.#host.dialProtocol(peer, NODE_INFO_PROTOCOL, { signal: bounded });
      const info = parseNodeInfo(await readToEnd(stream, MAX_NODE_INFO_BYTES, bounded));
      if (info === undefined) return true;
      this.#known.set(peer.toString(), info);
      if (this.#known.size > MAX_NODE_INFOS) this.#known.delete(this.#known.keys().next().value!);
      return true;
    } catch (error) {
      stream?.abort(new Error("no answer"));
      return error instanceof RangeError; // Too long: it would be so again.
    } finally {
      stream?.close().catch(() => {});
    }
  }
}

/**
 * Reads an answer.
 *
 * @param bytes The JSON text.
 * @returns What it says; undefined if it is none.
 */
export function parseNodeInfo(bytes: Uint8Array): NodeInfo | undefined {
  const value = parseJson(bytes);
  if (typeof value !== "object" || value === null) return undefined;
  const { version, zone, shares } = value as Partial<Record<keyof NodeInfo, unknown>>;
  if (typeof version !== "string") return undefined;
  return {
    version,
    ...(typeof zone === "string" && zone !== "" ? { zone } : {}),
    ...(shares === true ? { shares } : {}),
  };
}
