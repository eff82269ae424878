import assert from "node:assert/strict";
import { NotFoundError, PeerError } from "../../../lib/errors.ts";
import { staggered, type StaggeredOptions } from "../../../lib/transfer/staggered.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { fakeTimers } from "../support/fake_timers.ts";

const HEAD_START_MS = 150;

/** Attempts that end when the test says so. */
class Attempts {
  readonly clock = new FakeClock();
  readonly started: string[] = [];
  readonly discarded: string[] = [];
  readonly signals = new Map<string, AbortSignal>();
  readonly reached = new Map<string, () => void>();
  readonly #ends = new Map<string, PromiseWithResolvers<string>>();

  run(items: readonly string[], overrides: Partial<StaggeredOptions<string, string>> = {}) {
    const result = staggered(items, {
      attempt: (item, signal, reached) => {
        this.started.push(item);
        this.signals.set(item, signal);
        this.reached.set(item, reached);
        const end = Promise.withResolvers<string>();
        this.#ends.set(item, end);
        return end.promise;
      },
      headStartMs: HEAD_START_MS,
      isFinal: (error) => error instanceof NotFoundError,
      discard: (late) => this.discarded.push(late),
      ...overrides,
    });
    result.catch(() => {});
    return result;
  }

  async succeed(item: string): Promise<void> {
    this.#ends.get(item)!.resolve(item);
    await settle();
  }

  async fail(item: string, error: Error = new PeerError(item)): Promise<void> {
    this.#ends.get(item)!.reject(error);
    await settle();
  }

  isAborted(item: string): boolean | undefined {
    return this.signals.get(item)?.aborted;
  }
}

function test(name: string, run: (attempts: Attempts) => Promise<void>): void {
  Deno.test(`staggered() ${name}`, async () => {
    const attempts = new Attempts();
    using _timers = fakeTimers(attempts.clock);
    await run(attempts);
    assert.equal(attempts.clock.sleepers, 0, "no timer is left");
  });
}

test("tries only the first one when that is quick", async (attempts) => {
  const result = attempts.run(["a", "b"]);
  await attempts.clock.advance(HEAD_START_MS - 1);
  await attempts.succeed("a");
  assert.equal(await result, "a");
  assert.deepEqual(attempts.started, ["a"]);
  assert.equal(attempts.isAborted("a"), false, "what it yielded may still need it");
});

test("tries one more each time the head start is over, and aborts the losers", async (attempts) => {
  const result = attempts.run(["a", "b", "c"]);
  await attempts.clock.advance(HEAD_START_MS);
  assert.deepEqual(attempts.started, ["a", "b"]);
  await attempts.clock.advance(HEAD_START_MS);
  assert.deepEqual(attempts.started, ["a", "b", "c"]);
  await attempts.succeed("b");
  assert.equal(await result, "b");
  assert.deepEqual(["a", "b", "c"].map((item) => attempts.isAborted(item)), [true, false, true]);
});

test("waits for one that is reached, however long it takes", async (attempts) => {
  const result = attempts.run(["a", "b"]);
  await attempts.clock.advance(HEAD_START_MS - 1);
  attempts.reached.get("a")!();
  await attempts.clock.advance(10 * HEAD_START_MS);
  assert.deepEqual(attempts.started, ["a"]);
  await attempts.fail("a");
  assert.deepEqual(attempts.started, ["a", "b"], "but not when it fails");
  await attempts.succeed("b");
  assert.equal(await result, "b");
});

test("is not held up by one that is reached after it has lost", async (attempts) => {
  const result = attempts.run(["a", "b", "c"]);
  await attempts.clock.advance(HEAD_START_MS);
  await attempts.fail("a");
  attempts.reached.get("a")!();
  await attempts.fail("b");
  await attempts.succeed("c");
  assert.equal(await result, "c");
});

test("tries the next one at once when one fails", async (attempts) => {
  const result = attempts.run(["a", "b", "c"]);
  await attempts.fail("a");
  assert.deepEqual(attempts.started, ["a", "b"]);
  await attempts.clock.advance(HEAD_START_MS - 1);
  assert.deepEqual(attempts.started, ["a", "b"], "with a head start of its own");
  await attempts.succeed("b");
  assert.equal(await result, "b");
});

test("fails with the last failure when all have failed", async (attempts) => {
  const result = attempts.run(["a", "b"]);
  await attempts.clock.advance(HEAD_START_MS);
  await attempts.fail("b");
  await attempts.clock.advance(10 * HEAD_START_MS);
  await attempts.fail("a");
  await assert.rejects(result, /^PeerError: a$/);
});

test("fails at once with a failure that is final, and aborts the others", async (attempts) => {
  const result = attempts.run(["a", "b", "c"]);
  await attempts.clock.advance(HEAD_START_MS);
  await attempts.fail("a", new NotFoundError("not there"));
  await assert.rejects(result, NotFoundError);
  assert.equal(attempts.isAborted("b"), true);
  assert.deepEqual(attempts.started, ["a", "b"]);
});

test("discards a result that comes too late, and ignores a failure", async (attempts) => {
  const result = attempts.run(["a", "b", "c"]);
  await attempts.clock.advance(2 * HEAD_START_MS);
  await attempts.succeed("a");
  await attempts.succeed("b");
  await attempts.fail("c");
  assert.equal(await result, "a");
  assert.deepEqual(attempts.discarded, ["b"]);
});

test("hands its signal on, and tries nobody else when that is aborted", async (attempts) => {
  const abort = new AbortController();
  const result = attempts.run(["a", "b", "c"], { signal: abort.signal });
  await attempts.clock.advance(HEAD_START_MS);
  abort.abort();
  assert.deepEqual(["a", "b"].map((item) => attempts.isAborted(item)), [true, true]);
  await attempts.fail("a");
  await attempts.fail("b");
  await assert.rejects(result, PeerError);
  assert.deepEqual(attempts.started, ["a", "b"]);
});
