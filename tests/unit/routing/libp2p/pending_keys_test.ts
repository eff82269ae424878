import assert from "node:assert/strict";
import { PendingKeys } from "../../../../lib/routing/libp2p/pending_keys.ts";
import { type ProviderKey, providerKey } from "../../../../lib/routing/libp2p/provider_key.ts";

function pendingOf(...texts: string[]) {
  const pending = new PendingKeys();
  for (const text of texts) pending.add(providerKey(text));
  return pending;
}

function textsOf(keys: readonly ProviderKey[]): string {
  return keys.map(({ text }) => text).join("");
}

Deno.test("PendingKeys yields the keys added last first, and keeps them until they are done", () => {
  const pending = pendingOf("a", "b", "c");
  const taken = pending.take(2);
  assert.equal(textsOf(taken), "cb");
  assert.equal(pending.size, 3);
  pending.done(taken);
  assert.equal(pending.size, 1);
  assert.equal(textsOf(pending.take(2)), "a");
  assert.equal(textsOf(pending.take(2)), "");
});

Deno.test("PendingKeys yields a key once, however often it was added", () => {
  const pending = new PendingKeys();
  const key = providerKey("a");
  for (let i = 0; i < 3; i++) pending.add(key);
  assert.equal(pending.size, 1);
  assert.equal(textsOf(pending.take(9)), "a");
  pending.add(key);
  assert.equal(textsOf(pending.take(9)), "", "it is being told");
});

Deno.test("PendingKeys puts back what could not be told, before what is older", () => {
  const pending = pendingOf("a", "b", "c");
  pending.putBack(pending.take(2));
  assert.equal(textsOf(pending.take(9)), "cba");
});

Deno.test("PendingKeys leaves out keys that were deleted, also after they were put back", () => {
  const pending = pendingOf("a", "b", "c");
  pending.delete("b");
  const taken = pending.take(1);
  pending.delete("c");
  pending.putBack(taken);
  assert.equal(pending.size, 1);
  assert.equal(textsOf(pending.take(9)), "a");
});

Deno.test("PendingKeys keeps a key that was added anew while it was told", () => {
  const pending = pendingOf("a");
  const taken = pending.take(1);
  pending.add(providerKey("a"));
  pending.done(taken);
  assert.equal(textsOf(pending.take(1)), "a");
});
