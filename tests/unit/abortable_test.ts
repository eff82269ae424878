import assert from "node:assert/strict";
import { abortable } from "../../lib/abortable.ts";

const REASON = new Error("enough");

Deno.test("abortable() yields what the work yields, or its error", async () => {
  const { signal } = new AbortController();
  assert.equal(await abortable(Promise.resolve(7), signal), 7);
  await assert.rejects(abortable(Promise.reject(new Error("broken")), signal), /broken/);
});

Deno.test("abortable() ends when the signal is aborted, though the work does not", async () => {
  const abort = new AbortController();
  const waiting = abortable(new Promise(() => {}), abort.signal);
  abort.abort(REASON);
  await assert.rejects(waiting, REASON);
});

Deno.test("abortable() does not wait at all after the signal was aborted", async () => {
  await assert.rejects(abortable(new Promise(() => {}), AbortSignal.abort(REASON)), REASON);
  await assert.rejects(abortable(Promise.resolve(7), AbortSignal.abort(REASON)), REASON);
});

Deno.test("work that fails after the wait was ended disturbs nobody", async () => {
  const work = Promise.withResolvers<void>();
  await assert.rejects(abortable(work.promise, AbortSignal.abort(REASON)), REASON);
  work.reject(new Error("late"));
  // An unhandled rejection would fail the test.
  await new Promise((resolve) => setTimeout(resolve, 0));
});
