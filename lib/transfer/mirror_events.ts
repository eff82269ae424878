/**
 * What the mirror tells of its transfers.
 *
 * @module
 */
import type { DigestPath } from "../oci/distribution.ts";
import type { Peer } from "../routing/router.ts";
import type { DownloadProgress } from "./download_progress.ts";

/** What happens during transfers, for metrics and the web page. All optional. */
export interface MirrorEvents {
  /** A lookup found its first peer after so many seconds. */
  resolved?(seconds: number): void;
  /** A peer failed to deliver. */
  peerFailed?(peer: Peer, error: unknown): void;
  /** A peer said that it is busy. */
  peerBusy?(): void;
  /** A peer was asked beside one that is slow to answer. */
  hedged?(): void;
  /** A body was continued from another peer. */
  resumed?(): void;
  /** Bytes of a content come from one more peer at the same time. */
  laneAdded?(): void;
  /** A peer delivered bytes that do not match their digest. */
  verificationFailed?(peer: Peer): void;
  /** A blob begins to come. Returns where its bytes are counted, if they are to be. */
  receiving?(path: DigestPath, size: number): DownloadProgress | undefined;
}
