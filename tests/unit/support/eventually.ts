/**
 * Waiting for a condition.
 *
 * @module
 */

/** Longest wait of {@linkcode eventually}, in milliseconds: far more than anything takes on a busy machine. */
export const EVENTUALLY_MS = 30_000;

/**
 * Waits until a probe answers something else than undefined or false.
 *
 * @param what What is waited for, for the error.
 * @param probe Looks; an error counts as not yet.
 * @param timeoutMs Longest wait.
 * @returns What the probe answered.
 */
export async function eventually<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs: number = EVENTUALLY_MS,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let failure: unknown;
  while (performance.now() < deadline) {
    try {
      const result = await probe();
      if (result !== undefined && result !== false) return result;
    } catch (error) {
      failure = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${what}: not within ${timeoutMs} ms`, { cause: failure });
}
