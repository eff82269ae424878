/**
 * Ports nobody listens on.
 *
 * @module
 */

/** @returns A TCP port that is free on all addresses now. */
export function freePort(): number {
  using listener = Deno.listen({ port: 0 });
  return listener.addr.port;
}
