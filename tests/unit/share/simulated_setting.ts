/**
 * What is simulated, and what comes of it.
 *
 * @module
 */

/** What goes wrong in a schedule; all are probabilities. */
export interface Faults {
  /** A message is lost, or comes up to three seconds late. */
  readonly loss: number;
  readonly delay: number;
  /** A node does not know another one. */
  readonly blindness: number;
  /** The mirror, or the containerd, of a node dies in the middle. */
  readonly mirrorDeath: number;
  readonly containerdDeath: number;
  /** All of a node dies in the middle. */
  readonly nodeDeath: number;
  /** Upstream refuses a node, or stalls for it, or sends it wrong bytes. */
  readonly refusal: number;
  readonly stall: number;
  readonly corruption: number;
}

/** What is simulated. */
export interface Setting {
  readonly seed: number;
  readonly nodes: number;
  readonly faults: Faults;
  /** Size of a content, in steps; a step is what containerd writes at once. */
  readonly steps: number;
  /** Key of a manifest that is pulled first. */
  readonly manifest?: string;
  /** Time within which something dies, in milliseconds. */
  readonly deathsMs: number;
  /** Longest time until a node sees that another one is gone, in milliseconds. */
  readonly noticeMs: number;
  /** Requests that a containerd has under way at the same time, as in containerd 2; as many as it likes by default. */
  readonly slots?: number;
  /** Whether those who fetch share one link. */
  readonly isUpstreamShared?: boolean;
}

/** How a pull ended. */
export interface PullResult {
  readonly node: string;
  readonly key: string;
  readonly end: "complete" | "failed";
  /** Why it failed; only what is not Kagami's fault is allowed. */
  readonly reason?: "refused" | "containerd died" | "upstream sent wrong bytes";
  /** Longest time that the mirror made its containerd wait, in milliseconds. */
  readonly longestWaitMs: number;
  readonly endedAt: number;
}

/** Steps that came from upstream, and how all pulls ended. */
export interface Outcome {
  readonly pulls: readonly PullResult[];
  /** Pulls that had not ended when the simulation was given up. */
  readonly open: number;
  readonly upstreamSteps: number;
  /** Nodes whose mirror died. */
  readonly deaths: number;
  /** Bodies that were ended cleanly, though they were wrong or not whole. */
  readonly wrongBodies: number;
}
