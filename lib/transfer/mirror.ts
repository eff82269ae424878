/**
 * Fetches content from peers: lookup, choice of peer, verification, resume.
 *
 * @module
 */
import { NotFoundError, VerificationError } from "../errors.ts";
import { ExpiringSet } from "../expiring_set.ts";
import type { TransferLimits, TransferSlot } from "../net/transfer_limits.ts";
import type { ChunkList } from "../oci/chunk_list.ts";
import { type Digest, hasherFor, sha256Digest, splitDigest } from "../oci/digest.ts";
import type { DigestPath, DistributionPath } from "../oci/distribution.ts";
import { MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import type { Logger } from "../observability/logger.ts";
import type { Tracing } from "../observability/tracing.ts";
import type { PeerSource } from "../routing/peer_source.ts";
import type { Router } from "../routing/router.ts";
import type { ContentReader, Descriptor } from "../store/store.ts";
import { agreedChunkList } from "./agreed_chunk_list.ts";
import { BlobDownload } from "./blob_download.ts";
import { ChunkBuffers } from "./chunk_buffers.ts";
import type { MirrorEvents } from "./mirror_events.ts";
import { PeerBook } from "./peer_book.ts";
import type { PeerAnswer, PeerClient } from "./peer_client.ts";
import { PeerSearch, type SearchContext } from "./peer_search.ts";
import { readAll } from "./read_all.ts";
import { chunkLists, SearchedSource } from "./searched_source.ts";
import { narrowed, widened } from "./wanted_range.ts";

/**
 * How long a digest is not mirrored after peers delivered wrong bytes for it, in milliseconds. containerd has
 * by then written some of them; only upstream can be trusted with its next tries.
 */
export const POISONED_TTL_MS = 10 * 60_000;

/** Most digests that are remembered in this way. */
export const MAX_POISONED = 4096;

/** Options of {@linkcode Mirror}. */
export interface MirrorOptions {
  readonly router: Router;
  readonly client: PeerClient;
  /** Longest wait for the first peer (and for each further one while none is being asked), in ms. */
  readonly resolveTimeoutMs: number;
  /** Most peers that are asked before giving up. */
  readonly resolveRetries: number;
  readonly log: Logger;
  readonly events?: MirrorEvents;
  /** Left out where traces are off. */
  readonly tracing?: Tracing;
  /** What is known of peers. Default: nothing yet. */
  readonly book?: PeerBook;
  /** Bounds on what is fetched from peers. Default: none. */
  readonly downloads?: TransferLimits;
  /** Memory for chunks. Default: its own. */
  readonly buffers?: ChunkBuffers;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** A manifest that a peer delivered, whole and verified. */
export interface MirroredManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  /** `host:port` of the peer. */
  readonly from: string;
}

/** A blob that is being delivered by peers. */
export interface MirroredBlob {
  readonly descriptor: Descriptor;
  /** Yields the last bytes only if all of them match the digest. Must be closed. */
  readonly reader: ContentReader;
  /** `host:port` of the first peer. */
  readonly from: string;
}

/** Fetches from peers what the local store does not have. */
export class Mirror {
  readonly #options: MirrorOptions;
  readonly #context: SearchContext;
  readonly #buffers: ChunkBuffers;
  readonly #poisoned = new ExpiringSet({ ttlMs: POISONED_TTL_MS, limit: MAX_POISONED });

  /**
   * @param options Where to look, whom to ask, and within which bounds.
   */
  constructor(options: MirrorOptions) {
    const { events, book, now } = options;
    this.#options = options;
    this.#context = {
      ...options,
      events,
      book: book ?? new PeerBook(),
      now: now ?? (() => performance.now()),
    };
    this.#buffers = options.buffers ?? new ChunkBuffers();
  }

  /**
   * Fetches a manifest or index.
   *
   * @param path Repository, and tag or digest.
   * @param signal Ends the transfer.
   * @param source Who names the peers, if they are not to be looked up. Closed at the end.
   * @returns The manifest; its bytes match the digest asked for, or the one the peer resolved the tag to.
   * @throws {NotFoundError} If no peer delivers it.
   */
  async manifest(
    path: DistributionPath,
    signal?: AbortSignal,
    source?: PeerSource,
  ): Promise<MirroredManifest> {
    const search = new PeerSearch(this.#context, path, source);
    let isComplete = false;
    try {
      const manifest = await search.race(async (peer, attemptSignal, onInterim) => {
        const answer = await search.ask(peer, { method: "GET", signal: attemptSignal, onInterim });
        const bytes = await readAll(answerReader(answer), MAX_MANIFEST_SIZE);
        const digest = this.#verifyManifest(path, answer, bytes);
        return {
          descriptor: { digest, mediaType: answer.mediaType, size: bytes.length },
          bytes,
          from: answer.address,
        };
      }, signal);
      isComplete = true;
      source?.progressed(manifest.bytes.length);
      return manifest;
    } finally {
      search.close(isComplete);
    }
  }

  #verifyManifest(path: DistributionPath, answer: PeerAnswer, bytes: Uint8Array): Digest {
    const claimed = path.digest ?? answer.digest ?? sha256Digest(bytes);
    const hex = hasherFor(claimed).update(bytes).digest("hex");
    if (hex === splitDigest(claimed).hex) return claimed;
    throw new VerificationError(`peer ${answer.address} delivered wrong bytes for ${claimed}`);
  }

  /**
   * Describes a blob.
   *
   * @param path Repository and digest.
   * @param signal Ends the request.
   * @returns The descriptor, and the peer that gave it.
   * @throws {NotFoundError} If no peer has it.
   */
  async describeBlob(
    path: DigestPath,
    signal?: AbortSignal,
  ): Promise<{ descriptor: Descriptor; from: string }> {
    this.#refusePoisoned(path.digest);
    const search = new PeerSearch(this.#context, path);
    try {
      return await search.race(async (peer, attemptSignal, onInterim) => {
        const answer = await search.ask(peer, { method: "HEAD", signal: attemptSignal, onInterim });
        answer.response.close();
        return { descriptor: descriptorOf(path, answer), from: answer.address };
      }, signal);
    } finally {
      search.close(false);
    }
  }

  /**
   * Opens a blob.
   *
   * @param path Repository and digest.
   * @param range Value for the `Range` header, or undefined for all of it.
   * @param signal Ends the search; the reader is ended by closing it.
   * @param source Who names the peers, if they are not to be looked up. Closed at the end.
   * @returns The blob. Its reader survives broken peers as long as one is left that goes on.
   * @throws {NotFoundError} If no peer has it.
   * @throws {RangeNotSatisfiableError} If peers say that the range lies outside of the blob.
   */
  async blob(
    path: DigestPath,
    range: string | undefined,
    signal?: AbortSignal,
    source?: PeerSource,
  ): Promise<MirroredBlob> {
    const slot = this.#admitBlob(path.digest, source);
    const search = new PeerSearch(this.#context, path, source);
    let first: PeerAnswer | undefined;
    try {
      const answer = first = await search.open(widened(range), signal);
      const { client, events, log, tracing } = this.#options;
      const { peer } = answer;
      const ended = new AbortController();
      const wanted = narrowed(range, first);
      const download: BlobDownload = new BlobDownload({
        digest: path.digest,
        first,
        range: wanted,
        chunks: traced(
          tracing,
          () =>
            agreedChunkList(chunkLists(client, search, answer, ended.signal), {
              disagree: (error) => {
                events?.verificationFailed?.(peer);
                download.fail(error);
              },
              signal: ended.signal,
            }),
        ),
        source: new SearchedSource({
          search,
          size: wanted.end - wanted.start + 1,
          slot,
          ended,
          book: this.#context.book,
          poisoned: this.#poisoned,
          events,
          ...(tracing === undefined ? {} : { tracing }),
          log,
        }),
        buffers: this.#buffers,
        now: this.#context.now,
      });
      return { descriptor: descriptorOf(path, first), reader: download, from: first.address };
    } catch (error) {
      first?.response.close();
      search.close(false);
      slot?.release();
      throw error;
    }
  }

  #admitBlob(digest: Digest, source: PeerSource | undefined): TransferSlot | undefined {
    try {
      this.#refusePoisoned(digest);
      return this.#admit();
    } catch (error) {
      source?.close(false);
      throw error;
    }
  }

  /** A download that would get too little is left to upstream. */
  #admit(): TransferSlot | undefined {
    const { downloads } = this.#options;
    const slot = downloads?.admit("");
    if (downloads !== undefined && slot === undefined) {
      throw new NotFoundError("the limit on downloads from peers is reached");
    }
    return slot;
  }

  #refusePoisoned(digest: Digest): void {
    if (!this.#poisoned.has(digest)) return;
    throw new NotFoundError(`peers delivered wrong bytes for ${digest} a short while ago`);
  }
}

/** Comparing lists of chunks takes time that a pull waits for. */
async function traced(
  tracing: Tracing | undefined,
  compare: () => Promise<ChunkList | undefined>,
): Promise<ChunkList | undefined> {
  if (tracing === undefined) return await compare();
  return await tracing.run("compare chunk lists", {}, async (span) => {
    const list = await compare();
    span.set({ "kagami.chunks": list?.count ?? 0 });
    return list;
  });
}

function descriptorOf(path: DigestPath, answer: PeerAnswer): Descriptor {
  return { digest: path.digest, mediaType: answer.mediaType, size: answer.size };
}

function answerReader(answer: PeerAnswer): ContentReader {
  return {
    size: answer.size,
    start: answer.start,
    end: answer.end,
    read: (into) => answer.response.read(into),
    close: () => {
      answer.response.close();
      return Promise.resolve();
    },
  };
}
