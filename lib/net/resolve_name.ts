/**
 * Names to IP addresses.
 *
 * @module
 */
import { lookup } from "node:dns/promises";
import { abortable } from "../abortable.ts";

/** Longest wait for the system's resolver, in milliseconds; it may try dead servers for half a minute. */
export const RESOLVE_TIMEOUT_MS = 5000;

/** Resolves a name to IP addresses, or fails. */
export type ResolveName = (name: string, signal: AbortSignal) => Promise<string[]>;

/**
 * Asks the system's resolver.
 *
 * @param name Host name.
 * @param signal Ends the wait.
 * @returns All its IP addresses, of both families.
 */
export async function resolveName(name: string, signal: AbortSignal): Promise<string[]> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(RESOLVE_TIMEOUT_MS)]);
  const found = await abortable(lookup(name, { all: true }), limit);
  return found.map(({ address }) => address);
}
