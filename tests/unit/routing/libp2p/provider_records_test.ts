import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { ProviderRecords } from "../../../../lib/routing/libp2p/provider_records.ts";

function keyOf(name: number | string): Uint8Array {
  return Uint8Array.from(createHash("sha256").update(String(name)).digest());
}

function peersOf(records: ProviderRecords, key: Uint8Array): string[] {
  return records.of(key).map(({ peer }) => peer);
}

/** Numbers that look random and are the same in every run. */
function* numbers(): Generator<number, never> {
  let state = 12345;
  while (true) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    yield state;
  }
}

Deno.test("ProviderRecords does the same as plain lists, whatever is put and removed", () => {
  const records = new ProviderRecords();
  let model: { key: number; peer: string; storedAt: number }[] = [];
  const random = numbers();
  const below = (bound: number) => Math.floor(random.next().value / 65_536) % bound;
  for (let step = 0; step < 20_000; step++) {
    const [key, peer] = [below(300), `peer ${below(12)}`];
    if (below(10) < 7) {
      records.put(keyOf(key), peer, step);
      model = model.filter((record) => record.key !== key || record.peer !== peer);
      model.push({ key, peer, storedAt: step });
    } else {
      records.delete(keyOf(key), peer);
      model = model.filter((record) => record.key !== key || record.peer !== peer);
    }
    if (step % 5000 === 4999) {
      records.deleteBefore(step - 2000);
      model = model.filter(({ storedAt }) => storedAt >= step - 2000);
    }
    if (step % 500 === 499) {
      records.deleteOf(peer, step - 1000);
      model = model.filter((record) => record.peer !== peer || record.storedAt >= step - 1000);
    }
    assert.equal(records.size, model.length);
    if (step % 100 !== 0) continue;
    const wanted = model.filter((record) => record.key === key)
      .map(({ peer, storedAt }) => ({ peer, storedAt }));
    assert.deepEqual(records.of(keyOf(key)), wanted);
    const storedAt = model.find((record) => record.key === key && record.peer === peer)?.storedAt;
    assert.equal(records.storedAt(keyOf(key), peer), storedAt);
  }
  const keys = new Set(model.map(({ key }) => keyOf(key).toHex()));
  assert.deepEqual([...records.keys()].map((key) => key.toHex()).sort(), [...keys].sort());
});

Deno.test("ProviderRecords finds each of many keys, and none when all are removed", () => {
  const records = new ProviderRecords();
  for (let key = 0; key < 30_000; key++) records.put(keyOf(key), `peer ${key % 3}`, key);
  for (let key = 0; key < 30_000; key++) {
    assert.equal(records.storedAt(keyOf(key), `peer ${key % 3}`), key);
  }
  for (let key = 0; key < 30_000; key++) records.delete(keyOf(key), `peer ${key % 3}`);
  assert.equal(records.size, 0);
  assert.deepEqual([...records.keys()], []);
  assert.deepEqual(records.of(keyOf(1)), []);
});

Deno.test("ProviderRecords tells keys apart that differ in their last byte only", () => {
  const records = new ProviderRecords();
  const [one, other] = [keyOf(1), keyOf(1)];
  other[31]! ^= 1;
  records.put(one, "a", 1);
  records.put(other, "b", 2);
  assert.deepEqual([peersOf(records, one), peersOf(records, other)], [["a"], ["b"]]);
  records.delete(one, "b");
  assert.equal(records.size, 2);
});

Deno.test("ProviderRecords keeps a copy of the key", () => {
  const records = new ProviderRecords();
  const key = keyOf(1);
  records.put(key, "a", 1);
  key.fill(0);
  assert.deepEqual(peersOf(records, keyOf(1)), ["a"]);
});

Deno.test("ProviderRecords.deleteOldestOfGreatest() takes from the peer that has most", () => {
  const records = new ProviderRecords();
  for (let key = 0; key < 5; key++) records.put(keyOf(key), "few", key);
  for (let key = 0; key < 9; key++) records.put(keyOf(key), "many", 10 + key);
  records.put(keyOf(0), "many", 20);
  records.deleteOldestOfGreatest();
  assert.deepEqual(peersOf(records, keyOf(1)), ["few"], "key 0 was announced again later");
  assert.deepEqual(peersOf(records, keyOf(0)), ["few", "many"]);
  for (let i = 0; i < 100; i++) records.deleteOldestOfGreatest();
  assert.equal(records.size, 0);
});
