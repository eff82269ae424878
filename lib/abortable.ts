/**
 * Waiting for work that cannot be ended itself.
 *
 * @module
 */

/**
 * Waits for a promise, no longer than until a signal is aborted. What is behind the promise goes on.
 *
 * @param work What is waited for.
 * @param signal Ends the wait.
 * @returns What the promise yields.
 * @throws The signal's reason when it is aborted, or what the promise is rejected with.
 */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([promise, work]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
