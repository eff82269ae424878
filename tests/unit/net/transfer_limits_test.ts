import assert from "node:assert/strict";
import {
  BURST_MS,
  MIN_SHARE,
  TransferLimits,
  type TransferSlot,
} from "../../../lib/net/transfer_limits.ts";
import { eventually } from "../support/eventually.ts";

/** Bytes per second: so few that a test can tell turns apart, with one body at a time. */
const RATE = 1_000_000;
const BURST = RATE * BURST_MS / 1000;

/** Limits whose time a test moves. */
function limitsAt(bytesPerSecond: number, maxStreams = 0): {
  limits: TransferLimits;
  move: (ms: number) => void;
} {
  let time = 0;
  const limits = new TransferLimits({ bytesPerSecond, maxStreams, now: () => time });
  return { limits, move: (ms) => time += ms };
}

function admitted(limits: TransferLimits, who: string): TransferSlot {
  const slot = limits.admit(who);
  assert.ok(slot !== undefined);
  return slot;
}

/** Says whether a promise is settled, once everything that can go on has gone on. */
async function isOver(promise: Promise<unknown>): Promise<boolean> {
  let over = false;
  promise.then(() => over = true);
  await new Promise((resolve) => setTimeout(resolve, 0));
  return over;
}

Deno.test("TransferLimits without limits lets everybody in, at once", async () => {
  const limits = new TransferLimits({ maxStreams: 0, bytesPerSecond: 0 });
  const slots = Array.from({ length: 1000 }, () => admitted(limits, "a"));
  for (const slot of slots) await slot.pace(1e12);
  assert.equal(limits.active, 1000);
  assert.equal(limits.load, 0);
  for (const slot of slots) slot.release();
  assert.equal(limits.active, 0);
});

Deno.test("TransferLimits lets in as many bodies as it may, and another one when one is over", () => {
  const limits = new TransferLimits({ maxStreams: 2, bytesPerSecond: 0 });
  assert.equal(limits.load, 0);
  const first = admitted(limits, "a");
  assert.equal(limits.load, 0.5);
  admitted(limits, "b");
  assert.equal(limits.load, 1);
  assert.equal(limits.admit("c"), undefined);
  first.release();
  first.release();
  assert.equal(limits.active, 1, "a body ends only once");
  admitted(limits, "c");
  assert.equal(limits.admit("d"), undefined);
});

Deno.test("TransferLimits lets in no more bodies than get a fair share of the rate", () => {
  const limits = new TransferLimits({ maxStreams: 100, bytesPerSecond: 3 * MIN_SHARE });
  for (let count = 0; count < 3; count++) admitted(limits, "a");
  assert.equal(limits.admit("a"), undefined);
  assert.equal(limits.load, 1);
  const slow = new TransferLimits({ maxStreams: 0, bytesPerSecond: 1 });
  admitted(slow, "a");
  assert.equal(slow.admit("a"), undefined, "but one at least");
});

Deno.test("TransferLimits lets a burst pass at once, and then no more than the rate", async () => {
  const { limits, move } = limitsAt(RATE);
  const slot = admitted(limits, "a");
  await slot.pace(BURST);
  const waiting = slot.pace(5000);
  assert.equal(await isOver(waiting), false);
  move(5);
  await waiting;
  const next = slot.pace(1);
  assert.equal(await isOver(next), false, "what was taken ahead is owed");
  move(1);
  await next;
  slot.release();
});

Deno.test("TransferLimits saves up no more than a burst in a pause", async () => {
  const { limits, move } = limitsAt(RATE);
  const slot = admitted(limits, "a");
  await slot.pace(BURST);
  move(3_600_000);
  await slot.pace(BURST);
  const waiting = slot.pace(1);
  assert.equal(await isOver(waiting), false);
  move(1);
  await waiting;
  slot.release();
});

Deno.test("TransferLimits lets one after the other have a turn, whoever has more bodies", async () => {
  const { limits, move } = limitsAt(4 * MIN_SHARE);
  const slots = ["a", "a", "a", "b"].map((who) => admitted(limits, who));
  await slots[0]!.pace(4 * MIN_SHARE * BURST_MS / 1000);
  const order: string[] = [];
  const waits = slots.map((slot, index) =>
    slot.pace(MIN_SHARE).then(() => order.push(["a1", "a2", "a3", "b1"][index] ?? ""))
  );
  for (let turn = 1; turn <= waits.length; turn++) {
    // Each body takes a quarter of a second at this rate.
    move(turn === 1 ? 1 : 250);
    await eventually(`turn ${turn}`, () => order.length >= turn);
    assert.equal(order.length, turn);
  }
  await Promise.all(waits);
  assert.deepEqual(order, ["a1", "b1", "a2", "a3"]);
  for (const slot of slots) slot.release();
});

Deno.test("TransferSlot.release() ends all waits of the body, and nobody else's", async () => {
  const { limits, move } = limitsAt(2 * MIN_SHARE);
  const [one, other] = [admitted(limits, "a"), admitted(limits, "a")];
  await one.pace(2 * MIN_SHARE * BURST_MS / 1000);
  const waits = [one.pace(1000), one.pace(1000)];
  const stays = other.pace(1000);
  one.release();
  await Promise.all(waits);
  await one.pace(1e9);
  assert.equal(await isOver(stays), false);
  move(1);
  await stays;
  other.release();
});

Deno.test("TransferLimits holds no timer when all have been released", async () => {
  // The test fails by its sanitizer if a timer is left.
  const { limits } = limitsAt(RATE);
  const slot = admitted(limits, "a");
  await slot.pace(1e9);
  const waiting = slot.pace(1);
  slot.release();
  await waiting;
});
