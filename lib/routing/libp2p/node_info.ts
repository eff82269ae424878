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

  /**
   * @param host The libp2p node.
   * @param own What this node tells.
   */
  constructor(host: NodeInfoHost, own: NodeInfo) {
    this.#host = host;
    this.#own = own;
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
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(NODE_INFO_TIMEOUT_MS)]);
    let stream: Stream | undefined;
    try {
      stream = await this.#host.dialProtocol(peer, NODE_INFO_PROTOCOL, { signal: bounded });
      const info = parseNodeInfo(await readToEnd(stream, MAX_NODE_INFO_BYTES, bounded));
      if (info === undefined) return;
      this.#known.set(id, info);
      if (this.#known.size > MAX_NODE_INFOS) this.#known.delete(this.#known.keys().next().value!);
    } catch {
      // Spegel, or gone: nothing is known of it then.
      stream?.abort(new Error("no answer"));
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
  const { version, zone } = value as Partial<Record<keyof NodeInfo, unknown>>;
  if (typeof version !== "string") return undefined;
  return { version, ...(typeof zone === "string" && zone !== "" ? { zone } : {}) };
}
