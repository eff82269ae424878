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

/** Protocol of the question. */
export const NODE_INFO_PROTOCOL = "/kagami/node/1.0.0";

/** Time limit of a question, in milliseconds. */
export const NODE_INFO_TIMEOUT_MS = 3000;

/** Longest answer that is read, in bytes. */
export const MAX_NODE_INFO_BYTES = 4096;

/** Most peers whose answers are remembered; the oldest go first. */
export const MAX_NODE_INFOS = 4096;

/**
 * Pauses before a peer that has just connected is asked, in milliseconds: identify goes first. More than one, for a
 * question is lost with its connection.
 */
export const NODE_INFO_PAUSES_MS = [100, 1000, 5000] as const;

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
  readonly #pausesMs: readonly number[];
  readonly #known = new Map<string, NodeInfo>();

  /**
   * @param host The libp2p node.
   * @param own What this node tells.
   * @param pausesMs Pauses before the tries. Default: {@linkcode NODE_INFO_PAUSES_MS}.
   */
  constructor(
    host: NodeInfoHost,
    own: NodeInfo,
    pausesMs: readonly number[] = NODE_INFO_PAUSES_MS,
  ) {
    this.#pausesMs = pausesMs;
    this.#host = host;
    this.#own = own;
  }

  /** Answers from now on. */
  async start(): Promise<void> {
    const answer = new TextEncoder().encode(JSON.stringify(this.#own));
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
   * Asks a peer, unless it has told already, and again if there is no answer.
   *
   * @param peer The peer.
   * @param signal Ends it.
   */
  async ask(peer: PeerId, signal: AbortSignal): Promise<void> {
    const id = peer.toString();
    for (const pauseMs of this.#pausesMs) {
      await sleep(pauseMs, signal);
      if (signal.aborted || this.#known.has(id) || await this.#askOnce(peer, signal)) return;
    }
  }

  /** @returns True if another try is in vain: the peer has answered, or never will. */
  async #askOnce(peer: PeerId, signal: AbortSignal): Promise<boolean> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(NODE_INFO_TIMEOUT_MS)]);
    let stream: Stream | undefined;
    try {
      stream = await this.#host.dialProtocol(peer, NODE_INFO_PROTOCOL, { signal: bounded });
      const info = await readAnswer(stream, bounded);
      if (info === undefined) return true;
      this.#known.set(peer.toString(), info);
      if (this.#known.size > MAX_NODE_INFOS) this.#known.delete(this.#known.keys().next().value!);
      return true;
    } catch (error) {
      // Spegel does not speak this protocol, or the peer is gone: nothing is known of it then.
      return error instanceof Error && error.name === "UnsupportedProtocolError";
    } finally {
      stream?.close().catch(() => {});
    }
  }
}

/**
 * Reads until the answer is whole. The end of the stream cannot be waited for: an end that comes before somebody reads is
 * not told by libp2p.
 */
async function readAnswer(stream: Stream, signal: AbortSignal): Promise<NodeInfo | undefined> {
  const abort = () => stream.abort(new Error("took too long"));
  signal.addEventListener("abort", abort, { once: true });
  try {
    let bytes = new Uint8Array(0);
    for await (const part of stream) {
      bytes = concatenated(bytes, part instanceof Uint8Array ? part : part.subarray());
      if (bytes.length > MAX_NODE_INFO_BYTES) throw new RangeError("answer is too long");
      // A part of an object is never an object.
      const info = parseNodeInfo(bytes);
      if (info !== undefined) return info;
    }
    return undefined;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function concatenated(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/**
 * Reads an answer.
 *
 * @param bytes The JSON text.
 * @returns What it says; undefined if it is none.
 */
export function parseNodeInfo(bytes: Uint8Array): NodeInfo | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { version, zone } = value as Partial<Record<keyof NodeInfo, unknown>>;
  if (typeof version !== "string") return undefined;
  return { version, ...(typeof zone === "string" && zone !== "" ? { zone } : {}) };
}
