/**
 * The chunks of a download that are in memory: being filled, ready, or handed out.
 *
 * @module
 */
import { CHUNK_SIZE } from "../oci/chunk_list.ts";
import type { Peer } from "../routing/router.ts";
import type { ByteRange } from "../store/store.ts";
import { type ChunkBuffers, GUARANTEED_CHUNK_BUFFERS } from "./chunk_buffers.ts";

/** A chunk in memory. */
export interface Chunk {
  readonly index: number;
  /** Place of its first byte in the content. */
  readonly start: number;
  readonly length: number;
  readonly buffer: Uint8Array;
  filled: number;
  /** True when it is complete and does not contradict the list. */
  isReady: boolean;
  /** True when the digest up to its end has been checked, as far as that is possible. */
  isConfirmed: boolean;
  /** Who brought the end of it. */
  peer: Peer;
  /** Whether another one brought its beginning: nobody can tell then whose part is wrong. */
  isMixed: boolean;
}

/** Chunks between the peers and the reader. Must be closed. */
export class ChunkWindow {
  readonly #buffers: ChunkBuffers;
  readonly #fetched: ByteRange;
  readonly #chunks = new Map<number, Chunk>();
  #lent: Chunk | undefined;

  /**
   * @param buffers Memory, shared with other downloads.
   * @param fetched The part of the content that is fetched.
   */
  constructor(buffers: ChunkBuffers, fetched: ByteRange) {
    this.#buffers = buffers;
    this.#fetched = fetched;
  }

  /**
   * @param index Number of a chunk.
   * @returns The chunk, if it is in memory and not handed out.
   */
  get(index: number): Chunk | undefined {
    return this.#chunks.get(index);
  }

  /**
   * @param peer Id of a peer.
   * @returns The chunks that this peer has brought and nobody has taken.
   */
  readyFrom(peer: string): Chunk[] {
    return [...this.#chunks.values()].filter((chunk) => chunk.isReady && chunk.peer.id === peer);
  }

  /**
   * Makes room for a chunk.
   *
   * @param index Its number.
   * @param head Number of the chunk that the reader waits for; it may always be had.
   * @param peer Who is to fill it.
   * @returns The empty chunk; undefined while there is no memory for it.
   */
  add(index: number, head: number, peer: Peer): Chunk | undefined {
    const own = this.#chunks.size + (this.#lent === undefined ? 0 : 1);
    const buffer = this.#buffers.take(index === head || own < GUARANTEED_CHUNK_BUFFERS);
    if (buffer === undefined) return undefined;
    const start = Math.max(this.#fetched.start, index * CHUNK_SIZE);
    const end = Math.min(this.#fetched.end, (index + 1) * CHUNK_SIZE - 1);
    const length = end - start + 1;
    const state = { filled: 0, isReady: false, isConfirmed: false, isMixed: false };
    const chunk = { index, start, length, buffer, peer, ...state };
    this.#chunks.set(index, chunk);
    return chunk;
  }

  /**
   * Drops what was filled, so that it is fetched anew.
   *
   * @param chunk The chunk.
   */
  discard(chunk: Chunk): void {
    this.#chunks.delete(chunk.index);
    this.#buffers.give(chunk.buffer);
  }

  /**
   * Hands a chunk to the reader; only one at a time is handed out.
   *
   * @param chunk The chunk.
   */
  lend(chunk: Chunk): void {
    this.#chunks.delete(chunk.index);
    this.#lent = chunk;
  }

  /**
   * The reader needs what it was handed no more.
   *
   * @returns True if there was something.
   */
  takeBack(): boolean {
    if (this.#lent === undefined) return false;
    this.#buffers.give(this.#lent.buffer);
    this.#lent = undefined;
    return true;
  }

  /** Gives all memory back. What is being written to a client or filled by a peer may still be in use. */
  close(): void {
    if (this.#lent !== undefined) this.#buffers.give(this.#lent.buffer, false);
    this.#lent = undefined;
    for (const chunk of this.#chunks.values()) this.#buffers.give(chunk.buffer, chunk.isReady);
    this.#chunks.clear();
  }
}

/**
 * @param position Place of a byte in a content.
 * @returns Number of its chunk.
 */
export function indexOf(position: number): number {
  return Math.floor(position / CHUNK_SIZE);
}

/**
 * @param chunk A chunk that is filled.
 * @returns Its bytes.
 */
export function bytesOf(chunk: Chunk): Uint8Array {
  return chunk.buffer.subarray(0, chunk.length);
}
