/**
 * Questions between Kagami nodes over libp2p: one stream each, on which the asker writes one JSON value and closes its
 * side, and the one who is asked does the same.
 *
 * @module
 */
import type { Connection, PeerId, Stream } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { PeerError } from "../../errors.ts";
import { type AnswerQuestion, MAX_MESSAGE_BYTES, type Messenger } from "../messenger.ts";
import type { Peer } from "../router.ts";
import { encodeJson, parseJson, readToEnd } from "./json_stream.ts";
import type { Positioned } from "./keyspace.ts";
import { keyspacePosition, providerKey } from "./provider_key.ts";

/** Protocol of the questions. */
export const SHARE_PROTOCOL = "/kagami/share/1.0.0";

/** Most streams of one peer at the same time. */
export const MAX_QUESTION_STREAMS = 256;

/** Time for a peer to send its question, and for the answer to reach it, in milliseconds. */
export const QUESTION_MS = 5000;

/** What is needed of the libp2p node. */
export interface MessengerHost {
  readonly peerId: PeerId;
  handle(
    protocol: string,
    handler: (stream: Stream, connection: Connection) => void,
    options: { maxInboundStreams: number; maxOutboundStreams: number },
  ): Promise<void>;
  dialProtocol(
    peer: PeerId,
    protocol: string,
    options: { signal: AbortSignal; maxOutboundStreams?: number },
  ): Promise<Stream>;
}

/** Options of {@linkcode Libp2pMessenger}. */
export interface Libp2pMessengerOptions {
  readonly host: MessengerHost;
  /** Texts of the peer IDs of the nodes that answer. */
  readonly answering: () => string[];
  /** Describes a peer; undefined if no address of it is known. */
  readonly describe: (id: PeerId) => Promise<Peer | undefined>;
}

/** See the module. */
export class Libp2pMessenger implements Messenger {
  readonly self: Positioned;
  readonly #options: Libp2pMessengerOptions;

  /**
   * @param options Node, and who is there.
   */
  constructor(options: Libp2pMessengerOptions) {
    this.#options = options;
    this.self = positionOf(options.host.peerId);
  }

  neighbours(): Positioned[] {
    return this.#options.answering().map((id) => positionOf(peerIdFromString(id)));
  }

  place(key: string): Uint8Array {
    return providerKey(key).position;
  }

  async ask(id: string, question: unknown, signal: AbortSignal): Promise<unknown> {
    const { host } = this.#options;
    let stream: Stream | undefined;
    try {
      const options = { signal, maxOutboundStreams: MAX_QUESTION_STREAMS };
      stream = await host.dialProtocol(peerIdFromString(id), SHARE_PROTOCOL, options);
      const [bytes] = await Promise.all([
        readToEnd(stream, MAX_MESSAGE_BYTES, signal),
        this.#send(stream, question, signal),
      ]);
      const answer = parseJson(bytes);
      if (answer === undefined) throw new PeerError("answer is no JSON");
      return answer;
    } catch (cause) {
      stream?.abort(new Error("question was given up"));
      throw new PeerError(`no answer of ${id}`, { cause });
    }
  }

  async describe(id: string): Promise<Peer | undefined> {
    return await this.#options.describe(peerIdFromString(id));
  }

  async serve(answer: AnswerQuestion): Promise<void> {
    const limits = {
      maxInboundStreams: MAX_QUESTION_STREAMS,
      maxOutboundStreams: MAX_QUESTION_STREAMS,
    };
    await this.#options.host.handle(SHARE_PROTOCOL, (stream, connection) => {
      this.#answer(stream, connection.remotePeer, answer).catch((error) => stream.abort(error));
    }, limits);
  }

  async #answer(stream: Stream, from: PeerId, answer: AnswerQuestion): Promise<void> {
    const signal = AbortSignal.timeout(QUESTION_MS);
    const question = parseJson(await readToEnd(stream, MAX_MESSAGE_BYTES, signal));
    const peer = await this.#options.describe(from);
    if (peer === undefined) throw new PeerError("peer has no address");
    await this.#send(stream, await answer(peer, question), signal);
  }

  async #send(stream: Stream, value: unknown, signal: AbortSignal): Promise<void> {
    stream.send(encodeJson(value));
    await stream.close({ signal });
  }
}

function positionOf(id: PeerId): Positioned {
  return { id: id.toString(), position: keyspacePosition(id.toMultihash().bytes) };
}
