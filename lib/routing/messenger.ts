/**
 * Short questions between the Kagami nodes of a cluster, beside what Spegel's protocol can say. Implementations:
 * `libp2p/libp2p_messenger.ts`, and a network in memory for tests and simulations.
 *
 * @module
 */
import type { Positioned } from "./libp2p/keyspace.ts";
import type { Peer } from "./router.ts";

/** Longest question or answer, in bytes. */
export const MAX_MESSAGE_BYTES = 16 * 1024;

/** Answers a question of a peer. What it throws ends the question without an answer. */
export type AnswerQuestion = (from: Peer, question: unknown) => Promise<unknown>;

/** Asks other nodes, and is asked. */
export interface Messenger {
  /** This node, with its place in the keyspace. */
  readonly self: Positioned;

  /** The nodes known now that answer questions, this one left out. */
  neighbours(): Positioned[];

  /** Place of a key in the keyspace. */
  place(key: string): Uint8Array;

  /**
   * Asks a node.
   *
   * @param id The node.
   * @param question JSON.
   * @param signal Ends it.
   * @returns The answer: JSON, unchecked.
   * @throws {PeerError} If there is no answer.
   */
  ask(id: string, question: unknown, signal: AbortSignal): Promise<unknown>;

  /** Describes a node from what is known of it here; undefined if no address is. */
  describe(id: string): Promise<Peer | undefined>;

  /** Answers from now on, until the router stops. */
  serve(answer: AnswerQuestion): Promise<void>;
}
