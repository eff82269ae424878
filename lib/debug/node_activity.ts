/**
 * What a running mirror does, as its web page at `/debug/web/` reads it: JSON of the paths below.
 *
 * @module
 */
import type { Location, NodeStatus } from "./node_status.ts";

/** Path of an {@linkcode Overview}. */
export const OVERVIEW_PATH = "/debug/overview";

/** Path of {@linkcode SavingsSeries}. */
export const SAVINGS_PATH = "/debug/savings";

/** Path of an {@linkcode ImageList}; the query `filter` is a part of the names that are wanted. */
export const IMAGES_PATH = "/debug/images";

/** Path that measures a pull: a POST of `{"image": …}`, answered with a {@linkcode Measurement}. */
export const MEASURE_PATH = "/debug/measure";

/** Bytes since the start. */
export interface Totals {
  /** Sent to containerd, from peers: what was not fetched from an upstream registry. */
  readonly peers: number;
  /** Sent to containerd, from this node's own store. */
  readonly local: number;
  /** Sent to peers. */
  readonly given: number;
  /** Asked for here in vain, and in the store since: containerd got it from upstream. */
  readonly upstream: number;
}

/**
 * - `from-peer`: this node gets it, for containerd or for a measurement.
 * - `to-peer`: a peer gets it from this node's store.
 * - `to-client`: containerd gets it from this node.
 * - `from-upstream`: containerd gets it from elsewhere.
 */
export type TransferDirection = "from-peer" | "to-peer" | "to-client" | "from-upstream";

/** A content on its way. */
export interface TransferView {
  /** The same for as long as the content is on its way. */
  readonly id: number;
  readonly direction: TransferDirection;
  /** Digest, or the tag that was asked for. */
  readonly key: string;
  /** `<registry>/<repository>`, where it is known. */
  readonly repository: string;
  /** Peers, or whoever asked. */
  readonly parties: readonly string[];
  readonly bytes: number;
  /** Bytes that are to move. */
  readonly size: number;
  readonly bytesPerSecond: number;
  readonly elapsedMs: number;
}

/** A content that was on its way. */
export interface FinishedTransfer extends TransferView {
  /** Whether all of it moved. */
  readonly isComplete: boolean;
  readonly endedAgoMs: number;
}

/** Something that is not as it should be. */
export interface Problem {
  readonly level: "warning" | "failure";
  readonly what: string;
  readonly remedy?: string;
}

/** A problem of the past. */
export interface RecentError extends Problem {
  /** How often it happened since it was first noted. */
  readonly count: number;
  readonly lastAgoMs: number;
}

/** How a peer answered when it was asked for the last time. */
export interface Probe {
  readonly state: "ready" | "not-ready" | "silent";
  /** From the question to the answer; undefined without an answer. */
  readonly latencyMs?: number;
  /** Why there is no answer. */
  readonly failure?: string;
  readonly agoMs: number;
}

/** All that changes from moment to moment. */
export interface Overview {
  readonly status: NodeStatus;
  /** By identity of the peer; those that have not been asked yet are missing. */
  readonly probes: Readonly<Record<string, Probe>>;
  readonly totals: Totals;
  readonly transfers: readonly TransferView[];
  /** Transfers that are under way and not listed. */
  readonly moreTransfers: number;
  readonly finished: readonly FinishedTransfer[];
  /** What is wrong now. */
  readonly problems: readonly Problem[];
  /** What went wrong, the latest first. */
  readonly errors: readonly RecentError[];
}

/** Bytes of one span of time. */
export interface SavingsSample extends Totals {
  /** When the span ended, in milliseconds since 1970. */
  readonly at: number;
}

/** Bytes over time. */
export interface SavingsSeries {
  /** The last hour, in short spans. */
  readonly hour: readonly SavingsSample[];
  /** The last day, in longer ones. */
  readonly day: readonly SavingsSample[];
}

/** An image in this node's store. */
export interface ImageView {
  /** Full reference. */
  readonly name: string;
  readonly digest: string;
  /** Whether it is mirrored; others are not announced. */
  readonly isMirrored: boolean;
  /** Who else has it; undefined until it has been looked up. */
  readonly located?: Pick<Location, "peers" | "complete"> & { readonly agoMs: number };
}

/** The tagged images in this node's store. */
export interface ImageList {
  readonly images: readonly ImageView[];
  /** Images that match the filter, also those that are not listed. */
  readonly matching: number;
  /** Images in the store. */
  readonly total: number;
}

/** A content that was fetched to see how long it takes. */
export interface MeasuredContent {
  readonly kind: "index" | "manifest" | "config" | "layer";
  readonly digest: string;
  /** Bytes that came. */
  readonly size: number;
  /** `host:port` of the first peer that delivered. */
  readonly from?: string;
  readonly firstByteMs?: number;
  readonly durationMs: number;
  /** Why it did not come whole. */
  readonly failure?: string;
}

/** How long it took to get an image from peers. */
export interface Measurement {
  /** Full reference. */
  readonly image: string;
  /** What the reference stands for, as far as peers know. */
  readonly digest?: string;
  /** Peers that have it, each with the time after which it was found. */
  readonly found: readonly { readonly peer: string; readonly afterMs: number }[];
  readonly contents: readonly MeasuredContent[];
  /** Bytes of all contents. */
  readonly size: number;
  /** Time of all contents. */
  readonly durationMs: number;
  /** Why there is not more. */
  readonly incomplete?: string;
  readonly remedy?: string;
}
