/**
 * What a download needs of the mirror: peers, and somebody to tell how they do.
 *
 * @module
 */
import type { VerificationError } from "../errors.ts";
import type { Peer } from "../routing/router.ts";
import type { ByteRange } from "../store/store.ts";
import type { PeerAnswer } from "./peer_client.ts";

/** What a download needs of the mirror. All of these may be called while the reader is being read. */
export interface DownloadSource {
  /**
   * Asks a certain peer.
   *
   * @param peer Whom.
   * @param range The bytes that are wanted.
   * @param signal Aborted when they are not wanted any more.
   */
  ask(peer: Peer, range: ByteRange, signal: AbortSignal): Promise<PeerAnswer>;
  /**
   * Finds a peer that goes on. Fails when there is none.
   *
   * @param range The bytes that are wanted.
   */
  another(range: ByteRange): Promise<PeerAnswer>;
  /** Takes a further peer that is known, if there is one. */
  spare(): Peer | undefined;
  /** Whether {@linkcode spare} would give one. */
  hasSpare(): boolean;
  /** A peer is not needed any more, and may be asked again. */
  release(peer: Peer): void;
  /** Waits until so many bytes more may come. */
  pace(bytes: number): Promise<void> | undefined;
  /** A peer failed; `progressed` tells whether it brought something before. */
  failed(peer: Peer, error: unknown, progressed: boolean): void;
  /** A body begins to come from a peer, and is over. */
  started(peer: Peer): void;
  ended(peer: Peer): void;
  /** A peer goes on where another one failed. */
  resumed(): void;
  /** What comes is wrong whoever brings it, or has been handed out: only a broken connection is left. */
  poisoned(error: VerificationError): void;
  /** The download was closed; `isComplete` tells whether all of it was handed out. */
  closed(isComplete: boolean): void;
}
