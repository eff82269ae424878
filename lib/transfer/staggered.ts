/**
 * Tries one thing after the other, the next one early when the last one is slow (RFC 8305, "Happy Eyeballs").
 *
 * @module
 */
/** Options of {@linkcode staggered}. */
export interface StaggeredOptions<Item, T> {
  /**
   * Tries one. The signal is aborted when its result is not wanted any more. Once it has called `reached`, the next one is
   * tried only if it fails.
   */
  readonly attempt: (item: Item, signal: AbortSignal, reached: () => void) => Promise<T>;
  /** After so many milliseconds the next one is tried as well. */
  readonly headStartMs: number;
  /** Whether a failure says that trying others is of no use. */
  readonly isFinal: (error: unknown) => boolean;
  /** Frees a result that came too late. */
  readonly discard: (late: T) => void;
  /** Ends all of it. */
  readonly signal?: AbortSignal;
}

/**
 * Runs the attempts.
 *
 * @param items What to try, best first, at least one.
 * @param options How.
 * @returns The first result.
 * @throws The first final failure, else the last one.
 *
 * @example
 * ```ts
 * const connection = await staggered(["10.0.0.1", "fd00::1"], {
 *   attempt: (hostname, signal) => Deno.connect({ hostname, port: 5000, signal }),
 *   headStartMs: 150,
 *   isFinal: () => false,
 *   discard: (late) => late.close(),
 * });
 * ```
 */
export function staggered<Item, T>(
  items: readonly Item[],
  options: StaggeredOptions<Item, T>,
): Promise<T> {
  const { attempt, headStartMs, isFinal, discard, signal } = options;
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const aborts = new Set<AbortController>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let next = 0;
  let isOver = false;
  const end = (winner?: AbortController) => {
    isOver = true;
    clearTimeout(timer);
    for (const abort of aborts) if (abort !== winner) abort.abort();
  };
  const startNext = () => {
    clearTimeout(timer);
    const abort = new AbortController();
    aborts.add(abort);
    const item = items[next++]!;
    if (next < items.length) timer = setTimeout(startNext, headStartMs);
    const bounded = signal === undefined ? abort.signal : AbortSignal.any([abort.signal, signal]);
    const reached = () => {
      if (!abort.signal.aborted) clearTimeout(timer);
    };
    attempt(item, bounded, reached).then((result) => {
      if (isOver) return discard(result);
      end(abort);
      resolve(result);
    }, (error) => {
      aborts.delete(abort);
      if (isOver) return;
      const hasMore = next < items.length && !signal?.aborted && !isFinal(error);
      if (hasMore) return startNext();
      if (aborts.size > 0 && !isFinal(error)) return; // Another attempt is still under way.
      end();
      reject(error);
    });
  };
  startNext();
  return promise;
}
