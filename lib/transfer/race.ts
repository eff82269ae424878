/**
 * Asks candidates one after the other, the next one early when the current one is slow; the first good answer
 * wins.
 *
 * @module
 */
import { PeerError } from "../errors.ts";
import type { Peer } from "../routing/router.ts";
import type { Candidates } from "./candidates.ts";

/** Options of {@linkcode race}. */
export interface RaceOptions<T> {
  /** Longest wait in milliseconds for a candidate while none is being asked: the resolve timeout. */
  readonly waitMs: number;
  /** After this many milliseconds without an answer one more candidate is asked beside the others. */
  readonly hedgeMs: number;
  /** Most candidates that are asked. */
  readonly maxAttempts: number;
  /** Longest time until all of it is over, in milliseconds; asked anew when somebody works on the answer. */
  readonly deadlineMs: () => number;
  /**
   * Asks one candidate. The signal is aborted when its answer is not wanted any more; `isWorking` tells that the candidate
   * works on the answer, which puts the deadline off.
   */
  readonly attempt: (peer: Peer, signal: AbortSignal, isWorking: () => void) => Promise<T>;
  /** Called when a candidate is asked beside others. */
  readonly onHedge?: () => void;
  /** Frees an answer that came too late to win. */
  readonly discard: (answer: T) => void;
  /** Ends the race. */
  readonly signal?: AbortSignal;
}

/** How a race ended: with an answer, or with what every candidate failed with. */
export type RaceResult<T> =
  | { readonly won: true; readonly answer: T }
  | { readonly won: false; readonly failures: readonly unknown[] };

interface Attempt<T> {
  readonly peer: Peer;
  readonly outcome: Promise<Outcome<T>>;
}

interface Outcome<T> {
  readonly abort: AbortController;
  readonly result: { readonly answer: T } | { readonly error: unknown };
}

/**
 * Runs the race.
 *
 * @param candidates Where the peers come from.
 * @param options Limits, and how to ask.
 * @returns The first good answer, or all failures.
 */
export async function race<T>(
  candidates: Candidates,
  options: RaceOptions<T>,
): Promise<RaceResult<T>> {
  const running = new Map<AbortController, Attempt<T>>();
  const failures: unknown[] = [];
  const over = new AbortController();
  const stop = () => over.abort();
  const beganAt = performance.now();
  let timer = setTimeout(stop, options.deadlineMs());
  let isOver = false;
  const putOff = () => {
    clearTimeout(timer);
    if (isOver) return;
    timer = setTimeout(stop, options.deadlineMs());
  };
  options.signal?.addEventListener("abort", stop, { once: true });
  if (options.signal?.aborted) stop();
  let started = 0;
  try {
    while (!over.signal.aborted) {
      if (started < options.maxAttempts) {
        const peer = running.size === 0
          ? await candidates.next(options.waitMs, over.signal)
          : candidates.take();
        if (peer !== undefined) {
          started += 1;
          if (running.size > 0) options.onHedge?.();
          const abort = new AbortController();
          const outcome = settle(abort, options.attempt(peer, abort.signal, putOff));
          running.set(abort, { peer, outcome });
        }
      }
      if (running.size === 0) return { won: false, failures };
      const pending = [...running.values()].map((attempt) => attempt.outcome);
      const outcome = await firstOf(pending, options.hedgeMs, over.signal);
      if (outcome === undefined) continue;
      running.delete(outcome.abort);
      if ("answer" in outcome.result) {
        // The others were not bad, only slower: they are needed when the body of the winner breaks off.
        for (const { peer } of running.values()) candidates.offer(peer);
        return { won: true, answer: outcome.result.answer };
      }
      failures.push(outcome.result.error);
    }
    failures.push(
      new PeerError(`no peer answered within ${Math.round(performance.now() - beganAt)} ms`),
    );
    return { won: false, failures };
  } finally {
    isOver = true;
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", stop);
    for (const [abort, { outcome }] of running) {
      abort.abort();
      outcome.then(({ result }) => {
        if ("answer" in result) options.discard(result.answer);
      });
    }
  }
}

function settle<T>(abort: AbortController, attempt: Promise<T>): Promise<Outcome<T>> {
  return attempt.then(
    (answer) => ({ abort, result: { answer } }),
    (error) => ({ abort, result: { error } }),
  );
}

async function firstOf<T>(
  pending: Iterable<Promise<T>>,
  waitMs: number,
  signal: AbortSignal,
): Promise<T | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const wake = () => resolve(undefined);
  const timer = setTimeout(wake, waitMs);
  signal.addEventListener("abort", wake, { once: true });
  try {
    return await Promise.race([...pending, promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", wake);
  }
}
