/**
 * Peers that are named one after the other by somebody who knows better than a lookup.
 *
 * @module
 */
import type { Peer } from "./router.ts";

/** Where to get a content that others are getting at the same time. */
export interface PeerSource {
  /**
   * Whom to get it from: first, and each time that the last one does not deliver.
   *
   * @returns A peer; undefined if it is time to go upstream.
   */
  next(): Promise<Peer | undefined>;
  /** How long the next bytes may still be waited for, in milliseconds. */
  patienceMs(): number;
  /** So many bytes have come. */
  progressed(bytes: number): void;
  /**
   * It is over. Safe to call twice.
   *
   * @param isComplete Whether all that was wanted has come.
   */
  close(isComplete: boolean): void;
}
