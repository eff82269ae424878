/**
 * Sends announcements to peers: many messages on one kept stream, each batch acknowledged.
 *
 * @module
 */
import type { Stream } from "@libp2p/interface";
import { type LengthPrefixedStream, lpStream } from "@libp2p/utils";
import { concatenate } from "../../concatenate.ts";
import { PeerError } from "../../errors.ts";
import { encodeAddProvider, encodePing, type ProviderField } from "./provider_message.ts";
import { type Mark, markKey, type Telling } from "./telling.ts";

/**
 * A stream without messages is closed after this time: less than the 10 s after which `@libp2p/kad-dht` resets it
 * (go-libp2p-kad-dht: a minute).
 */
export const STREAM_IDLE_MILLISECONDS = 4_000;

/** A peer that takes longer for one batch is given up. Between two nodes of a cluster a batch takes 0.1 s. */
export const ACKNOWLEDGE_MILLISECONDS = 5_000;

/** Opens a stream of the DHT protocol to a peer. */
export type OpenStream = (peer: string, signal: AbortSignal) => Promise<Stream>;

interface KeptStream {
  readonly stream: Stream;
  readonly messages: LengthPrefixedStream<Stream>;
  idle?: ReturnType<typeof setTimeout>;
}

/** Options of {@linkcode ProviderStreams}. */
export interface ProviderStreamsOptions {
  readonly open: OpenStream;
  /** This node as the provider, with its addresses as they are now. */
  readonly provider: () => ProviderField;
  /** This node as one that provides no longer. */
  readonly formerProvider: ProviderField;
  /** Default {@linkcode ACKNOWLEDGE_MILLISECONDS}. */
  readonly acknowledgeMilliseconds?: number;
}

/** Keeps a stream to each peer that was sent to lately. One `send` a peer at a time. */
export class ProviderStreams {
  readonly #options: ProviderStreamsOptions;
  readonly #kept = new Map<string, KeptStream>();
  readonly #epoch = crypto.getRandomValues(new Uint8Array(8)).toHex();
  #sequence = 0;

  /**
   * @param options How to open streams, and who provides.
   */
  constructor(options: ProviderStreamsOptions) {
    this.#options = options;
  }

  /**
   * Tells a peer a batch, and waits until the peer has handled it.
   *
   * @param peer Text of the peer ID.
   * @param telling What this node provides, and what no longer.
   * @param signal Ends it.
   * @throws {PeerError} If the peer did not take them in time.
   */
  async send(peer: string, telling: Telling, signal: AbortSignal): Promise<void> {
    const kept = this.#kept.get(peer);
    if (kept !== undefined) {
      try {
        return await this.#exchange(peer, kept, telling, signal);
      } catch (error) {
        // The peer may have closed the stream meanwhile; a fresh one decides.
        if (signal.aborted) throw error;
      }
    }
    await this.#exchange(peer, await this.#openStream(peer, signal), telling, signal);
  }

  /** Closes all streams. */
  close(): void {
    for (const peer of [...this.#kept.keys()]) this.#drop(peer, new PeerError("router stops"));
  }

  async #openStream(peer: string, signal: AbortSignal): Promise<KeptStream> {
    return await this.#bounded(peer, signal, async (bounded) => {
      const stream = await this.#options.open(peer, bounded);
      const kept = { stream, messages: lpStream(stream, { maxDataLength: 64 * 1024 }) };
      this.#kept.set(peer, kept);
      return kept;
    });
  }

  async #exchange(
    peer: string,
    kept: KeptStream,
    telling: Telling,
    signal: AbortSignal,
  ): Promise<void> {
    clearTimeout(kept.idle);
    const { provider, formerProvider } = this.#options;
    const sequence = ++this.#sequence;
    const mark = (kind: Mark["kind"]) => markKey({ kind, epoch: this.#epoch, sequence });
    const { begins, announced, withdrawn, ends } = telling;
    const own = provider();
    const withdrawals = [
      mark(begins ? "begins" : "goes on"),
      ...withdrawn.map(({ multihash }) => multihash),
    ];
    const bytes = concatenate([
      ...withdrawals.map((multihash) => encodeAddProvider(multihash, formerProvider)),
      ...announced.map(({ multihash }) => encodeAddProvider(multihash, own)),
      ...ends ? [encodeAddProvider(mark("ends"), formerProvider)] : [],
      encodePing(),
    ]);
    await this.#bounded(peer, signal, async (bounded) => {
      if (!kept.stream.send(bytes)) await kept.stream.onDrain({ signal: bounded });
      await kept.messages.read({ signal: bounded });
    });
    kept.idle = setTimeout(() => this.#drop(peer), STREAM_IDLE_MILLISECONDS);
  }

  async #bounded<T>(
    peer: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const controller = new AbortController();
    const stop = () => controller.abort(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    const limit = this.#options.acknowledgeMilliseconds ?? ACKNOWLEDGE_MILLISECONDS;
    const timer = setTimeout(
      () => controller.abort(new PeerError(`no answer within ${limit} ms`)),
      limit,
    );
    try {
      return await work(controller.signal);
    } catch (cause) {
      const error = new PeerError(`cannot announce keys to ${peer}`, { cause });
      this.#drop(peer, error);
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
  }

  #drop(peer: string, error?: Error): void {
    const kept = this.#kept.get(peer);
    if (kept === undefined) return;
    this.#kept.delete(peer);
    clearTimeout(kept.idle);
    if (error !== undefined) kept.stream.abort(error);
    else kept.stream.close().catch((reason) => kept.stream.abort(reason));
  }
}
