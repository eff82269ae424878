import assert from "node:assert/strict";
import {
  FORGET_MILLISECONDS,
  FORGET_UNDATED_MILLISECONDS,
  Forgotten,
  MAX_FORGOTTEN,
} from "../../../lib/routing/forgotten.ts";

function forgottenAt(start: number) {
  let time = start;
  return { forgotten: new Forgotten(() => time), advance: (ms: number) => void (time += ms) };
}

Deno.test("Forgotten leaves a peer out for one key and for a while", () => {
  const { forgotten, advance } = forgottenAt(0);
  forgotten.add("key", "peer");
  assert(forgotten.has("key", "peer"));
  assert(!forgotten.has("key", "other"));
  assert(!forgotten.has("other", "peer"));
  advance(FORGET_MILLISECONDS - 1);
  assert(forgotten.has("key", "peer", 0));
  advance(1);
  assert(!forgotten.has("key", "peer", 0));
});

Deno.test("a peer is left out for a shorter time where it is not known when it announced the key", () => {
  const { forgotten, advance } = forgottenAt(0);
  forgotten.add("key", "peer");
  advance(FORGET_UNDATED_MILLISECONDS - 1);
  assert(forgotten.has("key", "peer"));
  advance(1);
  assert(!forgotten.has("key", "peer"));
  assert(forgotten.has("key", "peer", 0), "an older announcement still says nothing");
});

Deno.test("a peer that announces the key after it was forgotten counts again, for good", () => {
  const { forgotten } = forgottenAt(100);
  forgotten.add("key", "peer");
  assert(forgotten.has("key", "peer", 99), "an older announcement says nothing");
  assert(!forgotten.has("key", "peer", 101));
  assert(!forgotten.has("key", "peer"));
});

Deno.test("forgetting a peer again starts its time anew", () => {
  const { forgotten, advance } = forgottenAt(0);
  forgotten.add("key", "peer");
  advance(FORGET_MILLISECONDS - 1);
  forgotten.add("key", "peer");
  advance(FORGET_MILLISECONDS - 1);
  assert(forgotten.has("key", "peer", 0));
});

Deno.test("Forgotten has a bound; the pairs forgotten longest ago go first", () => {
  const { forgotten } = forgottenAt(0);
  for (let i = 0; i <= MAX_FORGOTTEN; i++) forgotten.add(`key ${i}`, "peer");
  assert(!forgotten.has("key 0", "peer"));
  assert(forgotten.has("key 1", "peer"));
  assert(forgotten.has(`key ${MAX_FORGOTTEN}`, "peer"));
});
