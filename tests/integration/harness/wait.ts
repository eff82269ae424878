/**
 * Waits for a state of the world outside.
 *
 * @module
 */

/** Longest wait, in milliseconds. */
export const WAIT_TIMEOUT_MS = 20_000;

/** Time between two looks, in milliseconds. */
export const WAIT_INTERVAL_MS = 25;

/** Options of {@linkcode waitFor}. */
export interface WaitOptions {
  /** Default {@linkcode WAIT_TIMEOUT_MS}. */
  readonly timeoutMs?: number;
  /** Default {@linkcode WAIT_INTERVAL_MS}. */
  readonly intervalMs?: number;
  /** Anything worth reading when the wait was in vain, such as a log. */
  readonly details?: () => string;
}

/**
 * Waits until a condition holds.
 *
 * @param what The condition in words, for the error.
 * @param condition Is asked until it says true; an error of it ends the wait.
 * @param options Time limits.
 * @throws {Error} If the condition does not hold in time.
 *
 * @example
 * ```ts
 * await waitFor("the tag is advertised", async () => (await mirror.metrics()).includes("tags 1"));
 * ```
 */
export async function waitFor(
  what: string,
  condition: () => boolean | Promise<boolean>,
  options: WaitOptions = {},
): Promise<void> {
  const timeoutMs = options.timeoutMs ?? WAIT_TIMEOUT_MS;
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) {
      const details = options.details === undefined ? "" : `\n${options.details()}`;
      throw new Error(`waited ${timeoutMs} ms in vain until ${what}${details}`);
    }
    await new Promise((resolve) => setTimeout(resolve, options.intervalMs ?? WAIT_INTERVAL_MS));
  }
}
