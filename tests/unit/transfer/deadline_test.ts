import assert from "node:assert/strict";
import { Deadline } from "../../../lib/transfer/deadline.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { fakeTimers } from "../support/fake_timers.ts";

/** A deadline by a clock that is moved; counts how often time was up. */
function byClock() {
  const clock = new FakeClock();
  const timers = fakeTimers(clock);
  const seen = { calls: 0 };
  const deadline = new Deadline(() => void (seen.calls += 1), clock.now);
  return {
    clock,
    deadline,
    seen,
    [Symbol.dispose]() {
      deadline[Symbol.dispose]();
      timers[Symbol.dispose]();
    },
  };
}

Deno.test("Deadline calls once, when its time is up", async () => {
  using fixture = byClock();
  const { clock, deadline, seen } = fixture;
  deadline.start(100, "sent nothing");
  await clock.advance(99);
  assert.deepEqual([seen.calls, deadline.expired], [0, undefined]);
  await clock.advance(1);
  assert.deepEqual([seen.calls, deadline.expired], [1, "sent nothing within 100 ms"]);
  await clock.advance(1000);
  assert.equal(seen.calls, 1);
});

Deno.test("Deadline counts from its last start, with the time and the words of that", async () => {
  using fixture = byClock();
  const { clock, deadline, seen } = fixture;
  for (let times = 0; times < 10; times++) {
    deadline.start(100, "sent nothing");
    await clock.advance(90);
    deadline.stop();
  }
  deadline.start(50, "sent no more");
  await clock.advance(49);
  assert.equal(seen.calls, 0);
  await clock.advance(1);
  assert.equal(deadline.expired, "sent no more within 50 ms");
});

Deno.test("Deadline is never up while it is stopped, and starts anew after a long pause", async () => {
  using fixture = byClock();
  const { clock, deadline, seen } = fixture;
  deadline.start(100, "sent nothing");
  deadline.stop();
  await clock.advance(10_000);
  assert.equal(seen.calls, 0);
  deadline.start(100, "sent nothing");
  await clock.advance(99);
  assert.equal(seen.calls, 0);
  await clock.advance(1);
  assert.equal(seen.calls, 1);
});

Deno.test("Deadline has one timer however often it is started, and none once it is disposed of", async () => {
  using fixture = byClock();
  const { clock, deadline } = fixture;
  for (let times = 0; times < 100; times++) {
    deadline.start(100, "sent nothing");
    deadline.stop();
  }
  assert.equal(clock.sleepers, 1);
  deadline[Symbol.dispose]();
  await clock.advance(0);
  assert.equal(clock.sleepers, 0);
});
