/**
 * The list of a content's chunks that a download goes by: one peer's, compared with another one's.
 *
 * @module
 */
import { VerificationError } from "../errors.ts";
import type { ChunkList } from "../oci/chunk_list.ts";
import { sleep } from "../sleep.ts";

/**
 * How long a list of chunks waits for another one to be compared with, in milliseconds, before bytes that agree with it
 * are handed out. What a liar's own list agrees with cannot be called back.
 */
export const SECOND_OPINION_MS = 250;

/** What happens when lists differ, and what ends the wait for them. */
export interface Agreement {
  /** One of the peers lies. May be called after a list was returned. */
  readonly disagree: (error: VerificationError) => void;
  /** Ends the wait for a list to compare with. */
  readonly signal: AbortSignal;
}

/**
 * The list to go by, after a short wait for another one to compare it with. Peers that do not agree, also later, end
 * the download: one of them lies, and nobody here can tell which.
 *
 * @param lists The lists, as peers send them.
 * @param agreement What happens when they differ.
 * @returns The list; undefined if no peer has one.
 */
export async function agreedChunkList(
  lists: readonly Promise<ChunkList | undefined>[],
  { disagree, signal }: Agreement,
): Promise<ChunkList | undefined> {
  const settled = new AbortController();
  const all = Promise.all(lists).then((found) => {
    settled.abort();
    const [list, ...others] = found.filter((one) => one !== undefined);
    if (list === undefined || others.every((other) => other.equals(list))) return list;
    disagree(new VerificationError("peers disagree about the chunks of the content"));
    return list;
  });
  const waiting = AbortSignal.any([signal, settled.signal]);
  const first = firstDefined(lists).then(async (list) => {
    await sleep(SECOND_OPINION_MS, waiting);
    return list;
  });
  return await Promise.race([all, first]);
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
