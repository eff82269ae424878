import assert from "node:assert/strict";
import { PeerError } from "../../../lib/errors.ts";
import type { Peer } from "../../../lib/routing/router.ts";
import { sleep } from "../../../lib/sleep.ts";
import { Candidates } from "../../../lib/transfer/candidates.ts";
import { race, type RaceOptions } from "../../../lib/transfer/race.ts";

const LONG_MS = 60_000;

function candidatesOf(...ids: string[]): Candidates {
  return new Candidates({
    async *lookup() {
      await Promise.resolve();
      yield* ids.map((id): Peer => ({ id, addresses: ["10.0.0.1"], registryPort: 5000 }));
    },
  });
}

/** What each candidate does, by its identity: an answer, an error, or never anything. */
type Plan = Readonly<Record<string, string | Error | Promise<string>>>;

interface Run {
  readonly options: RaceOptions<string>;
  readonly asked: string[];
  readonly discarded: string[];
  readonly signals: Map<string, AbortSignal>;
}

function plan(what: Plan, overrides: Partial<RaceOptions<string>> = {}): Run {
  const asked: string[] = [];
  const discarded: string[] = [];
  const signals = new Map<string, AbortSignal>();
  const options: RaceOptions<string> = {
    waitMs: LONG_MS,
    hedgeMs: LONG_MS,
    maxAttempts: 10,
    deadlineMs: () => LONG_MS,
    attempt(peer, signal) {
      asked.push(peer.id);
      signals.set(peer.id, signal);
      const outcome = what[peer.id];
      return outcome instanceof Error ? Promise.reject(outcome) : Promise.resolve(outcome ?? "");
    },
    discard: (answer) => discarded.push(answer),
    ...overrides,
  };
  return { options, asked, discarded, signals };
}

const NEVER = new Promise<string>(() => {});

Deno.test("race() returns the first answer and asks nobody else", async () => {
  const { options, asked, signals } = plan({ a: "from a" });
  assert.deepEqual(await race(candidatesOf("a", "b"), options), { won: true, answer: "from a" });
  assert.deepEqual(asked, ["a"]);
  assert.equal(signals.get("a")?.aborted, false, "the winner goes on");
});

Deno.test("race() asks the next one at once when one fails", async () => {
  const { options, asked } = plan({ a: new Error("no"), b: "from b" });
  assert.deepEqual(await race(candidatesOf("a", "b"), options), { won: true, answer: "from b" });
  assert.deepEqual(asked, ["a", "b"]);
});

Deno.test("race() asks one more beside a slow one, and gives the slow one up when the other wins", async () => {
  const { options, asked, signals } = plan({ a: NEVER, b: "from b" }, { hedgeMs: 5 });
  assert.deepEqual(await race(candidatesOf("a", "b"), options), { won: true, answer: "from b" });
  assert.deepEqual(asked, ["a", "b"]);
  assert.equal(signals.get("a")?.aborted, true);
  assert.equal(signals.get("b")?.aborted, false);
});

Deno.test("race() offers those that were only slower again: the winner may break off", async () => {
  const candidates = candidatesOf("a", "b", "c");
  const { options } = plan({ a: NEVER, b: new Error("bad"), c: "from c" }, { hedgeMs: 5 });
  assert.deepEqual(await race(candidates, options), { won: true, answer: "from c" });
  assert.equal(candidates.take()?.id, "a");
  assert.equal(candidates.take(), undefined, "neither the winner nor the one that failed");
});

Deno.test("race() still takes a slow one that answers after all", async () => {
  const slow = Promise.withResolvers<string>();
  const { options } = plan({ a: slow.promise, b: NEVER }, {
    hedgeMs: 5,
    attempt(peer, signal) {
      if (peer.id === "b") slow.resolve("from a");
      return started.attempt(peer, signal, () => {});
    },
  });
  const started = plan({ a: slow.promise, b: NEVER }).options;
  assert.deepEqual(await race(candidatesOf("a", "b"), options), { won: true, answer: "from a" });
});

Deno.test("race() frees an answer that comes after another one has won", async () => {
  const slow = Promise.withResolvers<string>();
  const { options, discarded } = plan({ a: slow.promise, b: "from b" }, { hedgeMs: 5 });
  await race(candidatesOf("a", "b"), options);
  assert.deepEqual(discarded, []);
  slow.resolve("late");
  await sleep(0);
  assert.deepEqual(discarded, ["late"]);
});

Deno.test("race() returns all failures when nobody answers", async () => {
  const [first, second] = [new Error("a"), new Error("b")];
  const { options } = plan({ a: first, b: second });
  const result = await race(candidatesOf("a", "b"), options);
  assert.deepEqual(result, { won: false, failures: [first, second] });
});

Deno.test("race() returns no failures when nobody is there", async () => {
  assert.deepEqual(await race(candidatesOf(), plan({}).options), { won: false, failures: [] });
});

Deno.test("race() asks no more candidates than it may", async () => {
  const no = new Error("no");
  const { options, asked } = plan({ a: no, b: no, c: "from c" }, { maxAttempts: 2 });
  assert.equal((await race(candidatesOf("a", "b", "c"), options)).won, false);
  assert.deepEqual(asked, ["a", "b"]);
});

Deno.test("race() ends at its deadline and gives everybody up", async () => {
  const { options, signals } = plan({ a: NEVER }, { deadlineMs: () => 5 });
  const result = await race(candidatesOf("a"), options);
  assert.ok(!result.won);
  assert.ok(result.failures.at(-1) instanceof PeerError);
  assert.equal(signals.get("a")?.aborted, true);
});

Deno.test("race() ends with its signal, while it asks and before", async () => {
  const abort = new AbortController();
  const { options, signals } = plan({ a: NEVER }, { signal: abort.signal });
  const racing = race(candidatesOf("a"), options);
  while (signals.size === 0) await sleep(0);
  abort.abort();
  assert.equal((await racing).won, false);
  assert.equal(signals.get("a")?.aborted, true);

  const late = plan({ a: "from a" }, { signal: AbortSignal.abort() });
  assert.equal((await race(candidatesOf("a"), late.options)).won, false);
  assert.deepEqual(late.asked, []);
});
