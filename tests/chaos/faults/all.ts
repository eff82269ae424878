/**
 * What brings each kind of fault about.
 *
 * @module
 */
import type { FaultKind } from "../schedule.ts";
import { decayBlob, overwriteBlob } from "./blobs.ts";
import type { Inject } from "./fault.ts";
import { fillDisk, stepClock } from "./machine.ts";
import { cutLink, slowLink, slowUpstream, splitNetwork } from "./network.ts";
import {
  killContainerd,
  killMirror,
  loseNode,
  pauseContainerd,
  pauseMirror,
  stopMirror,
} from "./processes.ts";

/** By kind. */
export const INJECT: Readonly<Record<FaultKind, Inject>> = {
  "mirror killed": killMirror,
  "mirror stopped in order": stopMirror,
  "mirror paused": pauseMirror,
  "containerd killed": killContainerd,
  "containerd paused": pauseContainerd,
  "node lost": loseNode,
  "link cut": cutLink,
  "link slow": slowLink,
  "upstream slow": slowUpstream,
  "network split": splitNetwork,
  "disk full": fillDisk,
  "clock stepped": stepClock,
  "blob overwritten": overwriteBlob,
  "blob decayed": decayBlob,
};
