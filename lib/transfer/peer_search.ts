/**
 * The search for one content: the peers that may have it, asked in turn and beside each other.
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
import type { DistributionPath } from "../oci/distribution.ts";
import type { Attributes, Tracing } from "../observability/tracing.ts";
import type { PeerSource } from "../routing/peer_source.ts";
import type { Peer, Router } from "../routing/router.ts";
import { Candidates } from "./candidates.ts";
import type { MirrorEvents } from "./mirror_events.ts";
import { NamedPeers } from "./named_peers.ts";
import type { PeerBook } from "./peer_book.ts";
import type { PeerAnswer, PeerClient, PeerRequest } from "./peer_client.ts";
import { race } from "./race.ts";

/** Bound on finding a peer that answers, in milliseconds; Spegel has the same one. */
export const OPEN_DEADLINE_MS = 3000;

/**
 * Time limit for the head of a suspect's answer, in milliseconds. A peer that hangs then costs a pull of many layers
 * its full time limit once, and not for each of them.
 */
export const SUSPECT_HEAD_MS = 250;

/** Most peers of a {@linkcode PeerSource} that are asked until one begins to deliver. */
export const MAX_NAMED_PEERS = 8;

/** What all searches of a mirror share. */
export interface SearchContext {
  readonly router: Router;
  readonly client: PeerClient;
  /** Longest wait for the first peer (and for each further one while none is being asked), in ms. */
  readonly resolveTimeoutMs: number;
  /** Most peers that are asked before giving up. */
  readonly resolveRetries: number;
  readonly events: MirrorEvents | undefined;
  readonly book: PeerBook;
  /** Left out where traces are off. */
  readonly tracing?: Tracing;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
}

/**
 * Why a peer is asked: as the first one, beside one that is slow, to go on where another one failed, or to deliver
 * together with others.
 */
export type AskReason = "first" | "hedge" | "resume" | "lane";

/** What one peer is asked for; the content is the search's. */
export type SearchRequest = Omit<PeerRequest, "path" | "isGrowing"> & {
  readonly reason?: AskReason;
};

/** Where one content is searched for. Must be closed. */
export class PeerSearch<P extends DistributionPath = DistributionPath> {
  /** The content. */
  readonly path: P;
  readonly candidates: Candidates;
  /** Who names the peers, if somebody does. */
  readonly named: NamedPeers | undefined;
  readonly #context: SearchContext;
  /** Set from the moment in which a hedge is decided until its peer is asked. */
  #isHedging = false;

  /**
   * @param context What all searches share.
   * @param path The content.
   * @param source Who names the peers, if they are not to be looked up. Closed together with the search.
   */
  constructor(context: SearchContext, path: P, source?: PeerSource) {
    this.#context = context;
    this.path = path;
    this.named = source && new NamedPeers(source);
    this.candidates = this.#lookup();
  }

  /**
   * Ends the search.
   *
   * @param isComplete True if the content has come as a whole.
   */
  close(isComplete: boolean): void {
    this.candidates.close();
    this.named?.source.close(isComplete);
  }

