import assert from "node:assert/strict";
import {
  LiveTransfers,
  MAX_FINISHED_TRANSFERS,
  MAX_LISTED_TRANSFERS,
} from "../../../lib/debug/live_transfers.ts";
import { TransferLimits } from "../../../lib/net/transfer_limits.ts";
import type { RegistryAnswer } from "../../../lib/registry/messages.ts";
import type { Ingest } from "../../../lib/store/store.ts";
import { makeContent } from "../support/content.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { blobPath } from "../support/mirror_of.ts";

const { bytes, digest } = makeContent(1000);
const PATH = blobPath(digest);
const PEER = { id: "b", addresses: ["10.0.0.2"], registryPort: 5000 };
const OTHER = { id: "c", addresses: ["fd00::3"], registryPort: 5000 };

/** An answer with content. */
function answerFrom(source: string, changes: Partial<RegistryAnswer> = {}): RegistryAnswer {
  const facts = { handler: "registry", path: PATH, source } as const;
  return { status: 200, headers: {}, body: bytes, facts, ...changes };
}

function toPeer(): RegistryAnswer {
  const upload = new TransferLimits({ maxStreams: 0, bytesPerSecond: 0 }).admit("10.0.0.2")!;
  return answerFrom("local", { upload });
}

function ingestOf(offset: number): Ingest {
  return { digest, offset, total: 1000, open: () => Promise.reject(new Error("not opened here")) };
}

Deno.test("LiveTransfers lists a content with direction, party, progress and rate", async () => {
  const clock = new FakeClock();
  const live = new LiveTransfers(clock.now);
  const transfer = live.receiving(PATH, 1000);
  transfer.joined(PEER);
  await clock.advance(2000);
  transfer.bytes += 600;
  assert.deepEqual(live.list(), {
    transfers: [{
      id: 1,
      direction: "from-peer",
      key: digest,
      repository: "docker.io/library/test",
      parties: ["10.0.0.2:5000"],
      bytes: 600,
      size: 1000,
      bytesPerSecond: 300,
      elapsedMs: 2000,
    }],
    more: 0,
  });
  await clock.advance(1000);
  transfer.bytes += 100;
  assert.equal(live.list().transfers[0]?.bytesPerSecond, 100, "the rate of the last second");
  await clock.advance(10);
  assert.equal(live.list().transfers[0]?.bytesPerSecond, 100, "two viewers see the same");
  await clock.advance(2000);
  assert.equal(live.list().transfers[0]?.bytesPerSecond, 0, "nothing comes any more");
});

Deno.test("LiveTransfers tells which peers deliver now, and who delivered at the end", () => {
  const live = new LiveTransfers(() => 0);
  const transfer = live.receiving(PATH, 1000);
  transfer.joined(PEER);
  transfer.joined(OTHER);
  const parties = () => live.list().transfers[0]?.parties;
  assert.deepEqual(parties(), ["10.0.0.2:5000", "[fd00::3]:5000"]);
  transfer.left(PEER);
  assert.deepEqual(parties(), ["[fd00::3]:5000"]);
  transfer.left(OTHER);
  assert.deepEqual(parties(), ["[fd00::3]:5000"]);
});

Deno.test("LiveTransfers counts bytes by where they came from and went to, also while they move", () => {
  const live = new LiveTransfers(() => 0);
  const fromPeers = live.sending(answerFrom("peer 10.0.0.2:5000"), "10.0.0.1")!;
  const fromHere = live.sending(answerFrom("local"), "10.0.0.1")!;
  const given = live.sending(toPeer(), "10.0.0.2")!;
  const fetched = live.receiving(PATH, 1000);
  [fromPeers.bytes, fromHere.bytes, given.bytes, fetched.bytes] = [1, 20, 300, 4000];
  assert.deepEqual(live.totals, { peers: 1, local: 20, given: 300 });
  assert.deepEqual(live.list().transfers.map(({ direction }) => direction), [
    "to-client",
    "to-client",
    "to-peer",
    "from-peer",
  ]);
  for (const transfer of [fromPeers, fromHere, given, fetched]) {
    transfer.over(true);
    transfer.over(false);
  }
  assert.deepEqual(live.totals, { peers: 1, local: 20, given: 300 });
  assert.deepEqual(live.list().transfers, []);
});

Deno.test("LiveTransfers leaves out what is no content", () => {
  const live = new LiveTransfers(() => 0);
  const error = { handler: "mirror", path: PATH, error: new Error("nobody") } as const;
  assert.equal(live.sending(answerFrom("local", { body: undefined }), "10.0.0.1"), undefined);
  assert.equal(live.sending(answerFrom("local", { facts: error }), "10.0.0.1"), undefined);
  assert.equal(live.sending(answerFrom("local", { facts: { handler: "v2" } }), ""), undefined);
});

Deno.test("LiveTransfers remembers the last transfers that moved something, the newest first", async () => {
  const clock = new FakeClock();
  const live = new LiveTransfers(clock.now);
  live.receiving(PATH, 1000).over(false);
  assert.deepEqual(live.finished(), []);
  for (let number = 1; number <= MAX_FINISHED_TRANSFERS + 5; number++) {
    const transfer = live.receiving(PATH, 1000);
    transfer.bytes = number;
    await clock.advance(100);
    transfer.over(number % 2 === 0);
  }
  await clock.advance(50);
  const finished = live.finished();
  assert.equal(finished.length, MAX_FINISHED_TRANSFERS);
  const [last, before] = finished;
  assert.deepEqual(
    [last?.bytes, last?.isComplete, last?.elapsedMs, last?.endedAgoMs, last?.bytesPerSecond],
    [MAX_FINISHED_TRANSFERS + 5, false, 100, 50, (MAX_FINISHED_TRANSFERS + 5) * 10],
  );
  assert.deepEqual([before?.isComplete, before?.endedAgoMs], [true, 150]);
});

Deno.test("LiveTransfers bounds its list", () => {
  const live = new LiveTransfers(() => 0);
  for (let number = 0; number < MAX_LISTED_TRANSFERS + 3; number++) live.receiving(PATH, 1);
  const { transfers, more } = live.list();
  assert.deepEqual([transfers.length, more], [MAX_LISTED_TRANSFERS, 3]);
});

Deno.test("LiveTransfers takes for upstream's what is written and not sent from here", async () => {
  const clock = new FakeClock();
  const live = new LiveTransfers(clock.now);
  const sent = live.sending(answerFrom("peer 10.0.0.2:5000"), "10.0.0.1")!;
  assert.deepEqual(live.list([ingestOf(100)]).transfers.map((one) => one.direction), ["to-client"]);
  sent.over(false);
  const [first] = live.list([ingestOf(400)]).transfers;
  assert.deepEqual([first?.direction, first?.bytes, first?.bytesPerSecond], [
    "from-upstream",
    400,
    0,
  ]);
  await clock.advance(2000);
  const [second] = live.list([ingestOf(600)]).transfers;
  assert.deepEqual([second?.bytesPerSecond, second?.elapsedMs], [100, 2000]);
  assert.deepEqual(live.list([]).transfers, []);
  assert.equal(live.list([ingestOf(700)]).transfers[0]?.elapsedMs, 0, "a new download");
});
