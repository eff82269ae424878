import assert from "node:assert/strict";
import {
  DAY_SAMPLES,
  HOUR_SAMPLE_MS,
  HOUR_SAMPLES,
  SAMPLES_TOGETHER,
  Savings,
} from "../../../lib/debug/savings.ts";
import { FakeClock } from "../support/fake_clock.ts";

function start(): {
  clock: FakeClock;
  savings: Savings;
  totals: { peers: number; local: number; given: number; upstream: number };
  looks: () => number;
  stop: () => Promise<void>;
} {
  const clock = new FakeClock();
  const totals = { peers: 0, local: 0, given: 0, upstream: 0 };
  let looks = 0;
  const savings = new Savings({
    totals: () => ({ ...totals }),
    look: () => Promise.resolve(void (looks += 1)),
    now: () => 1_000_000 + clock.now(),
    sleep: clock.sleep,
  });
  const abort = new AbortController();
  const running = savings.run(abort.signal);
  const stop = async () => {
    abort.abort();
    await running;
  };
  return { clock, savings, totals, looks: () => looks, stop };
}

Deno.test("Savings tells what moved in each span, the one that is not over included", async () => {
  const { clock, savings, totals, looks, stop } = start();
  totals.peers = 10;
  await clock.advance(HOUR_SAMPLE_MS);
  Object.assign(totals, { peers: 15, local: 1, given: 2, upstream: 3 });
  await clock.advance(4000);
  assert.deepEqual(savings.series().hour, [
    { at: 1_010_000, peers: 10, local: 0, given: 0, upstream: 0 },
    { at: 1_014_000, peers: 5, local: 1, given: 2, upstream: 3 },
  ]);
  assert.deepEqual(savings.series().day, [
    { at: 1_014_000, peers: 15, local: 1, given: 2, upstream: 3 },
  ]);
  assert.equal(looks(), 1);
  await stop();
});

Deno.test("Savings keeps an hour in short spans and a day in long ones, and no more", async () => {
  const { clock, savings, totals, stop } = start();
  const samples = SAMPLES_TOGETHER * (DAY_SAMPLES + 2);
  for (let count = 0; count < samples; count++) {
    totals.peers += 1;
    await clock.advance(HOUR_SAMPLE_MS);
  }
  const { hour, day } = savings.series();
  assert.equal(hour.length, HOUR_SAMPLES + 1);
  assert.equal(day.length, DAY_SAMPLES + 1);
  assert.ok(hour.slice(0, -1).every(({ peers }) => peers === 1));
  assert.ok(day.slice(0, -1).every(({ peers }) => peers === SAMPLES_TOGETHER));
  assert.equal(day.at(-1)?.peers, 0);
  await stop();
});

Deno.test("Savings stops when it is told to", async () => {
  const { clock, looks, stop } = start();
  await stop();
  await clock.advance(HOUR_SAMPLE_MS * 3);
  assert.equal(looks(), 0);
  assert.equal(clock.sleepers, 0);
});
