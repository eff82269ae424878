/**
 * Reads a content from a peer and goes on with another peer, from the next byte, when the first one breaks.
 *
 * @module
 */
import { KagamiError, PeerError } from "../errors.ts";
import type { ContentReader } from "../store/store.ts";
import type { PeerAnswer } from "./peer_client.ts";

/** What went wrong with an answer while its body was read. */
export interface BrokenAnswer {
  readonly answer: PeerAnswer;
  /** True if the peer brought at least one byte. */
  readonly progressed: boolean;
  readonly error: unknown;
}

/**
 * Finds a peer that goes on.
 *
 * @param range Value of the `Range` header: from the next byte to the last one.
 * @param broken The answer that ended early.
 * @returns An answer whose body starts at the next byte.
 */
export type Reopen = (range: string, broken: BrokenAnswer) => Promise<PeerAnswer>;

/** A reader over the answers of one peer after the other. */
export class ResumingReader implements ContentReader {
  readonly size: number;
  readonly start: number;
  readonly end: number;
  readonly #reopen: Reopen;
  readonly #onClose: () => void;
  #answer: PeerAnswer;
  #position: number;
  #progressed = false;
  #closed = false;

  /**
   * @param first The answer to start with.
   * @param reopen Finds the next one.
   * @param onClose Called once by {@linkcode close}.
   */
  constructor(first: PeerAnswer, reopen: Reopen, onClose: () => void = () => {}) {
    this.size = first.size;
    this.start = first.start;
    this.end = first.end;
    this.#answer = first;
    this.#position = first.start;
    this.#reopen = reopen;
    this.#onClose = onClose;
  }

  /** The peer that is read from now. */
  get current(): PeerAnswer {
    return this.#answer;
  }

  async read(into: Uint8Array): Promise<number> {
    while (this.#position <= this.end) {
      try {
        const count = await this.#answer.response.read(into);
        if (count === 0) throw new PeerError("body ended early");
        this.#position += count;
        this.#progressed = true;
        return count;
      } catch (error) {
        if (this.#closed || !(error instanceof KagamiError)) throw error;
        await this.#switch(error);
      }
    }
    return 0;
  }

  async #switch(error: unknown): Promise<void> {
    let broken = { answer: this.#answer, progressed: this.#progressed, error };
    while (true) {
      broken.answer.response.close();
      const next = await this.#reopen(`bytes=${this.#position}-${this.end}`, broken);
      if (this.#closed) {
        next.response.close();
        throw new PeerError("reader was closed");
      }
      this.#answer = next;
      this.#progressed = false;
      if (next.size === this.size && next.start === this.#position && next.end === this.end) return;
      const mismatch = new PeerError(`peer ${next.address} went on with another range or size`);
      broken = { answer: next, progressed: false, error: mismatch };
    }
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#answer.response.close();
      this.#onClose();
    }
    return Promise.resolve();
  }
}
