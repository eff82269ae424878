/**
 * A peer that delivers a part of a download.
 *
 * @module
 */
import type { KagamiError } from "../errors.ts";
import type { Peer } from "../routing/router.ts";
import type { PeerAnswer } from "./peer_client.ts";
import type { Run } from "./runs.ts";

/** State of a peer that delivers. */
export interface Lane {
  readonly peer: Peer;
  answer: PeerAnswer | undefined;
  /** What is still to be filled by this lane. */
  readonly run: Run;
  /** Since when it waits for its peer; undefined while it waits for something else. */
  waitingSince: number | undefined;
  /** How long its last chunk took, in milliseconds; undefined before the first one. */
  chunkMs: number | undefined;
  /** When it brought something for the last time; undefined if it has not. */
  progressedAt: number | undefined;
  /** True if it is to end after its run. */
  isRetired: boolean;
  /** Why it was cut off. */
  cutOff?: KagamiError;
  /** True if that was since it is of no use even as the only one. */
  isHopeless: boolean;
  /** Aborted together with that. */
  readonly abort: AbortController;
  /** True if its peer was reported as one that failed. */
  isReported: boolean;
}

/**
 * Makes a lane.
 *
 * @param peer Who delivers.
 * @param run What is to be filled first.
 * @param answer Where that comes from, if it has been asked for.
 * @returns The lane.
 */
export function createLane(peer: Peer, run: Run, answer?: PeerAnswer): Lane {
  return {
    peer,
    answer,
    run,
    waitingSince: undefined,
    chunkMs: undefined,
    progressedAt: undefined,
    isRetired: false,
    isHopeless: false,
    abort: new AbortController(),
    isReported: false,
  };
}
