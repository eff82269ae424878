import assert from "node:assert/strict";
import type { Peer } from "../../../lib/routing/router.ts";
import { sleep } from "../../../lib/sleep.ts";
import { Candidates, type CandidatesOptions } from "../../../lib/transfer/candidates.ts";

const LONG_MS = 60_000;

function peer(id: string): Peer {
  return { id, addresses: ["10.0.0.1"], registryPort: 5000 };
}

/** A lookup that a test feeds. */
class Lookup {
  readonly #waiting: Peer[] = [];
  #wake = Promise.withResolvers<void>();
  #ending: { error?: unknown } | undefined;
  signal: AbortSignal | undefined;

  push(...ids: string[]): void {
    this.#waiting.push(...ids.map(peer));
    this.#wake.resolve();
  }

  end(error?: unknown): void {
    this.#ending = { error };
    this.#wake.resolve();
  }

  async *run(signal: AbortSignal): AsyncIterable<Peer> {
    this.signal = signal;
    signal.addEventListener("abort", () => this.end());
    while (true) {
      while (true) {
        const next = this.#waiting.shift();
        if (next === undefined) break;
        yield next;
      }
      if (this.#ending !== undefined) {
        if (this.#ending.error !== undefined) throw this.#ending.error;
        return;
      }
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
    }
  }
}

function candidatesOf(
  lookup: Lookup,
  options: Partial<CandidatesOptions> = {},
): Candidates {
  return new Candidates({
    lookup: (signal) => lookup.run(signal),
    ...options,
  });
}

Deno.test("Candidates.next() hands out peers as they are found, then nothing", async () => {
  const lookup = new Lookup();
  const candidates = candidatesOf(lookup);
  lookup.push("a");
  assert.equal((await candidates.next(LONG_MS))?.id, "a");
  const waiting = candidates.next(LONG_MS);
  lookup.push("b");
  assert.equal((await waiting)?.id, "b");
  const last = candidates.next(LONG_MS);
  lookup.end();
  assert.equal(await last, undefined);
  assert.equal(await candidates.next(LONG_MS), undefined);
  assert.equal(candidates.found, 2);
  assert.equal(candidates.failure, undefined);
});

Deno.test("Candidates.next() waits no longer than it may", async () => {
  const lookup = new Lookup();
  const candidates = candidatesOf(lookup);
  assert.equal(await candidates.next(5), undefined);
  candidates.close();
});

Deno.test("Candidates.next() ends with its signal", async () => {
  const lookup = new Lookup();
  const candidates = candidatesOf(lookup);
  const abort = new AbortController();
  const waiting = candidates.next(LONG_MS, abort.signal);
  abort.abort();
  assert.equal(await waiting, undefined);
  lookup.push("a");
  await sleep(0);
  assert.equal(await candidates.next(LONG_MS, AbortSignal.abort()), undefined);
  assert.equal(candidates.take()?.id, "a", "the peer is left for others");
  candidates.close();
});

Deno.test("Candidates.take() does not wait", async () => {
  const lookup = new Lookup();
  const candidates = candidatesOf(lookup);
  assert.equal(candidates.take(), undefined);
  lookup.push("a");
  await sleep(0);
  assert.equal(candidates.take()?.id, "a");
  assert.equal(candidates.take(), undefined);
  candidates.close();
});

Deno.test("Candidates.take() lets choose among all known peers", async () => {
  const lookup = new Lookup();
  const candidates = candidatesOf(lookup, { choose: (peers) => peers.length - 1 });
  lookup.push("a", "b", "c");
  await sleep(0);
  assert.equal(candidates.available, 3);
  assert.deepEqual(candidates.known(2).map(({ id }) => id), ["a", "b"]);
  const taken = [candidates.take(), candidates.take(), candidates.take()];
  assert.deepEqual(taken.map((taken) => taken?.id), ["c", "b", "a"]);
  candidates.close();
});

Deno.test("Candidates hands out last resorts only when the lookup has ended and nobody else is left", async () => {
  const lookup = new Lookup();
  const candidates = candidatesOf(lookup, { isLastResort: ({ id }) => id === "bad" });
  lookup.push("bad", "good");
  await sleep(0);
  assert.equal(candidates.take()?.id, "good");
  assert.equal(candidates.take(), undefined, "the lookup may still find a better one");
  lookup.end();
  assert.equal((await candidates.next(LONG_MS))?.id, "bad");
  assert.equal(candidates.take(), undefined);
});

Deno.test("Candidates.next() falls back to a last resort when its time is up", async () => {
  const lookup = new Lookup();
  const candidates = candidatesOf(lookup, { isLastResort: () => true });
  lookup.push("bad");
  assert.equal((await candidates.next(5))?.id, "bad");
  candidates.close();
});

Deno.test("Candidates.offer() puts a peer back, also after the end of the lookup", async () => {
  const lookup = new Lookup();
  const candidates = candidatesOf(lookup);
  lookup.end();
  assert.equal(await candidates.next(LONG_MS), undefined);
  candidates.offer(peer("again"));
  assert.equal((await candidates.next(LONG_MS))?.id, "again");
  assert.equal(candidates.found, 0, "only the lookup finds");
});

Deno.test("Candidates keeps what ended the lookup", async () => {
  const lookup = new Lookup();
  const candidates = candidatesOf(lookup);
  const failure = new Error("no network");
  lookup.push("a");
  lookup.end(failure);
  assert.equal((await candidates.next(LONG_MS))?.id, "a");
  assert.equal(await candidates.next(LONG_MS), undefined);
  assert.equal(candidates.failure, failure);
});

for (
  const [name, ids, expected] of [
    ["the first peer once", ["a", "b"], [true]],
    ["a lookup without peers", [], [false]],
  ] as const
) {
  Deno.test(`Candidates reports ${name}`, async () => {
    const lookup = new Lookup();
    const reported: boolean[] = [];
    const candidates = candidatesOf(lookup, { onFirst: (found) => reported.push(found) });
    lookup.push(...ids);
    lookup.end();
    while (await candidates.next(LONG_MS) !== undefined);
    assert.deepEqual(reported, expected);
  });
}

Deno.test("Candidates.close() ends the lookup", () => {
  const lookup = new Lookup();
  const candidates = candidatesOf(lookup);
  assert.equal(lookup.signal?.aborted, false);
  candidates.close();
  assert.equal(lookup.signal?.aborted, true);
});
