import assert from "node:assert/strict";
import { ExpiringMap, ExpiringSet } from "../../lib/expiring_set.ts";

function setOf(limit: number) {
  let time = 0;
  const set = new ExpiringSet({ ttlMs: 10, limit, now: () => time });
  const members = () => ["a", "b", "c"].filter((member) => set.has(member)).join("");
  return { set, members, advance: (ms: number) => void (time += ms) };
}

Deno.test("ExpiringSet keeps a member for its time", () => {
  const { set, members, advance } = setOf(10);
  set.add("a");
  advance(9);
  assert.equal(members(), "a");
  advance(1);
  assert.equal(members(), "");
});

Deno.test("ExpiringSet.add() starts the time of a member anew", () => {
  const { set, members, advance } = setOf(10);
  set.add("a");
  advance(9);
  set.add("a");
  advance(9);
  assert.equal(members(), "a");
});

Deno.test("ExpiringSet drops the member that expires first when it is full", () => {
  const { set, members } = setOf(2);
  set.add("a");
  set.add("b");
  set.add("a");
  set.add("c");
  assert.equal(members(), "ac");
});

Deno.test("ExpiringSet.delete() takes a member out", () => {
  const { set, members } = setOf(2);
  set.add("a");
  set.add("b");
  set.delete("a");
  set.delete("never there");
  assert.equal(members(), "b");
});

Deno.test("ExpiringMap gives the last value of a key, for its time", () => {
  let time = 0;
  const map = new ExpiringMap<number>({ ttlMs: 10, limit: 2, now: () => time });
  map.set("a", 1);
  map.set("b", 0);
  map.set("a", 2);
  assert.equal(map.get("a"), 2);
  assert.equal(map.get("b"), 0);
  assert.equal(map.get("c"), undefined);
  time = 10;
  assert.equal(map.get("a"), undefined);
});
