/**
 * Gives memory back that the process does not need any more.
 *
 * Buffers of messages come and go between others that stay, and glibc gives back by itself only what is free at the end
 * of its heap: after the announcements of twenty nodes 7 MiB would lie there unused for good.
 *
 * @module
 */
import { type Sleep, sleep } from "../sleep.ts";
import type { Libc } from "./libc.ts";

/** How often memory is given back, in milliseconds. It takes 0.2 to 3 ms. */
export const TRIM_INTERVAL_MS = 10_000;

/**
 * Gives memory back, again and again.
 *
 * @param libc The C library.
 * @param signal Ends it.
 * @param wait Waits. Default: by the process's clock.
 */
export async function trimMemory(
  libc: Pick<Libc, "trim">,
  signal: AbortSignal,
  wait: Sleep = sleep,
): Promise<void> {
  while (!signal.aborted) {
    await wait(TRIM_INTERVAL_MS, signal);
    if (!signal.aborted) libc.trim();
  }
}
