/**
 * Waits for a content that a peer was told to get here, though it is not here yet.
 *
 * @module
 */
import { NotFoundError } from "../errors.ts";
import { sleep } from "../sleep.ts";

/** How often it is looked for, in milliseconds. */
export const ARRIVAL_POLL_MS = 40;

/** Longest wait for its first byte, in milliseconds: as long as the peer waits. */
export const ARRIVAL_MS = 5000;

/** Options of {@linkcode arrival}. */
export interface ArrivalOptions<T> {
  /** Finds it where it is complete; fails with a NotFoundError while it is not there. */
  readonly complete: () => Promise<T>;
  /** Finds it where it is being written, once the bytes that are wanted first are there. */
  readonly growing: (signal: AbortSignal) => Promise<T | undefined>;
  /** Whether it is known that it will not come. */
  readonly isHopeless: () => boolean;
  /** Ends the wait. */
  readonly signal: AbortSignal;
}

/**
 * Waits until a content is complete or grows.
 *
 * @param options Where to look.
 * @returns What was found.
 * @throws {NotFoundError} If it does not come.
 */
export async function arrival<T>(options: ArrivalOptions<T>): Promise<T> {
  const { complete, growing, isHopeless } = options;
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(ARRIVAL_MS)]);
  while (true) {
    try {
      return await complete();
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      const found = await growing(signal).catch(unlessNotFound);
      if (found !== undefined) return found;
      if (signal.aborted || isHopeless()) throw error;
    }
    await sleep(ARRIVAL_POLL_MS, signal);
  }
}

function unlessNotFound(error: unknown): undefined {
  // It has become complete, or was given up: the next look tells.
  if (!(error instanceof NotFoundError)) throw error;
}
