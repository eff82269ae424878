/**
 * What a node tells a peer about its keys in one batch, and the order of batches.
 *
 * Records that are withdrawn while a peer cannot be told, and those of a node that was restarted without its memory of
 * them, would be believed until they expire. So what a peer is told when it comes is marked as complete: with the mark at
 * its end the peer forgets all that this node told before the mark at its beginning.
 *
 * A batch that was not acknowledged in time is told again on another stream, maybe of another connection, and may still
 * arrive after it. So each batch begins with a mark that has its number, and an older one is ignored once a newer one has
 * come.
 *
 * Marks are withdrawals of keys that nobody can have, which means nothing to Spegel.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { multihashOf, type ProviderKey } from "./provider_key.ts";

/** Most peers whose latest batch is remembered; there are no more connections. */
export const MAX_ORDERED_PEERS = 4096;

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

/** A mark. */
export interface Mark {
  /** A batch with which all keys begin; one that goes on, or tells what has changed; that those were all keys. */
  readonly kind: "begins" | "goes on" | "ends";
  /** Which run of the node tells it: hexadecimal, 8 bytes. */
  readonly epoch: string;
  /** Number of the batch, above those of all before it. */
  readonly sequence: number;
}

/** A stream of messages. */
export interface TellingSource {
  /** The last mark of a batch that came on it. */
  batch?: Mark;
}

const KINDS = ["begins", "goes on", "ends"] as const;

/** What all marks begin with; then come one byte of kind and 8 of each number. */
const PREFIX = createHash("sha256").update("kagami: a batch of keys").digest("hex").slice(0, 30);

/**
 * Makes the key whose withdrawal is a mark.
 *
 * @param mark The mark.
 * @returns Bytes of its multihash.
 */
export function markKey(mark: Mark): Uint8Array<ArrayBuffer> {
  const kind = KINDS.indexOf(mark.kind).toString(16).padStart(2, "0");
  const sequence = mark.sequence.toString(16).padStart(16, "0");
  return multihashOf(Uint8Array.fromHex(`${PREFIX}${kind}${mark.epoch}${sequence}`));
}

/**
 * @param digest Digest of a key that was withdrawn.
 * @returns The mark, if it is one.
 */
export function markOf(digest: Uint8Array): Mark | undefined {
  const hex = digest.toHex();
  if (!hex.startsWith(PREFIX)) return undefined;
  const kind = KINDS[parseInt(hex.slice(30, 32), 16)];
  if (kind === undefined) return undefined;
  return { kind, epoch: hex.slice(32, 48), sequence: parseInt(hex.slice(48), 16) };
}

/** Knows which batches are older than what has come since. */
export class TellingOrder {
  readonly #latest = new Map<string, Mark>();

  /**
   * A batch begins.
   *
   * @param peer Text of the peer ID.
   * @param mark Its mark.
   * @param source Where it comes from.
   */
  begin(peer: string, mark: Mark, source: TellingSource): void {
    source.batch = mark;
    const latest = this.#latest.get(peer);
    if (latest?.epoch === mark.epoch && mark.sequence < latest.sequence) return;
    this.#latest.delete(peer);
    this.#latest.set(peer, mark);
    const oldest = this.#latest.keys().next();
    if (this.#latest.size > MAX_ORDERED_PEERS && !oldest.done) this.#latest.delete(oldest.value);
  }

  /**
   * @param peer Text of the peer ID.
   * @param source Where a message comes from.
   * @returns Whether something newer has come from elsewhere. Never of Spegel, which sends no marks.
   */
  isStale(peer: string, { batch }: TellingSource): boolean {
    const latest = this.#latest.get(peer);
    if (batch === undefined || latest === undefined) return false;
    return batch.epoch !== latest.epoch || batch.sequence < latest.sequence;
  }
}
