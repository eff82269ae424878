/**
 * How a content that comes from peers tells how far it is.
 *
 * @module
 */
import type { TransferProgress } from "../net/transfer_progress.ts";
import type { Peer } from "../routing/router.ts";

/** One content on its way from peers. */
export interface DownloadProgress extends TransferProgress {
  /** A peer begins to deliver a part of it. */
  joined(peer: Peer): void;
  /** A peer delivers no more of it. */
  left(peer: Peer): void;
}
