import assert from "node:assert/strict";
import {
  type Advice,
  type DownloadState,
  EARLY_BYTES,
  EARLY_GAIN,
  EARLY_MS,
  FAST_ENOUGH,
  HOLD_MS,
  LaneScaling,
  MAX_HOLD_MS,
  MAX_LANES,
  MAX_START_MS,
  MEASURE_MS,
  MIN_LEFT_BYTES,
} from "../../../lib/transfer/lane_scaling.ts";

const TICK_MS = 50;
/** Slow enough for a further peer to be of use. */
const SLOW = 10_000_000;
/** Fast enough to be told early. */
const QUICK = EARLY_BYTES / EARLY_MS * 1000;

/** A download that goes on at a certain rate, with a reader that waits for a share of the time. */
class Download {
  readonly #scaling = new LaneScaling(0);
  state: DownloadState = {
    now: 0,
    bytes: 0,
    left: 100 * MIN_LEFT_BYTES,
    waitedMs: 0,
    lanes: 1,
    isStarting: false,
    hasSpare: true,
  };

  /** Goes on for some time, and follows the advice. Returns what was advised, `keep` left out. */
  run(ms: number, bytesPerSecond: number, waitingShare = 1): Advice[] {
    const advices: Advice[] = [];
    for (const end = this.state.now + ms; this.state.now < end;) {
      this.set({
        now: this.state.now + TICK_MS,
        bytes: this.state.bytes + bytesPerSecond * TICK_MS / 1000,
        waitedMs: this.state.waitedMs + waitingShare * TICK_MS,
      });
      const advice = this.#scaling.advise(this.state);
      if (advice === "keep") continue;
      advices.push(advice);
      this.set({ lanes: this.state.lanes + (advice === "add" ? 1 : -1) });
    }
    return advices;
  }

  set(state: Partial<DownloadState>): void {
    this.state = { ...this.state, ...state };
  }
}

Deno.test("LaneScaling adds one peer after the other as long as each makes it faster, up to the limit", () => {
  const download = new Download();
  assert.deepEqual(download.run(MEASURE_MS - TICK_MS, SLOW), []);
  assert.deepEqual(download.run(TICK_MS, SLOW), ["add"]);
  assert.deepEqual(download.run(MEASURE_MS, 2 * SLOW), ["add"]);
  assert.deepEqual(download.run(MEASURE_MS, 3 * SLOW), ["add"]);
  assert.deepEqual(download.run(20 * MEASURE_MS, 4 * SLOW), []);
  assert.equal(download.state.lanes, MAX_LANES);
});

Deno.test("LaneScaling drops the peer that added too little, and tries no other for a while", () => {
  const download = new Download();
  assert.deepEqual(download.run(MEASURE_MS, SLOW), ["add"]);
  assert.deepEqual(download.run(MEASURE_MS, 1.09 * SLOW), ["drop"]);
  assert.deepEqual(download.run(HOLD_MS, SLOW), []);
  // The end of the measurement that is under way.
  assert.deepEqual(download.run(MEASURE_MS - HOLD_MS % MEASURE_MS, SLOW), ["add"]);
  assert.deepEqual(download.run(MEASURE_MS, 1.11 * SLOW), ["add"], "it is kept");
});

Deno.test("LaneScaling adds the next peer early when the one before clearly made it faster", () => {
  const download = new Download();
  assert.deepEqual(download.run(EARLY_MS - TICK_MS, QUICK), []);
  assert.deepEqual(download.run(TICK_MS, QUICK), ["add"]);
  assert.deepEqual(download.run(EARLY_MS, (1 + EARLY_GAIN) * QUICK), ["add"]);
  // Of a third one half of what each of the two brings is less.
  assert.deepEqual(download.run(EARLY_MS, (1 + EARLY_GAIN) ** 2 * QUICK), ["add"]);
});

Deno.test("LaneScaling judges a peer early that added enough, and no other", () => {
  for (
    const [gain, advice] of [[0.09, "drop"], [0.11, "add"], [EARLY_GAIN - 0.01, "add"]] as const
  ) {
    const download = new Download();
    assert.deepEqual(download.run(EARLY_MS, QUICK), ["add"]);
    assert.deepEqual(download.run(MEASURE_MS - TICK_MS, (1 + gain) * QUICK), [], String(gain));
    assert.deepEqual(download.run(TICK_MS, (1 + gain) * QUICK), [advice], String(gain));
  }
});

Deno.test("LaneScaling judges a peer from its first byte on", () => {
  const download = new Download();
  assert.deepEqual(download.run(EARLY_MS, QUICK), ["add"]);
  download.set({ isStarting: true });
  assert.deepEqual(download.run(MAX_START_MS - TICK_MS, QUICK), []);
  download.set({ isStarting: false });
  assert.deepEqual(download.run(EARLY_MS, 2 * QUICK), ["add"]);
});

