/**
 * Fetches content from peers: lookup, choice of peer, verification, resume.
 *
 * @module
 */
import {
  NotFoundError,
  PeerError,
  RangeNotSatisfiableError,
  UnavailableError,
  VerificationError,
} from "../errors.ts";
import { type Digest, hasherFor, sha256Digest, splitDigest } from "../oci/digest.ts";
import type { DigestPath, DistributionPath } from "../oci/distribution.ts";
import { MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import type { Logger } from "../observability/logger.ts";
import type { Peer, Router } from "../routing/router.ts";
import type { ContentReader, Descriptor } from "../store/store.ts";
import { Candidates } from "./candidates.ts";
import { ExpiringSet } from "./expiring_set.ts";
import type { PeerAnswer, PeerClient, PeerRequest } from "./peer_client.ts";
import { race } from "./race.ts";
import { type BrokenAnswer, ResumingReader } from "./resuming_reader.ts";
import { readAll, VerifyingReader } from "./verifying_reader.ts";

/** Bound on finding a peer that answers, in milliseconds; Spegel has the same one. */
export const OPEN_DEADLINE_MS = 3000;

/** Head start of a peer before one more is asked beside it, in milliseconds. */
export const HEDGE_MS = 100;

/** How long a peer that failed is asked only when nobody else is left, in milliseconds. */
export const SUSPECT_TTL_MS = 10_000;

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

/** Most peers and digests that are remembered in this way. */
export const MEMORY_LIMIT = 4096;

/** What happened during transfers, for metrics. All optional. */
export interface MirrorEvents {
  /** A lookup found its first peer after so many seconds. */
  resolved?(seconds: number): void;
  /** A peer failed to deliver. */
  peerFailed?(peer: Peer, error: unknown): void;
  /** A body was continued from another peer. */
  resumed?(): void;
  /** Bytes did not match their digest. */
  verificationFailed?(digest: Digest): void;
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
  /** Random number in [0, 1) for the choice among known peers. */
  readonly random?: () => number;
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
  readonly #suspects = new ExpiringSet({ ttlMs: SUSPECT_TTL_MS, limit: MEMORY_LIMIT });
  readonly #poisoned = new ExpiringSet({ ttlMs: POISONED_TTL_MS, limit: MEMORY_LIMIT });

  constructor(options: MirrorOptions) {
    this.#options = options;
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
      return await this.#race(path, candidates, async (peer, attemptSignal) => {
        const answer = await this.#ask(peer, { path, method: "GET", signal: attemptSignal });
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
    this.#options.events?.verificationFailed?.(claimed);
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
      return await this.#race(path, candidates, async (peer, attemptSignal) => {
        const answer = await this.#ask(peer, { path, method: "HEAD", signal: attemptSignal });
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
    const candidates = this.#lookup(path.key);
    const open = (wanted: string | undefined) =>
      this.#race(path, candidates, (peer, attemptSignal) =>
        this.#ask(peer, {
          path,
          method: "GET",
          signal: attemptSignal,
          ...(wanted === undefined ? {} : { range: wanted }),
        }), signal);
    try {
      const first = await open(range);
      const resuming = new ResumingReader(first, async (rest, broken) => {
        this.#onBroken(path, broken, candidates);
        return await open(rest).catch((error) => {
          // The rest lies within the content: who says otherwise has other content.
          if (!(error instanceof RangeNotSatisfiableError)) throw error;
          throw new NotFoundError(`${path.key}: no peer goes on`, { cause: error });
        });
      }, () => candidates.close());
      return {
        descriptor: descriptorOf(path, first),
        reader: this.#verified(resuming, path.digest),
        from: first.address,
      };
    } catch (error) {
      candidates.close();
      throw error;
    }
  }

  /** Hashes a whole body on its way; a part cannot be checked and was asked for by a resuming client. */
  #verified(reader: ResumingReader, digest: Digest): ContentReader {
    if (reader.start !== 0 || reader.end !== reader.size - 1) return reader;
    return new VerifyingReader(reader, digest, {
      onMismatch: () => {
        this.#poisoned.add(digest);
        this.#suspects.add(reader.current.peer.id);
        this.#options.events?.verificationFailed?.(digest);
        this.#options.log.error("peers delivered wrong bytes, leaving the content to upstream", {
          digest,
          peer: reader.current.address,
        });
      },
    });
  }

  #onBroken(path: DigestPath, broken: BrokenAnswer, candidates: Candidates): void {
    const { answer, progressed, error } = broken;
    this.#options.events?.resumed?.();
    this.#failed(answer.peer, error);
    // A link that brought bytes may do so again; one that brings none is not tried twice.
    if (progressed) candidates.offer(answer.peer);
    this.#options.log.warn("peer broke off, going on with another one", {
      key: path.key,
      peer: answer.address,
      error,
    });
  }

  #refusePoisoned(digest: Digest): void {
    if (!this.#poisoned.has(digest)) return;
    throw new NotFoundError(`peers delivered wrong bytes for ${digest} a short while ago`);
  }

  #lookup(key: string): Candidates {
    const { router, events, random } = this.#options;
    const startedAt = performance.now();
    return new Candidates({
      lookup: (signal) => router.lookup(key, { signal }),
      isSuspect: (peer) => this.#suspects.has(peer.id),
      onFirst: (found) => {
        if (found) events?.resolved?.((performance.now() - startedAt) / 1000);
      },
      ...(random === undefined ? {} : { random }),
    });
  }

  async #ask(peer: Peer, request: PeerRequest): Promise<PeerAnswer> {
    const { router, client } = this.#options;
    try {
      const isSuspect = this.#suspects.has(peer.id);
      return await client.request(
        peer,
        isSuspect ? { ...request, headMs: SUSPECT_HEAD_MS } : request,
      );
    } catch (error) {
      if (error instanceof NotFoundError) router.forget(request.path.key, peer);
      throw error;
    }
  }

  #failed(peer: Peer, error: unknown): void {
    if (!(error instanceof PeerError) && !(error instanceof VerificationError)) return;
    this.#suspects.add(peer.id);
    this.#options.events?.peerFailed?.(peer, error);
  }

  async #race<T>(
    path: DistributionPath,
    candidates: Candidates,
    attempt: (peer: Peer, signal: AbortSignal) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const result = await race(candidates, {
      waitMs: this.#options.resolveTimeoutMs,
      hedgeMs: HEDGE_MS,
      maxAttempts: this.#options.resolveRetries,
      deadlineMs: OPEN_DEADLINE_MS,
      attempt: async (peer, attemptSignal) => {
        try {
          return await attempt(peer, attemptSignal);
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
