/**
 * Decides from how many peers a content comes at the same time: one more as long as that makes it faster.
 *
 * @module
 */

/** Most peers at the same time for one content. */
export const MAX_LANES = 4;

/** Time over which a rate is measured, in milliseconds. */
export const MEASURE_MS = 300;

/** What one more peer has to add to be kept, as a share. */
export const MIN_GAIN = 0.1;

/** Pause after a peer that added nothing, in milliseconds. */
export const HOLD_MS = 5000;

/** Above this rate, in bytes per second, the link is not what limits: a core is busy with passing bytes on. */
export const FAST_ENOUGH = 500_000_000;

/** Less than this is not worth a further peer, in bytes. */
export const MIN_LEFT_BYTES = 8 * 1024 * 1024;

/** The share of time that the reader must be waiting for bytes. A reader that is slow itself gains nothing. */
export const MIN_WAITING_SHARE = 0.5;

/** How a download stands. */
export interface DownloadState {
  /** Monotonic clock, in milliseconds. */
  readonly now: number;
  /** Bytes that have come so far. */
  readonly bytes: number;
  /** Bytes that are still to come. */
  readonly left: number;
  /** How long the reader has waited for bytes so far, in milliseconds. */
  readonly waitedMs: number;
  /** Peers that deliver now. */
  readonly lanes: number;
  /** Whether there is a further peer to ask. */
  readonly hasSpare: boolean;
}

/** What to do: one more, one less, or leave it. */
export type Advice = "add" | "drop" | "keep";

/** Advises one download. */
export class LaneScaling {
  #since: DownloadState | undefined;
  /** Rate before the last peer was added; undefined when nothing is on trial. */
  #rateBefore: number | undefined;
  #holdUntil = -Infinity;

  /**
   * Looks at the download; to be called several times in {@linkcode MEASURE_MS}.
   *
   * @param state How it stands.
   * @returns What to do.
   */
  advise(state: DownloadState): Advice {
    const since = this.#since ??= state;
    const elapsedMs = state.now - since.now;
    if (elapsedMs < MEASURE_MS) return "keep";
    this.#since = state;
    const rate = (state.bytes - since.bytes) / elapsedMs * 1000;
    if (this.#rateBefore !== undefined) {
      const hasGained = rate >= this.#rateBefore * (1 + MIN_GAIN);
      this.#rateBefore = undefined;
      if (!hasGained && state.lanes > 1) {
        this.#holdUntil = state.now + HOLD_MS;
        return "drop";
      }
    }
    const isWaiting = (state.waitedMs - since.waitedMs) / elapsedMs >= MIN_WAITING_SHARE;
    const isWorthIt = isWaiting && rate < FAST_ENOUGH && state.left >= MIN_LEFT_BYTES;
    if (!isWorthIt || !state.hasSpare || state.lanes >= MAX_LANES) return "keep";
    if (state.now < this.#holdUntil) return "keep";
    this.#rateBefore = rate;
    return "add";
  }
}
