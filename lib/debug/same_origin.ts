/**
 * Tells requests of the mirror's own page, and of programs, from those that some other page makes a browser send: the
 * debug address knows no credentials.
 *
 * @module
 */

/**
 * @param header Gives the value of a header by its lower-case name.
 * @returns True if a page of another origin may be behind the request.
 */
export function isForeign(header: (name: string) => string | undefined): boolean {
  // Pages cannot set it. Browsers send it to hosts that they trust: https, and localhost.
  const site = header("sec-fetch-site");
  if (site !== undefined) return site !== "same-origin";
  // Browsers send it with each POST; programs do not.
  const origin = header("origin");
  if (origin === undefined) return false;
  const host = header("host");
  return host === undefined || URL.parse(origin)?.host !== host.toLowerCase();
}