  #lookup(): Candidates {
    const { named, path } = this;
    const { router, events, book, now, tracing } = this.#context;
    if (named !== undefined) return new Candidates({ lookup: (signal) => named.lookup(signal) });
    const startedAt = now();
    const span = tracing?.begin("resolve", { "kagami.key": path.key });
    return new Candidates({
      lookup: (signal) => router.lookup(path.key, { signal }),
      isLastResort: (peer) => book.isLastResort(peer),
      choose: (peers) => book.choose(peers),
      onFirst: (found) => {
        span?.set({ "kagami.found": found });
        span?.end();
        if (found) events?.resolved?.((now() - startedAt) / 1000);
      },
    });
  }

  /**
   * Opens the content at a peer.
   *
   * @param range Value for the `Range` header, or undefined for all of it.
   * @param signal Ends the search.
   * @param reason Why.
   * @returns The answer of the first peer that has it.
   * @throws {NotFoundError} If none has it.
   * @throws {RangeNotSatisfiableError} If peers say that the range lies outside of the content.
   */
  open(
    range: string | undefined,
    signal?: AbortSignal,
    reason: AskReason = "first",
  ): Promise<PeerAnswer> {
    return this.race((peer, attemptSignal, onInterim) =>
      this.ask(peer, {
        method: "GET",
        signal: attemptSignal,
        onInterim,
        reason,
        ...(range === undefined ? {} : { range }),
      }), signal);
  }

  /**
   * Asks one peer.
   *
   * @param peer Whom.
   * @param request For what.
   * @returns Its answer.
   * @throws {NotFoundError} If it does not have the content.
   * @throws {PeerError} If it does not answer as it should.
   */
  ask(peer: Peer, request: SearchRequest): Promise<PeerAnswer> {
    const { tracing } = this.#context;
    const reason = this.#isHedging ? "hedge" : request.reason ?? "first";
    this.#isHedging = false;
    if (tracing === undefined) return this.#ask(peer, request);
    const attributes = {
      "kagami.key": this.path.key,
      "kagami.peer": peer.id,
      "kagami.reason": reason,
      "kagami.range": request.range,
      "kagami.growing": this.named !== undefined,
    };
    return this.#askTraced(peer, request, tracing, attributes);
  }

  /** Only what is a peer's fault makes its span one that failed. */
  async #askTraced(
    peer: Peer,
    request: SearchRequest,
    tracing: Tracing,
    attributes: Attributes,
  ): Promise<PeerAnswer> {
    const result = await tracing.ask("ask peer", attributes, async (span) => {
      try {
        const answer = await this.#ask(peer, request);
        span.set({ "kagami.outcome": "answered", "server.address": answer.address });
        return { answer };
      } catch (error) {
        const outcome = outcomeOf(error, request.signal);
        span.set({ "kagami.outcome": outcome });
        if (outcome === "failed") throw error;
        return { error };
      }
    });
    if ("error" in result) throw result.error;
    return result.answer;
  }

  async #ask(peer: Peer, request: SearchRequest): Promise<PeerAnswer> {
    const { router, client, events, book, now } = this.#context;
    const { path } = this;
    const isGrowing = this.named !== undefined;
    const startedAt = now();
    try {
      // Who was named may have failed with something else, and takes its time until the content has come.
      const isSuspect = !isGrowing && book.isSuspect(peer);
      const answer = await client.request(
        peer,
        { ...request, path, isGrowing, ...(isSuspect ? { headMs: SUSPECT_HEAD_MS } : {}) },
      );
      book.answered(peer, now() - startedAt, answer.load);
      return answer;
    } catch (error) {
      if (error instanceof NotFoundError) router.forget(path.key, peer);
      if (error instanceof BusyError) {
        book.isBusyFor(peer, error.retryAfterMs);
        events?.peerBusy?.();
      }
      throw error;
    }
  }

  /**
   * Notes that a peer failed.
   *
   * @param peer Which one.
   * @param error What it did; what is no fault of a peer is left out.
   */
  failed(peer: Peer, error: unknown): void {
    const isWrong = error instanceof VerificationError;
    if (!(error instanceof PeerError) && !isWrong) return;
    const { book, events } = this.#context;
    book.failed(peer);
    events?.peerFailed?.(peer, error);
    if (isWrong) events?.verificationFailed?.(peer);
  }

  /**
   * Asks peers, one beside the other where one is slow, until one gives what is wanted.
   *
   * @param attempt Asks one of them.
   * @param signal Ends the search.
   * @returns What the first one gave.
   * @throws {NotFoundError} If none does.
   * @throws {RangeNotSatisfiableError} If peers say that the range lies outside of the content.
   * @throws {UnavailableError} If peers cannot be looked up.
   */
  async race<T>(
    attempt: (peer: Peer, signal: AbortSignal, isWorking: () => void) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const { named } = this;
    const { book, resolveTimeoutMs, resolveRetries, events } = this.#context;
    const result = await race(this.candidates, {
      waitMs: named?.patienceMs ?? resolveTimeoutMs,
      hedgeMs: book.hedgeMs,
      maxAttempts: named === undefined ? resolveRetries : MAX_NAMED_PEERS,
      // Who waits for content that grows has a bound of its own, however long the peer works on the answer.
      deadlineMs: () => named?.patienceMs ?? OPEN_DEADLINE_MS,
      onHedge: () => {
        this.#isHedging = true;
        events?.hedged?.();
      },
      attempt: async (peer, attemptSignal, isWorking) => {
        try {
          return await attempt(peer, attemptSignal, isWorking);
        } catch (error) {
          named?.failed();
          // An attempt that lost the race says nothing about its peer.
          if (!attemptSignal.aborted) this.failed(peer, error);
          throw error;
        }
      },
      discard: discardAnswer,
      ...(signal === undefined ? {} : { signal }),
    });
    if (result.won) return result.answer;
    throw this.#lost(result.failures);
  }

  #lost(failures: readonly unknown[]): Error {
    const { path, candidates } = this;
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

function outcomeOf(error: unknown, signal: AbortSignal | undefined): string {
  if (signal?.aborted) return "not needed";
  if (error instanceof NotFoundError) return "not found";
  if (error instanceof RangeNotSatisfiableError) return "range not satisfiable";
  return error instanceof BusyError ? "busy" : "failed";
}

function discardAnswer(answer: unknown): void {
  if (typeof answer === "object" && answer !== null && "response" in answer) {
    (answer as PeerAnswer).response.close();
  }
}