Deno.test("LaneScaling keeps a peer that shows its use after a disturbance, also later in a download", () => {
  for (const restMs of [0, 10 * MEASURE_MS]) {
    const download = new Download();
    download.set({ hasSpare: restMs === 0 });
    download.run(restMs, QUICK);
    download.set({ hasSpare: true });
    while (download.state.lanes === 1) download.run(TICK_MS, QUICK);
    // While the first peer is asked anew.
    assert.deepEqual(download.run(2 * TICK_MS, 0.2 * QUICK), []);
    assert.deepEqual(download.run(EARLY_MS, 2 * QUICK), ["add"]);
  }
});

Deno.test("LaneScaling drops a peer that brings nothing for too long", () => {
  const download = new Download();
  assert.deepEqual(download.run(EARLY_MS, QUICK), ["add"]);
  download.set({ isStarting: true });
  assert.deepEqual(download.run(MAX_START_MS - TICK_MS, QUICK), []);
  assert.deepEqual(download.run(MEASURE_MS, QUICK), ["drop"]);
});

Deno.test("LaneScaling takes its time when too little came early", () => {
  const download = new Download();
  assert.deepEqual(download.run(MEASURE_MS - TICK_MS, 0.3 * QUICK), []);
  assert.deepEqual(download.run(TICK_MS, 0.3 * QUICK), ["add"]);
});

Deno.test("LaneScaling judges a peer anew, once, when the reader did not wait meanwhile", () => {
  for (const [share, advice] of [[1, "add"], [0, "drop"]] as const) {
    const download = new Download();
    assert.deepEqual(download.run(MEASURE_MS, SLOW), ["add"]);
    assert.deepEqual(download.run(MEASURE_MS, SLOW, 0), [], "it stood still");
    assert.deepEqual(download.run(MEASURE_MS, (1 + share) * SLOW, share), [advice]);
  }
});

Deno.test("LaneScaling pauses for longer and longer while further peers add nothing", () => {
  const download = new Download();
  const pauses: number[] = [];
  for (let round = 0; round < 6; round++) {
    const startedAt = download.state.now;
    while (download.state.lanes === 1) download.run(TICK_MS, SLOW);
    pauses.push(download.state.now - startedAt);
    assert.deepEqual(download.run(MEASURE_MS, SLOW), ["drop"]);
  }
  const expected = [0, HOLD_MS, 2 * HOLD_MS, 4 * HOLD_MS, MAX_HOLD_MS, MAX_HOLD_MS];
  // The end of the measurement that is under way.
  assert.deepEqual(
    pauses,
    expected.map((ms) => Math.max(1, Math.ceil(ms / MEASURE_MS)) * MEASURE_MS),
  );
});

const NO_RISE: Readonly<Record<string, [Partial<DownloadState>, number]>> = {
  "nobody else had it": [{ hasSpare: false }, 1],
  "the reader was slow": [{}, 0.4],
};
for (const [name, [state, share]] of Object.entries(NO_RISE)) {
  Deno.test(`LaneScaling takes its time once ${name}`, () => {
    const download = new Download();
    download.set(state);
    assert.deepEqual(download.run(EARLY_MS, QUICK, share), []);
    download.set({ hasSpare: true });
    assert.deepEqual(download.run(MEASURE_MS - TICK_MS, QUICK), []);
    assert.deepEqual(download.run(TICK_MS, QUICK), ["add"]);
  });
}

Deno.test("LaneScaling drops no peer when only one is left", () => {
  const download = new Download();
  assert.deepEqual(download.run(MEASURE_MS, SLOW), ["add"]);
  // The one that was added failed.
  download.set({ lanes: 1, hasSpare: false });
  assert.deepEqual(download.run(10 * MEASURE_MS, SLOW), []);
});

const NOT_WORTH_IT: Readonly<Record<string, [Partial<DownloadState>, number, number]>> = {
  "the reader is what is slow": [{}, SLOW, 0.4],
  "it is fast enough": [{}, FAST_ENOUGH, 1],
  "little is left": [{ left: MIN_LEFT_BYTES - 1 }, SLOW, 1],
  "nobody else has it": [{ hasSpare: false }, SLOW, 1],
};
for (const [name, [state, rate, share]] of Object.entries(NOT_WORTH_IT)) {
  Deno.test(`LaneScaling adds nobody when ${name}`, () => {
    const download = new Download();
    download.set(state);
    assert.deepEqual(download.run(20 * MEASURE_MS, rate, share), []);
    download.set({ left: 100 * MIN_LEFT_BYTES, hasSpare: true });
    assert.deepEqual(download.run(MEASURE_MS, SLOW), ["add"], "and then does");
  });
}

Deno.test("LaneScaling adds a peer to a download that stands still", () => {
  const download = new Download();
  assert.deepEqual(download.run(MEASURE_MS, 0), ["add"]);
});
