/**
 * What a download gets from the search for its content: peers, their answers, and their lists of chunks.
 *
 * @module
 */
import { NotFoundError, RangeNotSatisfiableError, VerificationError } from "../errors.ts";
import type { ExpiringSet } from "../expiring_set.ts";
import type { TransferSlot } from "../net/transfer_limits.ts";
import { CHUNK_SIZE, type ChunkList } from "../oci/chunk_list.ts";
import type { DigestPath } from "../oci/distribution.ts";
import type { Logger } from "../observability/logger.ts";
import type { Span, Tracing } from "../observability/tracing.ts";
import type { Peer } from "../routing/router.ts";
import type { ByteRange } from "../store/store.ts";
import type { DownloadSource } from "./download_source.ts";
import type { DownloadProgress } from "./download_progress.ts";
import type { MirrorEvents } from "./mirror_events.ts";
import type { PeerBook } from "./peer_book.ts";
import type { PeerAnswer, PeerClient } from "./peer_client.ts";
import type { PeerSearch } from "./peer_search.ts";

/** Time limit for a list of chunks, in milliseconds. Without one a content is checked at its end only. */
export const CHUNK_LIST_MS = 1000;

/** Further peers that are asked for their list of chunks, to compare it. */
const SECOND_OPINIONS = 1;

/** Options of {@linkcode SearchedSource}. */
export interface SearchedSourceOptions {
  readonly search: PeerSearch<DigestPath>;
  /** Bytes that are wanted. */
  readonly size: number;
  /** Paces the download, and is released at its end. */
  readonly slot: TransferSlot | undefined;
  /** Aborted at the end of the download. */
  readonly ended: AbortController;
  readonly book: PeerBook;
  /** Digests that are left to upstream. */
  readonly poisoned: ExpiringSet;
  readonly events: MirrorEvents | undefined;
  /** Left out where traces are off. */
  readonly tracing?: Tracing;
  readonly log: Logger;
}

/** A {@linkcode DownloadSource} that goes on with the search that found the first answer. */
export class SearchedSource implements DownloadSource {
  readonly #options: SearchedSourceOptions;
  readonly #progress: DownloadProgress | undefined;
  readonly #span: Span | undefined;
  #bytes = 0;

  /**
   * @param options The search, and who is told how it goes.
   */
  constructor(options: SearchedSourceOptions) {
    this.#options = options;
    this.#progress = options.events?.receiving?.(options.search.path, options.size);
    this.#span = options.tracing?.begin("download", {
      "kagami.key": options.search.path.key,
      "kagami.size": options.size,
    });
  }

  ask(peer: Peer, range: ByteRange, unwanted: AbortSignal): Promise<PeerAnswer> {
    const { search, ended } = this.#options;
    const signal = AbortSignal.any([ended.signal, unwanted]);
    return this.#within(() =>
      search.ask(peer, { method: "GET", signal, range: headerOf(range), reason: "lane" })
    );
  }

  /** What is asked while bytes come belongs to the download, whoever's turn it is. */
  #within<T>(work: () => T): T {
    return this.#span === undefined ? work() : this.#span.within(work);
  }

  async another(range: ByteRange): Promise<PeerAnswer> {
    const { search, ended } = this.#options;
    try {
      return await this.#within(() => search.open(headerOf(range), ended.signal, "resume"));
    } catch (error) {
      // The rest lies within the content: who says otherwise has other content.
      if (!(error instanceof RangeNotSatisfiableError)) throw error;
      throw new NotFoundError(`${search.path.key}: no peer goes on`, { cause: error });
    }
  }

  hasSpare(): boolean {
    return this.#options.search.candidates.available > 0;
  }

  spare(): Peer | undefined {
    const { search, events } = this.#options;
    if (!this.hasSpare()) return undefined;
    events?.laneAdded?.();
    return search.candidates.take();
  }

  release(peer: Peer): void {
    this.#options.search.candidates.offer(peer);
  }

  pace(bytes: number): Promise<void> | undefined {
    const { search, slot } = this.#options;
    this.#bytes += bytes;
    if (this.#progress !== undefined) this.#progress.bytes += bytes;
    search.named?.source.progressed(bytes);
    return slot?.pace(bytes);
  }

  started(peer: Peer): void {
    this.#options.book.started(peer);
    this.#progress?.joined(peer);
    this.#span?.event("peer delivers", { "kagami.peer": peer.id });
  }

  ended(peer: Peer): void {
    this.#options.book.ended(peer);
    this.#progress?.left(peer);
  }

  failed(peer: Peer, error: unknown, progressed: boolean): void {
    const { search, log } = this.#options;
    const { named, candidates, path } = search;
    search.failed(peer, error);
    this.#span?.event("peer failed", {
      "kagami.peer": peer.id,
      "kagami.wrong": error instanceof VerificationError,
      "kagami.error": error instanceof Error ? error.message : String(error),
    });
    // A link that brought bytes may do so again; one that brings none is not tried twice.
    if (named !== undefined) named.failed();
    else if (error instanceof VerificationError) candidates.exclude(peer);
    else if (progressed) candidates.offer(peer);
    log.warn("peer failed in the middle of a content", { key: path.key, peer: peer.id, error });
  }

  resumed(): void {
    this.#options.events?.resumed?.();
    this.#span?.event("resumed");
  }

  poisoned(error: VerificationError): void {
    const { search, poisoned, log } = this.#options;
    const { digest } = search.path;
    poisoned.add(digest);
    this.#span?.event("given up: wrong bytes", { "kagami.error": error.message });
    log.error("peers delivered wrong bytes, leaving the content to upstream", { digest, error });
  }

  closed(isComplete: boolean): void {
    const { search, slot, ended } = this.#options;
    ended.abort();
    slot?.release();
    search.close(isComplete);
    this.#progress?.over(isComplete);
    this.#span?.set({ "kagami.bytes": this.#bytes, "kagami.complete": isComplete });
    this.#span?.end();
  }
}

/**
 * Asks for the list of a content's chunks: who delivers it, and one more who may have it.
 *
 * @param client Asks peers.
 * @param search The search for the content.
 * @param first Who delivers it.
 * @param signal Ends the requests.
 * @returns The lists; undefined where a peer has none.
 */
export function chunkLists(
  client: PeerClient,
  { path, candidates }: PeerSearch<DigestPath>,
  first: PeerAnswer,
  signal: AbortSignal,
): Promise<ChunkList | undefined>[] {
  if (first.size <= CHUNK_SIZE) return []; // All of it is checked before any of it is passed on.
  const peers = [...first.hasChunks ? [first.peer] : [], ...candidates.known(SECOND_OPINIONS)];
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(CHUNK_LIST_MS)]);
  return peers.map((peer) =>
    client.chunkList(peer, path.digest, first.size, bounded)
      .catch(() => undefined) // Spegel has none; a peer that is gone shows that where its bytes are missed.
  );
}

function headerOf(range: ByteRange): string {
  return `bytes=${range.start}-${range.end}`;
}
