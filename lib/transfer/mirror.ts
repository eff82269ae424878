/**
 * Fetches content from peers: lookup, choice of peer, verification, resume.
 *
 * @module
 */
import {
  BusyError,
  NotFoundError,
  PeerError,
  RangeNotSatisfiableError,
  UnavailableError,
  VerificationError,
} from "../errors.ts";
import { CHUNK_SIZE, type ChunkList } from "../oci/chunk_list.ts";
import { type Digest, hasherFor, sha256Digest, splitDigest } from "../oci/digest.ts";
import type { DigestPath, DistributionPath } from "../oci/distribution.ts";
import { MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import type { Logger } from "../observability/logger.ts";
import type { Peer, Router } from "../routing/router.ts";
import { sleep } from "../sleep.ts";
import type { ByteRange, ContentReader, Descriptor } from "../store/store.ts";
import { BlobDownload, type DownloadSource } from "./blob_download.ts";
import type { TransferLimits, TransferSlot } from "../net/transfer_limits.ts";
import { Candidates } from "./candidates.ts";
import { ChunkBuffers } from "./chunk_buffers.ts";
import { ExpiringSet } from "./expiring_set.ts";
import { PeerBook } from "./peer_book.ts";
import type { PeerAnswer, PeerClient, PeerRequest } from "./peer_client.ts";
import { race } from "./race.ts";
import { readAll } from "./read_all.ts";
import { narrowed, widened } from "./wanted_range.ts";

/** Bound on finding a peer that answers, in milliseconds; Spegel has the same one. */
export const OPEN_DEADLINE_MS = 3000;

/**
 * Time limit for the head of a suspect's answer, in milliseconds. A peer that hangs then costs a pull of many layers
 * its full time limit once, and not for each of them.
 */
export const SUSPECT_HEAD_MS = 250;

/**
 * How long a digest is not mirrored after peers delivered wrong bytes for it, in milliseconds. containerd has
 * by then written some of them; only upstream can be trusted with its next tries.
 */
export const POISONED_TTL_MS = 10 * 60_000;

/** Most digests that are remembered in this way. */
export const MAX_POISONED = 4096;

/** Time limit for a list of chunks, in milliseconds. Without one a content is checked at its end only. */
export const CHUNK_LIST_MS = 1000;

/** Further peers that are asked for their list of chunks, to compare it. */
const SECOND_OPINIONS = 1;

/**
 * How long a list of chunks waits for another one to be compared with, in milliseconds, before bytes that agree with it
 * are handed out. What a liar's own list agrees with cannot be called back.
 */
export const SECOND_OPINION_MS = 250;

/** What happened during transfers, for metrics. All optional. */
export interface MirrorEvents {
  /** A lookup found its first peer after so many seconds. */
  resolved?(seconds: number): void;
  /** A peer failed to deliver. */
  peerFailed?(peer: Peer, error: unknown): void;
  /** A peer said that it is busy. */
  peerBusy?(): void;
  /** A peer was asked beside one that is slow to answer. */
  hedged?(): void;
  /** A body was continued from another peer. */
  resumed?(): void;
  /** Bytes of a content come from one more peer at the same time. */
  laneAdded?(): void;
  /** A peer delivered bytes that do not match their digest. */
  verificationFailed?(peer: Peer): void;
}

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
  readonly #book: PeerBook;
  readonly #buffers: ChunkBuffers;
  readonly #now: () => number;
  readonly #poisoned = new ExpiringSet({ ttlMs: POISONED_TTL_MS, limit: MAX_POISONED });

  constructor(options: MirrorOptions) {
    this.#options = options;
    this.#book = options.book ?? new PeerBook();
    this.#buffers = options.buffers ?? new ChunkBuffers();
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Fetches a manifest or index.
   *
   * @param path Repository, and tag or digest.
   * @param signal Ends the transfer.
   * @returns The manifest; its bytes match the digest asked for, or the one the peer resolved the tag to.
   * @throws {NotFoundError} If no peer delivers it.
   */
  async manifest(path: DistributionPath, signal?: AbortSignal): Promise<MirroredManifest> {
    const candidates = this.#lookup(path.key);
    try {
      return await this.#race(path, candidates, async (peer, attemptSignal, onInterim) => {
        const answer = await this.#ask(peer, {
          path,
          method: "GET",
          signal: attemptSignal,
          onInterim,
        });
        const bytes = await readAll(answerReader(answer), MAX_MANIFEST_SIZE);
        const digest = this.#verifyManifest(path, answer, bytes);
        return {
          descriptor: { digest, mediaType: answer.mediaType, size: bytes.length },
          bytes,
          from: answer.address,
        };
      }, signal);
    } finally {
      candidates.close();
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
    const candidates = this.#lookup(path.key);
    try {
      return await this.#race(path, candidates, async (peer, attemptSignal, onInterim) => {
        const answer = await this.#ask(peer, {
          path,
          method: "HEAD",
          signal: attemptSignal,
          onInterim,
        });
        answer.response.close();
        return { descriptor: descriptorOf(path, answer), from: answer.address };
      }, signal);
    } finally {
      candidates.close();
    }
  }

  /**
   * Opens a blob.
   *
   * @param path Repository and digest.
   * @param range Value for the `Range` header, or undefined for all of it.
   * @param signal Ends the search; the reader is ended by closing it.
   * @returns The blob. Its reader survives broken peers as long as one is left that goes on.
   * @throws {NotFoundError} If no peer has it.
   * @throws {RangeNotSatisfiableError} If peers say that the range lies outside of the blob.
   */
  async blob(
    path: DigestPath,
    range: string | undefined,
    signal?: AbortSignal,
  ): Promise<MirroredBlob> {
    this.#refusePoisoned(path.digest);
    const slot = this.#admit();
    const candidates = this.#lookup(path.key);
    const asked = widened(range);
    let first: PeerAnswer | undefined;
    try {
      first = await this.#open(path, candidates, asked, signal);
      const wanted = narrowed(range, first);
      const ended = new AbortController();
      const lists = this.#chunkLists(path, first, candidates, ended.signal);
      const { peer } = first;
      const download: BlobDownload = new BlobDownload({
        digest: path.digest,
        first,
        range: wanted,
        chunks: this.#compared(peer, lists, (error) => download.fail(error), ended.signal),
        source: this.#sourceOf(path, candidates, slot, ended),
        buffers: this.#buffers,
        now: this.#now,
      });
      return { descriptor: descriptorOf(path, first), reader: download, from: first.address };
    } catch (error) {
      first?.response.close();
      candidates.close();
      slot?.release();
      throw error;
    }
  }

  #open(
    path: DigestPath,
    candidates: Candidates,
    range: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<PeerAnswer> {
    return this.#race(path, candidates, (peer, attemptSignal, onInterim) =>
      this.#ask(peer, {
        path,
        method: "GET",
        signal: attemptSignal,
        onInterim,
        ...(range === undefined ? {} : { range }),
      }), signal);
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

  #sourceOf(
    path: DigestPath,
    candidates: Candidates,
    slot: TransferSlot | undefined,
    ended: AbortController,
  ): DownloadSource {
    const { events, log } = this.#options;
    const { signal } = ended;
    return {
      closed: () => {
        ended.abort();
        candidates.close();
        slot?.release();
      },
      pace: (bytes) => slot?.pace(bytes),
      ask: (peer, range, unwanted) =>
        this.#ask(peer, {
          path,
          method: "GET",
          signal: AbortSignal.any([signal, unwanted]),
          range: headerOf(range),
        }),
      another: (range) =>
        this.#open(path, candidates, headerOf(range), signal).catch((error) => {
          // The rest lies within the content: who says otherwise has other content.
          if (!(error instanceof RangeNotSatisfiableError)) throw error;
          throw new NotFoundError(`${path.key}: no peer goes on`, { cause: error });
        }),
      hasSpare: () => candidates.available > 0,
      spare: () => {
        if (candidates.available === 0) return undefined;
        events?.laneAdded?.();
        return candidates.take();
      },
      release: (peer) => candidates.offer(peer),
      started: (peer) => this.#book.started(peer),
      ended: (peer) => this.#book.ended(peer),
      failed: (peer, error, progressed) => {
        this.#failed(peer, error);
        // A link that brought bytes may do so again; one that brings none is not tried twice.
        if (error instanceof VerificationError) candidates.exclude(peer);
        else if (progressed) candidates.offer(peer);
        log.warn("peer failed in the middle of a content", { key: path.key, peer: peer.id, error });
      },
      resumed: () => events?.resumed?.(),
      poisoned: (error) => {
        this.#poisoned.add(path.digest);
        log.error("peers delivered wrong bytes, leaving the content to upstream", {
          digest: path.digest,
          error,
        });
      },
    };
  }

  /** Asks for the list of a content's chunks: who delivers it, and one more who may have it. */
  #chunkLists(
    path: DigestPath,
    first: PeerAnswer,
    candidates: Candidates,
    signal: AbortSignal,
  ): Promise<ChunkList | undefined>[] {
    if (first.size <= CHUNK_SIZE) return []; // All of it is checked before any of it is passed on.
    const peers = [...first.hasChunks ? [first.peer] : [], ...candidates.known(SECOND_OPINIONS)];
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(CHUNK_LIST_MS)]);
    return peers.map((peer) =>
      this.#options.client.chunkList(peer, path.digest, first.size, bounded)
        .catch(() => undefined) // Spegel has none; a peer that is gone shows that where its bytes are missed.
    );
  }

  /**
   * The list to go by, after a short wait for another one to compare it with. Peers that do not agree, also later, end
   * the download: one of them lies, and nobody here can tell which.
   */
  async #compared(
    peer: Peer,
    lists: readonly Promise<ChunkList | undefined>[],
    fail: (error: VerificationError) => void,
    signal: AbortSignal,
  ): Promise<ChunkList | undefined> {
    const settled = new AbortController();
    const all = Promise.all(lists).then((found) => {
      settled.abort();
      const [list, ...others] = found.filter((one) => one !== undefined);
      if (list === undefined || others.every((other) => other.equals(list))) return list;
      this.#options.events?.verificationFailed?.(peer);
      fail(new VerificationError("peers disagree about the chunks of the content"));
      return list;
    });
    const waiting = AbortSignal.any([signal, settled.signal]);
    const first = firstDefined(lists).then(async (list) => {
      await sleep(SECOND_OPINION_MS, waiting);
      return list;
    });
    return await Promise.race([all, first]);
  }

  #refusePoisoned(digest: Digest): void {
    if (!this.#poisoned.has(digest)) return;
    throw new NotFoundError(`peers delivered wrong bytes for ${digest} a short while ago`);
  }

  #lookup(key: string): Candidates {
    const { router, events } = this.#options;
    const startedAt = this.#now();
    return new Candidates({
      lookup: (signal) => router.lookup(key, { signal }),
      isLastResort: (peer) => this.#book.isLastResort(peer),
      choose: (peers) => this.#book.choose(peers),
      onFirst: (found) => {
        if (found) events?.resolved?.((this.#now() - startedAt) / 1000);
      },
    });
  }

  async #ask(peer: Peer, request: PeerRequest): Promise<PeerAnswer> {
    const { router, client, events } = this.#options;
    const startedAt = this.#now();
    try {
      const isSuspect = this.#book.isSuspect(peer);
      const answer = await client.request(
        peer,
        isSuspect ? { ...request, headMs: SUSPECT_HEAD_MS } : request,
      );
      this.#book.answered(peer, this.#now() - startedAt, answer.load);
      return answer;
    } catch (error) {
      if (error instanceof NotFoundError) router.forget(request.path.key, peer);
      if (error instanceof BusyError) {
        this.#book.isBusyFor(peer, error.retryAfterMs);
        events?.peerBusy?.();
      }
      throw error;
    }
  }

  #failed(peer: Peer, error: unknown): void {
    const isWrong = error instanceof VerificationError;
    if (!(error instanceof PeerError) && !isWrong) return;
    this.#book.failed(peer);
    this.#options.events?.peerFailed?.(peer, error);
    if (isWrong) this.#options.events?.verificationFailed?.(peer);
  }

  async #race<T>(
    path: DistributionPath,
    candidates: Candidates,
    attempt: (peer: Peer, signal: AbortSignal, isWorking: () => void) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const result = await race(candidates, {
      waitMs: this.#options.resolveTimeoutMs,
      hedgeMs: this.#book.hedgeMs,
      maxAttempts: this.#options.resolveRetries,
      deadlineMs: OPEN_DEADLINE_MS,
      onHedge: () => this.#options.events?.hedged?.(),
      attempt: async (peer, attemptSignal, isWorking) => {
        try {
          return await attempt(peer, attemptSignal, isWorking);
        } catch (error) {
          // An attempt that lost the race says nothing about its peer.
          if (!attemptSignal.aborted) this.#failed(peer, error);
          throw error;
        }
      },
      discard: discardAnswer,
      ...(signal === undefined ? {} : { signal }),
    });
    if (result.won) return result.answer;
    throw this.#lost(path, candidates, result.failures);
  }

  #lost(path: DistributionPath, candidates: Candidates, failures: readonly unknown[]): Error {
    const range = failures.find((failure) => failure instanceof RangeNotSatisfiableError);
    if (range !== undefined) return range;
    const cause = failures.at(-1) ?? candidates.failure;
    if (candidates.found === 0 && candidates.failure !== undefined) {
      return new UnavailableError(`cannot look up ${path.key}`, { cause });
    }
    const reason = candidates.found === 0
      ? "no peer found"
      : `none of ${candidates.found} peers delivered`;
    return new NotFoundError(`${path.key}: ${reason}`, { cause });
  }
}

function descriptorOf(path: DigestPath, answer: PeerAnswer): Descriptor {
  return { digest: path.digest, mediaType: answer.mediaType, size: answer.size };
}

/** The first of them that is something, without waiting for the others. */
function firstDefined<T>(promises: readonly Promise<T | undefined>[]): Promise<T | undefined> {
  const { promise, resolve } = Promise.withResolvers<T | undefined>();
  const all = promises.map((one) =>
    one.then((value) => {
      if (value !== undefined) resolve(value);
    })
  );
  void Promise.all(all).then(() => resolve(undefined));
  return promise;
}

function headerOf(range: ByteRange): string {
  return `bytes=${range.start}-${range.end}`;
}

function discardAnswer(answer: unknown): void {
  if (typeof answer === "object" && answer !== null && "response" in answer) {
    (answer as PeerAnswer).response.close();
  }
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
