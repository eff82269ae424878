import assert from "node:assert/strict";
import { REPLICATION } from "../../../../lib/routing/libp2p/dht.ts";
import { GROWTH_DELAY_MS, TableGrowth } from "../../../../lib/routing/libp2p/table_growth.ts";
import { recordingLog } from "../../cli/recording_log.ts";
import { FakeClock } from "../../support/fake_clock.ts";

/** A growing table that is moved by hand. */
function start(walk: () => Promise<void> = () => Promise.resolve()) {
  const clock = new FakeClock();
  const abort = new AbortController();
  const table = { size: 0 };
  const { log } = recordingLog();
  /** Sizes of the table at each walk. */
  const walks: number[] = [];
  const growth = new TableGrowth({
    table,
    walk: () => {
      walks.push(table.size);
      return walk();
    },
    log,
    sleep: clock.sleep,
  }, abort.signal);
  return {
    walks,
    abort,
    table,
    /** Changes the table, and waits until all that follows from it is done. */
    async sizes(...sizes: number[]): Promise<void> {
      for (const size of sizes) {
        const isMore = size > table.size;
        table.size = size;
        if (isMore) growth.peerAdded();
        else growth.peerRemoved();
      }
      await clock.advance(10 * GROWTH_DELAY_MS);
    },
  };
}

Deno.test("a node asks for more peers each time it knows twice as many, until it knows enough", async () => {
  const { sizes, walks } = start();
  for (let size = 1; size <= 2 * REPLICATION; size++) await sizes(size);
  assert.deepEqual(walks, [1, 2, 4, 8, 16]);
});

Deno.test("peers that come in a burst are asked in one walk", async () => {
  const { sizes, walks } = start();
  await sizes(1, 2, 3, 4, 5);
  assert.deepEqual(walks, [5]);
});

Deno.test("peers that come during a walk are asked after it, once there are twice as many", async () => {
  const more = [6, 9];
  const { sizes, walks, table } = start(() => {
    table.size = more.shift() ?? table.size;
    return Promise.resolve();
  });
  await sizes(3);
  assert.deepEqual(walks, [3, 6]);
  assert.equal(table.size, 9);
});

Deno.test("one peer that comes back makes nobody walk, and a node that lost most of them asks anew", async () => {
  const { sizes, walks } = start();
  await sizes(12);
  await sizes(11);
  await sizes(12);
  assert.deepEqual(walks, [12]);
  await sizes(2);
  await sizes(4);
  assert.deepEqual(walks, [12, 4]);
});

Deno.test("a walk that fails is no end of it", async () => {
  const { sizes, walks } = start(() => Promise.reject(new Error("nobody answers")));
  await sizes(1);
  await sizes(2);
  assert.deepEqual(walks, [1, 2]);
});

Deno.test("a node that stops asks no more", async () => {
  const { sizes, walks, abort } = start();
  const growing = sizes(1);
  abort.abort();
  await growing;
  assert.deepEqual(walks, []);
});
