import assert from "node:assert/strict";
import type { Peer } from "../../../lib/routing/router.ts";
import {
  HEDGE_MS,
  LATENCY_SAMPLES,
  MAX_BUSY_MS,
  MAX_REMEMBERED_PEERS,
  PeerBook,
  SUSPECT_TTL_MS,
} from "../../../lib/transfer/peer_book.ts";

function peer(id: string, zone?: string): Peer {
  const base = { id, addresses: ["10.0.0.1"], registryPort: 5000 };
  return zone === undefined ? base : { ...base, zone };
}

interface Book {
  readonly book: PeerBook;
  advance(ms: number): void;
  /** Whom it chooses when chance picks the one, and then the other. */
  choose(peers: readonly Peer[], ...picks: readonly number[]): string;
}

function bookOf(zone?: string): Book {
  let time = 1000;
  let chances: number[] = [];
  const book = new PeerBook({
    ...(zone === undefined ? {} : { zone }),
    random: () => chances.shift() ?? 0,
    now: () => time,
  });
  return {
    book,
    advance: (ms) => void (time += ms),
    choose(peers, ...picks) {
      chances = [...picks];
      return peers[book.choose(peers)]!.id;
    },
  };
}

const [A, B, C] = [peer("a"), peer("b"), peer("c")];
const ALL = [A, B, C];
/** Chances that pick the first, second and third of three. */
const [FIRST, SECOND, THIRD] = [0, 0.4, 0.99];

Deno.test("PeerBook.choose() takes the one with less to do of the two that chance picks", () => {
  const { book, choose } = bookOf();
  book.started(A);
  book.started(A);
  book.started(B);
  assert.equal(choose(ALL, FIRST, SECOND), "b");
  assert.equal(choose(ALL, SECOND, FIRST), "b");
  assert.equal(choose(ALL, FIRST, FIRST), "a", "only these two are compared");
  assert.equal(choose(ALL, SECOND, THIRD), "c");
  book.ended(A);
  book.ended(A);
  assert.equal(choose(ALL, FIRST, SECOND), "a");
});

Deno.test("PeerBook.choose() weighs latency and what peers tell of their load", () => {
  const { book, choose } = bookOf();
  for (let count = 0; count < 20; count++) {
    book.answered(A, 10, undefined);
    book.answered(B, 2, undefined);
  }
  assert.equal(choose(ALL, FIRST, SECOND), "b");
  book.answered(B, 2, 1);
  for (let count = 0; count < 20; count++) book.answered(A, 5, 0);
  assert.equal(choose(ALL, FIRST, SECOND), "a", "a busy one is worth less");
  book.answered(B, 2, 0);
  assert.equal(choose(ALL, FIRST, SECOND), "b");
  book.answered(A, 1, undefined);
  assert.equal(choose([A], FIRST, SECOND), "a");
});

Deno.test("PeerBook.choose() spreads over all peers by chance", () => {
  const book = new PeerBook();
  const peers = Array.from({ length: 5 }, (_, index) => peer(`p${index}`));
  const chosen = new Set(Array.from({ length: 500 }, () => book.choose(peers)));
  assert.deepEqual([...chosen].sort(), [0, 1, 2, 3, 4]);
});

Deno.test("PeerBook.choose() prefers peers of the own zone, and takes others where there are none", () => {
  const far = [peer("far1", "z2"), peer("far2")];
  const near = peer("near", "z1");
  const { book, choose } = bookOf("z1");
  for (let count = 0; count < 10; count++) book.started(near);
  for (const chance of [FIRST, SECOND, THIRD]) {
    assert.equal(choose([...far, near], chance, chance), "near", "however much it has to do");
  }
  assert.equal(choose(far, FIRST, FIRST), "far1");
  assert.equal(choose(far, THIRD, THIRD), "far2");
  const without = bookOf();
  assert.equal(without.choose([...far, near], FIRST, FIRST), "far1", "no zone, no preference");
});

Deno.test("PeerBook takes a peer that failed for a last resort, for a while", () => {
  const { book, advance } = bookOf();
  book.failed(A);
  assert.ok(book.isSuspect(A) && book.isLastResort(A));
  assert.ok(!book.isSuspect(B) && !book.isLastResort(B));
  advance(SUSPECT_TTL_MS - 1);
  assert.ok(book.isLastResort(A));
  advance(1);
  assert.ok(!book.isSuspect(A) && !book.isLastResort(A));
});

Deno.test("PeerBook leaves a busy peer alone for as long as it wants, within a bound", () => {
  const { book, advance, choose } = bookOf();
  book.isBusyFor(A, 500);
  assert.ok(book.isLastResort(A));
  assert.ok(!book.isSuspect(A), "it did nothing wrong");
  advance(500);
  assert.ok(!book.isLastResort(A));
  assert.equal(choose(ALL, FIRST, SECOND), "b", "it may be busy still");

  book.isBusyFor(B, 24 * 60 * 60_000);
  advance(MAX_BUSY_MS - 1);
  assert.ok(book.isLastResort(B));
  advance(1);
  assert.ok(!book.isLastResort(B));
});

Deno.test("PeerBook.hedgeMs waits for nine of ten answers, within bounds", () => {
  const { book } = bookOf();
  assert.equal(book.hedgeMs, HEDGE_MS.initial);
  for (let count = 0; count < 100; count++) book.answered(A, 100 + count, undefined);
  assert.equal(book.hedgeMs, 190);
  for (let count = 0; count < LATENCY_SAMPLES; count++) book.answered(A, 1, undefined);
  assert.equal(book.hedgeMs, HEDGE_MS.least, "old answers are forgotten");
  for (let count = 0; count < LATENCY_SAMPLES; count++) book.answered(A, 10_000, undefined);
  assert.equal(book.hedgeMs, HEDGE_MS.most);
});

Deno.test("PeerBook.hedgeMs reckons only with enough answers", () => {
  const { book } = bookOf();
  for (let count = 0; count < 15; count++) book.answered(A, 400, undefined);
  assert.equal(book.hedgeMs, HEDGE_MS.initial);
  book.answered(A, 400, undefined);
  assert.equal(book.hedgeMs, 400);
});

Deno.test("PeerBook remembers so many peers, and forgets those not heard of for longest", () => {
  const { book, choose } = bookOf();
  book.started(A);
  book.started(B);
  for (let count = 0; count < MAX_REMEMBERED_PEERS - 2; count++) book.started(peer(`p${count}`));
  assert.equal(choose([A, C], FIRST, THIRD), "c", "it is remembered still");
  book.answered(A, 5, undefined);
  book.started(C);
  book.started(peer("one more"));
  book.ended(C);
  assert.equal(choose([A, C], FIRST, THIRD), "c", "it was heard of meanwhile");
  assert.equal(choose([B, C], FIRST, THIRD), "b", "forgotten, it is like a new one");
  book.ended(B);
  book.started(B);
  book.started(C);
  assert.equal(choose([B, C], FIRST, THIRD), "b", "an end without a beginning counts nothing");
});
