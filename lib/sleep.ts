/**
 * Waiting that ends with an abort signal.
 *
 * @module
 */

/** The type of {@linkcode sleep}, for what lets its caller choose the clock. */
export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>;

/**
 * Waits.
 *
 * @param ms How long, in milliseconds.
 * @param signal Ends the wait early, without an error.
 */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = () => resolve();
  const timer = setTimeout(wake, ms);
  signal?.addEventListener("abort", wake, { once: true });
  await promise;
  clearTimeout(timer);
  signal?.removeEventListener("abort", wake);
}
