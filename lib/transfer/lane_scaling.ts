/**
 * Decides from how many peers a content comes at the same time: one more as long as that makes it faster.
 *
 * @module
 */

/** Most peers at the same time for one content. */
export const MAX_LANES = 4;

/** Time over which a rate is measured, in milliseconds. */
export const MEASURE_MS = 300;

/**
 * A rate counts after this time already, in milliseconds, if {@linkcode EARLY_BYTES} came in it: at the beginning, and where
 * it shows that a peer on trial is of use. A content of some 100 MB is nearly through by the time that four peers have been
 * tried for longer.
 */
export const EARLY_MS = 100;

/** Fewer bytes in {@linkcode EARLY_MS} say too little. */
export const EARLY_BYTES = 4 * 1024 * 1024;

/**
 * What one more peer has to add for it to be kept early, as a share of what each of the others brings. Less may be for
 * want of time.
 */
export const EARLY_GAIN = 0.5;

/** What one more peer has to add to be kept, as a share. */
export const MIN_GAIN = 0.1;

/**
 * How long a further peer may take until it brings its first byte, in milliseconds; only then it is on trial. It may have to
 * be connected to, and to verify the content.
 */
export const MAX_START_MS = 2000;

/** Pause after a peer that added nothing, in milliseconds; twice as long after the next one, and so on. */
export const HOLD_MS = 1000;

/** Longest of these pauses, in milliseconds. */
export const MAX_HOLD_MS = 8000;

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
  /** Whether one of them has not brought anything yet. */
  readonly isStarting: boolean;
  /** Whether there is a further peer to ask. */
  readonly hasSpare: boolean;
}

/** What to do: one more, one less, or leave it. */
export type Advice = "add" | "drop" | "keep";

/** What a rate is reckoned from. */
type Look = Pick<DownloadState, "now" | "bytes" | "waitedMs">;

/** Advises one download. */
export class LaneScaling {
  /** How the download stood since the measurement began, at each look. */
  #looks: Look[];
  /** Rate before the last peer was added; undefined when nothing is on trial. */
  #rateBefore: number | undefined;
  /** When the last peer was added. */
  #addedAt = -Infinity;
  /** True if the reader did not wait in the time for which it was on trial. */
  #isUndecided = false;
  #holdUntil = -Infinity;
  #holdMs = HOLD_MS;
  /** True as long as each look at the download has led to one more peer. */
  #isRising = true;

  /**
   * @param now When the download begins, by its clock.
   */
  constructor(now: number) {
    this.#looks = [{ now, bytes: 0, waitedMs: 0 }];
  }

  /**
   * Looks at the download; to be called several times in {@linkcode MEASURE_MS}.
   *
   * @param state How it stands.
   * @returns What to do.
   */
  advise(state: DownloadState): Advice {
    if (this.#isAwaited(state)) {
      this.#looks = [state];
      return "keep";
    }
    const early = this.#clearSince(state);
    const since = early ?? this.#looks[0]!;
    const elapsedMs = state.now - since.now;
    if (early === undefined && elapsedMs < MEASURE_MS) {
      this.#looks.push(state);
      return "keep";
    }
    const rate = rateOf(since, state);
    const isWaiting = (state.waitedMs - since.waitedMs) / elapsedMs >= MIN_WAITING_SHARE;
    this.#looks = [state];
    if (this.#rateBefore !== undefined && state.lanes > 1) {
      const isGain = rate >= this.#rateBefore * (1 + MIN_GAIN);
      // A reader that stood still says nothing about peers, unless it does so again.
      this.#isUndecided = !isGain && !isWaiting && !this.#isUndecided;
      if (this.#isUndecided) return "keep";
      if (!isGain) return this.#drop(state.now);
    }
    this.#rateBefore = undefined;
    const isWorthIt = isWaiting && rate < FAST_ENOUGH && state.left >= MIN_LEFT_BYTES;
    const isRoom = state.hasSpare && state.lanes < MAX_LANES && state.now >= this.#holdUntil;
    this.#isRising &&= isWorthIt && isRoom;
    if (!isWorthIt || !isRoom) return "keep";
    this.#rateBefore = rate;
    this.#addedAt = state.now;
    return "add";
  }

  /** Whether the peer that was added last is still to begin. */
  #isAwaited({ isStarting, now }: DownloadState): boolean {
    const isOnTrial = this.#rateBefore !== undefined;
    return isOnTrial && isStarting && now - this.#addedAt < MAX_START_MS;
  }

  #drop(now: number): Advice {
    this.#rateBefore = undefined;
    this.#isRising = false;
    this.#holdUntil = now + this.#holdMs;
    this.#holdMs = Math.min(MAX_HOLD_MS, this.#holdMs * 2);
    return "drop";
  }

  /** Since when it is clear what to do, though little time has passed; what came before may have disturbed it. */
  #clearSince(state: DownloadState): Look | undefined {
    const early = this.#looks.findLast(({ now }) => state.now - now >= EARLY_MS);
    if (early === undefined || state.bytes - early.bytes < EARLY_BYTES) return undefined;
    if (this.#rateBefore === undefined) return this.#isRising ? early : undefined;
    const before = Math.max(1, state.lanes - 1);
    const isUseful = rateOf(early, state) >= this.#rateBefore * (1 + EARLY_GAIN / before);
    return isUseful ? early : undefined;
  }
}

/** Bytes per second from one look to another. */
function rateOf(since: Look, state: Look): number {
  return (state.bytes - since.bytes) / (state.now - since.now) * 1000;
}
