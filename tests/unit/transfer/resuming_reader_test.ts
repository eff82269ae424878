import assert from "node:assert/strict";
import { NotFoundError, PeerError } from "../../../lib/errors.ts";
import { sleep } from "../../../lib/sleep.ts";
import type { PeerAnswer } from "../../../lib/transfer/peer_client.ts";
import { type BrokenAnswer, ResumingReader } from "../../../lib/transfer/resuming_reader.ts";
import { BytesReader, type BytesReaderOptions } from "../support/bytes_reader.ts";
import { makeContent } from "../support/content.ts";
import { drain } from "../support/drain.ts";

const { bytes: BYTES } = makeContent(100);
const BROKEN = new PeerError("broke off");

interface TestAnswer extends PeerAnswer {
  readonly isClosed: () => boolean;
}

/** An answer that yields the bytes from `start` to `end`. */
function answerOf(
  id: string,
  start: number,
  end = 99,
  options: BytesReaderOptions = {},
): TestAnswer {
  const reader = new BytesReader(BYTES.subarray(start, end + 1), options);
  return {
    peer: { id, addresses: ["10.0.0.1"], registryPort: 5000 },
    address: "10.0.0.1:5000",
    mediaType: "text/plain",
    digest: undefined,
    size: BYTES.length,
    start,
    end,
    response: {
      status: 206,
      headers: new Map(),
      contentLength: end - start + 1,
      read: (into) => reader.read(into),
      close: () => void reader.close(),
    },
    isClosed: () => reader.closed > 0,
  };
}

function breakingAt(failAt: number, failure: unknown = BROKEN): BytesReaderOptions {
  return { failAt, failure };
}

/** Hands out the answers and keeps what was asked for. */
function reopenWith(...answers: readonly PeerAnswer[]) {
  const left = [...answers];
  const asked: { range: string; broken: BrokenAnswer }[] = [];
  return {
    asked,
    reopen(range: string, broken: BrokenAnswer): Promise<PeerAnswer> {
      asked.push({ range, broken });
      const next = left.shift();
      return next ? Promise.resolve(next) : Promise.reject(new NotFoundError("nobody left"));
    },
  };
}

Deno.test("ResumingReader reads an answer that does not break without asking for another", async () => {
  const { asked, reopen } = reopenWith();
  const reader = new ResumingReader(answerOf("a", 20, 59), reopen);
  assert.deepEqual([reader.size, reader.start, reader.end], [100, 20, 59]);
  const { bytes, error } = await drain(reader, 7);
  assert.equal(error, undefined);
  assert.deepEqual(bytes, new Uint8Array(BYTES.subarray(20, 60)));
  assert.deepEqual(asked, []);
  await reader.close();
});

Deno.test("ResumingReader goes on at the next byte, as often as needed", async () => {
  const first = answerOf("a", 10, 89, breakingAt(15));
  const second = answerOf("b", 25, 89, breakingAt(0));
  const third = answerOf("c", 25, 89);
  const { asked, reopen } = reopenWith(second, third);
  const reader = new ResumingReader(first, reopen);
  const { bytes, error } = await drain(reader, 7);
  assert.equal(error, undefined);
  assert.deepEqual(bytes, new Uint8Array(BYTES.subarray(10, 90)));
  assert.deepEqual(asked.map(({ range }) => range), ["bytes=25-89", "bytes=25-89"]);
  assert.deepEqual(
    asked.map(({ broken }) => [broken.answer.peer.id, broken.progressed, broken.error]),
    [["a", true, BROKEN], ["b", false, BROKEN]],
  );
  assert.ok(first.isClosed() && second.isClosed());
  assert.equal(reader.current, third);
  await reader.close();
  assert.ok(third.isClosed());
});

Deno.test("ResumingReader takes a clean but early end for a break", async () => {
  const { asked, reopen } = reopenWith(answerOf("b", 50));
  const short = { ...answerOf("a", 0, 49), end: 99 };
  const { bytes, error } = await drain(new ResumingReader(short, reopen));
  assert.equal(error, undefined);
  assert.deepEqual(bytes, new Uint8Array(BYTES));
  assert.equal(asked[0]?.range, "bytes=50-99");
});

Deno.test("ResumingReader fails when nobody goes on", async () => {
  const { reopen } = reopenWith();
  const reader = new ResumingReader(answerOf("a", 0, 99, breakingAt(30)), reopen);
  const { bytes, error } = await drain(reader);
  assert.equal(bytes.length, 30);
  assert.ok(error instanceof NotFoundError);
});

const MISMATCHES: readonly [what: string, change: Partial<PeerAnswer>][] = [
  ["another size", { size: 101 }],
  ["another first byte", { start: 49 }],
  ["another last byte", { end: 98 }],
];
for (const [what, change] of MISMATCHES) {
  Deno.test(`ResumingReader passes over a peer that goes on with ${what}`, async () => {
    const odd = answerOf("odd", 50);
    const { asked, reopen } = reopenWith({ ...odd, ...change }, answerOf("good", 50));
    const reader = new ResumingReader(answerOf("a", 0, 99, breakingAt(50)), reopen);
    const { bytes, error } = await drain(reader);
    assert.equal(error, undefined);
    assert.deepEqual(bytes, new Uint8Array(BYTES));
    assert.ok(odd.isClosed());
    assert.deepEqual(
      asked.map(({ broken }) => [broken.answer.peer.id, broken.progressed]),
      [["a", true], ["odd", false]],
    );
  });
}

Deno.test("ResumingReader passes programming errors on", async () => {
  const bug = new TypeError("bug");
  const { asked, reopen } = reopenWith(answerOf("b", 0));
  const reader = new ResumingReader(answerOf("a", 0, 99, breakingAt(0, bug)), reopen);
  assert.equal((await drain(reader)).error, bug);
  assert.equal(asked.length, 0);
});

Deno.test("ResumingReader.close() frees the answer and reports it once", async () => {
  let closed = 0;
  const answer = answerOf("a", 0);
  const reader = new ResumingReader(answer, reopenWith().reopen, () => closed++);
  await reader.close();
  await reader.close();
  assert.ok(answer.isClosed());
  assert.equal(closed, 1);
});

Deno.test("ResumingReader asks nobody else when it was closed while it read", async () => {
  const gate = Promise.withResolvers<void>();
  const { asked, reopen } = reopenWith(answerOf("b", 0));
  const answer = answerOf("a", 0, 99, { ...breakingAt(0), before: () => gate.promise });
  const reader = new ResumingReader(answer, reopen);
  const reading = reader.read(new Uint8Array(10));
  await reader.close();
  gate.resolve();
  await assert.rejects(reading, BROKEN);
  assert.equal(asked.length, 0);
});

Deno.test("ResumingReader frees an answer that comes after it was closed", async () => {
  const late = answerOf("late", 0);
  const gate = Promise.withResolvers<PeerAnswer>();
  const reader = new ResumingReader(answerOf("a", 0, 99, breakingAt(0)), () => gate.promise);
  const reading = reader.read(new Uint8Array(10));
  await sleep(0);
  await reader.close();
  gate.resolve(late);
  await assert.rejects(reading, PeerError);
  assert.ok(late.isClosed());
});
