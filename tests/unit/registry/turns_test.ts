import assert from "node:assert/strict";
import { MAX_PIPELINED_REQUESTS, Turns } from "../../../lib/registry/turns.ts";
import { eventually } from "../support/eventually.ts";

/** A task that ends when it is told to. */
function openTask(log: string[], name: string): { task: () => Promise<void>; end: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const task = async () => {
    log.push(`${name} starts`);
    await promise;
    log.push(`${name} ends`);
  };
  return { task, end: resolve };
}

Deno.test("Turns runs the first task of a connection at once", () => {
  const log: string[] = [];
  const { task, end } = openTask(log, "a");
  assert.equal(new Turns().take({}, task), true);
  assert.deepEqual(log, ["a starts"]);
  end();
});

Deno.test("Turns runs the tasks of one connection one after the other, in their order", async () => {
  const turns = new Turns();
  const connection = {};
  const log: string[] = [];
  const tasks = ["a", "b", "c"].map((name) => openTask(log, name));
  for (const { task } of tasks) assert.equal(turns.take(connection, task), true);
  // Told in the wrong order: that must not matter.
  for (const { end } of tasks.toReversed()) end();
  await eventually("all are over", () => log.length === 6);
  assert.deepEqual(log, ["a starts", "a ends", "b starts", "b ends", "c starts", "c ends"]);
});

Deno.test("Turns lets connections run side by side", () => {
  const turns = new Turns();
  const log: string[] = [];
  const [a, b] = [openTask(log, "a"), openTask(log, "b")];
  turns.take({}, a.task);
  turns.take({}, b.task);
  assert.deepEqual(log, ["a starts", "b starts"]);
  a.end();
  b.end();
});

Deno.test("Turns refuses a connection with too many unanswered requests, until it has fewer", async () => {
  const turns = new Turns();
  const connection = {};
  const log: string[] = [];
  const tasks = Array.from({ length: MAX_PIPELINED_REQUESTS }, () => openTask(log, "task"));
  for (const { task } of tasks) assert.equal(turns.take(connection, task), true);
  const late = openTask(log, "late");
  assert.equal(turns.take(connection, late.task), false);
  for (const { end } of tasks) end();
  await eventually("all are over", () => log.length === 2 * MAX_PIPELINED_REQUESTS);
  await eventually("there is room", () => turns.take(connection, late.task));
  late.end();
  await eventually("the last one is over", () => log.at(-1) === "late ends");
  assert.equal(log.filter((line) => line === "late starts").length, 1);
});
