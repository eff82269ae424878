/**
 * Waits for a content that a peer was told to get here, though it is not here yet.
 *
 * @module
 */
import { NotFoundError } from "../errors.ts";
import { QUEUED_MS } from "../share/coordinator.ts";
import { sleep } from "../sleep.ts";

/** How often it is looked for, in milliseconds. */
export const ARRIVAL_POLL_MS = 40;

/** Longest wait for its first byte once it is not in a queue, in milliseconds: as long as the peer waits. */
export const ARRIVAL_MS = 5000;

/** Options of {@linkcode arrival}. */
export interface ArrivalOptions<T> {
  /** Finds it where it is complete; fails with a NotFoundError while it is not there. */
  readonly complete: () => Promise<T>;
  /** Finds it where it is being written, once the bytes that are wanted first are there. */
  readonly growing: (signal: AbortSignal) => Promise<T | undefined>;
  /** Whether it is known that it will not come. */
  readonly isHopeless: () => boolean;
  /** Whether it waits in the queue of a containerd that will come to it. */
  readonly isQueued: () => boolean;
  /** Ends the wait. */
  readonly signal: AbortSignal;
  /** Monotonic clock in milliseconds. Default: the process's. */
  readonly now?: () => number;
}

/**
 * Waits until a content is complete or grows.
 *
 * @param options Where to look.
 * @returns What was found.
 * @throws {NotFoundError} If it does not come.
 */
export async function arrival<T>(options: ArrivalOptions<T>): Promise<T> {
  const { complete, growing, isHopeless, isQueued, signal } = options;
  const clock = options.now ?? (() => performance.now());
  const beganAt = clock();
  let waitsSince = beganAt;
  while (true) {
    try {
      return await complete();
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      const found = await growing(signal).catch(unlessNotFound);
      if (found !== undefined) return found;
      const now = clock();
      if (isQueued()) waitsSince = Math.min(now, beganAt + QUEUED_MS);
      if (signal.aborted || isHopeless() || now - waitsSince >= ARRIVAL_MS) throw error;
    }
    await sleep(ARRIVAL_POLL_MS, signal);
  }
}

function unlessNotFound(error: unknown): undefined {
  // It has become complete, or was given up: the next look tells.
  if (!(error instanceof NotFoundError)) throw error;
}
