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
    /** Changes the table, and waits until all that follows from it is done. */
    async sizes(...sizes: number[]): Promise<void> {
      for (const size of sizes) {
        table.size = size;
        growth.peerAdded();
      }
      await clock.advance(10 * GROWTH_DELAY_MS);
    },
  };
}

Deno.test("a node asks for more peers each time one has come, until it knows enough", async () => {
  const { sizes, walks } = start();
  for (let size = 1; size <= 2 * REPLICATION; size++) await sizes(size);
  assert.deepEqual(walks, Array.from({ length: REPLICATION }, (_, index) => index + 1));
});

Deno.test("peers that come in a burst are asked in one walk", async () => {
  const { sizes, walks } = start();
  await sizes(1, 2, 3, 4, 5);
  assert.deepEqual(walks, [5]);
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
