// What a download that takes from several peers needs of the candidates.
import assert from "node:assert/strict";
import type { Peer } from "../../../lib/routing/router.ts";
import { Candidates } from "../../../lib/transfer/candidates.ts";
import { settle } from "../support/fake_clock.ts";

const [A, B, C] = ["a", "b", "c"].map((id): Peer => ({ id, addresses: [], registryPort: 1 })) as [
  Peer,
  Peer,
  Peer,
];

/** Candidates whose lookup has found the peers and goes on. */
async function found(
  peers: readonly Peer[],
  isLastResort: (peer: Peer) => boolean = () => false,
): Promise<Candidates> {
  const candidates = new Candidates({
    async *lookup(signal) {
      yield* peers;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
    isLastResort,
  });
  await settle();
  return candidates;
}

Deno.test("Candidates tell how many can be taken at once, without those of the last resort", async () => {
  const candidates = await found([A, B, C], ({ id }) => id === "b");
  assert.equal(candidates.found, 3);
  assert.equal(candidates.available, 2);
  assert.deepEqual(candidates.known(1), [A]);
  assert.deepEqual(candidates.known(5), [A, C]);
  assert.equal(candidates.available, 2, "they stay where they are");
  assert.equal(candidates.take(), A);
  assert.equal(candidates.take(), C);
  assert.equal(candidates.available, 0);
  assert.equal(candidates.take(), undefined);
  candidates.close();
});

Deno.test("Candidates.exclude() hands a peer out no more, wherever it waits and whoever offers it", async () => {
  const candidates = await found([A, B, C], ({ id }) => id === "b");
  candidates.exclude(A);
  candidates.exclude(B);
  candidates.exclude(B);
  candidates.offer(A);
  candidates.offer(B);
  assert.deepEqual(candidates.known(5), [C]);
  assert.equal(candidates.take(), C);
  candidates.exclude(C);
  candidates.offer(C);
  candidates.close();
  await settle();
  assert.equal(await candidates.next(0), undefined);
});

Deno.test("Candidates.offer() judges a peer anew", async () => {
  const failed = new Set<string>();
  const candidates = await found([A, B], ({ id }) => failed.has(id));
  assert.equal(candidates.take(), A);
  failed.add("a");
  candidates.offer(A);
  assert.deepEqual(candidates.known(5), [B]);
  assert.equal(await candidates.next(0), B);
  assert.equal(await candidates.next(0), A, "when nobody else is left");
  failed.clear();
  candidates.offer(A);
  assert.deepEqual(candidates.known(5), [A]);
  candidates.close();
});
