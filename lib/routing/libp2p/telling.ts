/**
 * What a node tells a peer about its keys in one batch.
 *
 * Records that are withdrawn while a peer cannot be told, and those of a node that was restarted without its memory of
 * them, would be believed until they expire. So what a peer is told when it comes is marked as complete: with the mark at
 * its end the peer forgets all that this node told before the mark at its beginning. The marks are withdrawals of keys
 * that nobody can have, which means nothing to Spegel.
 *
 * @module
 */
import { digestOf, type ProviderKey, providerKey } from "./provider_key.ts";

/** One batch. */
export interface Telling {
  /** Whether all that this node has follows, in this batch and the next ones. */
  readonly begins: boolean;
  /** Keys that this node provides. */
  readonly announced: readonly ProviderKey[];
  /** Keys that it provides no longer. */
  readonly withdrawn: readonly ProviderKey[];
  /** Whether that was all. */
  readonly ends: boolean;
}

/** Key whose withdrawal says that all keys follow. */
export const BEGINNING: ProviderKey = providerKey("kagami: all of my keys follow");

/** Key whose withdrawal says that those were all. */
export const END: ProviderKey = providerKey("kagami: these were all of my keys");

const MARKS = new Map(
  [
    [digestOf(BEGINNING.multihash)!.toHex(), "begins"],
    [digestOf(END.multihash)!.toHex(), "ends"],
  ] as const,
);

/**
 * @param digest Digest of a key that was withdrawn.
 * @returns What is meant by it, if it is one of the marks.
 */
export function markOf(digest: Uint8Array): "begins" | "ends" | undefined {
  return MARKS.get(digest.toHex());
}
