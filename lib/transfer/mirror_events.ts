/**
 * What the mirror tells of its transfers.
 *
 * @module
 */
import type { Peer } from "../routing/router.ts";

/** What happened during transfers, for metrics. All optional. */
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
}
