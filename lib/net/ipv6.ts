/**
 * Whether the machine has IPv6.
 *
 * @module
 */

/**
 * Tries it.
 *
 * @returns True if a socket can listen on IPv6.
 */
export function hasIpv6(): boolean {
  try {
    Deno.listen({ hostname: "::", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}
