/**
 * Runs checks, all at once and each for a bounded time.
 *
 * @module
 */
import type { Check, CheckContext } from "./check.ts";
import { type Finding, reporter } from "./finding.ts";

/** Longest time of one check, in milliseconds. */
export const CHECK_TIMEOUT_MS = 15_000;

/**
 * Runs checks.
 *
 * @param checks What to check.
 * @param context What to look at.
 * @param signal Ends it early.
 * @param timeoutMs Longest time of one check.
 * @returns All findings, in the order of the checks. Never throws: a check that fails is a finding, too.
 */
export async function runChecks(
  checks: readonly Check[],
  context: CheckContext,
  signal: AbortSignal,
  timeoutMs: number = CHECK_TIMEOUT_MS,
): Promise<Finding[]> {
  const findings = await Promise.all(
    checks.map((check) => runOne(check, context, signal, timeoutMs)),
  );
  return findings.flat();
}

async function runOne(
  check: Check,
  context: CheckContext,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<readonly Finding[]> {
  const { found } = reporter(check.name);
  const abort = new AbortController();
  const { promise: ended, resolve: end } = Promise.withResolvers<readonly Finding[]>();
  const stop = (why: string) => {
    abort.abort();
    end([found("check-unfinished", why)]);
  };
  const onAbort = () => stop("was stopped");
  const timer = setTimeout(() => stop(`not done within ${timeoutMs / 1000} s`), timeoutMs);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const running = check.run(context, abort.signal).catch((error) => [
      found("check-unfinished", error instanceof Error ? error.message : String(error)),
    ]);
    return await Promise.race([running, ended]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}
