/**
 * Basic authentication of the local registry.
 *
 * @see RFC 7617
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";

/** User name and password that clients must send. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** @returns Value of the `Authorization` header for the credentials. */
export function basicAuthorization(credentials: Credentials): string {
  const bytes = new TextEncoder().encode(`${credentials.username}:${credentials.password}`);
  return `Basic ${bytes.toBase64()}`;
}

/**
 * Checks an `Authorization` header in constant time.
 *
 * @param header Value of the header, or undefined.
 * @param credentials What is wanted.
 * @returns True if it carries exactly these credentials.
 */
export function isAuthorized(header: string | undefined, credentials: Credentials): boolean {
  const sent = /^basic[ ]+([A-Za-z0-9+/=]+)[ ]*$/i.exec(header ?? "")?.[1];
  if (sent === undefined) return false;
  const wanted = basicAuthorization(credentials).slice("Basic ".length);
  // Hashing first makes both sides equally long, as timingSafeEqual wants it.
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(sent), hash(wanted));
}
