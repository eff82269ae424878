import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { NotFoundError, PeerError } from "../../../lib/errors.ts";
import { CHUNK_SIZE } from "../../../lib/oci/chunk_list.ts";
import { SWARM_WINDOW } from "../../../lib/transfer/blob_download.ts";
import { ChunkBuffers } from "../../../lib/transfer/chunk_buffers.ts";
import { MAX_LANES } from "../../../lib/transfer/lane_scaling.ts";
import { RUN_LENGTH } from "../../../lib/transfer/runs.ts";
import { makeContent } from "../support/content.ts";
import { fakeTimers, finished } from "../support/fake_timers.ts";
import { download, FakePeers, hang, listOf, type Outcome, type Script } from "./fake_peers.ts";

const CONTENT = makeContent(40 * CHUNK_SIZE + 5, 3);

/** A peer that takes so long for a chunk. */
function paced(delayMs: number, script: Script = {}): Script {
  return { piece: CHUNK_SIZE, delayMs, ...script };
}

function assertWhole({ bytes, error }: Outcome): void {
  assert.equal(error, undefined);
  assert.equal(Buffer.compare(bytes, CONTENT.bytes), 0);
}

Deno.test("BlobDownload goes on when the peer that the reader waits for breaks and the only other one is far ahead", async () => {
  let ahead = 0;
  const outcome = await download(CONTENT, {
    a: paced(100, {
      read(at) {
        if (ahead >= at + 7 * CHUNK_SIZE) throw new PeerError("broken");
      },
    }),
    b: paced(40, { read: (at) => void (ahead = Math.max(ahead, at)) }),
  });
  assertWhole(outcome);
  assert.deepEqual(outcome.peers.failures, ["a progressed"]);
});

/** First and last byte of each request to a peer. */
function rangesOf({ requests }: FakePeers, peer: string): [number, number][] {
  const own = requests.filter((request) => request.startsWith(`${peer} `));
  return own.map((request) => request.slice(2).split("-").map(Number) as [number, number]);
}

for (const count of [2, 3, 4, 6]) {
  Deno.test(`BlobDownload takes bytes from up to ${MAX_LANES} of ${count} peers that are slower than the reader`, async () => {
    const ids = ["a", "b", "c", "d", "e", "f"].slice(0, count);
    for (const setting of [{}, { chunks: Promise.resolve(undefined) }]) {
      const outcome = await download(
        CONTENT,
        Object.fromEntries(ids.map((id) => [id, paced(100)])),
        setting,
      );
      assertWhole(outcome);
      const { peers } = outcome;
      assert.deepEqual(peers.failures, []);
      assert.equal(peers.mostRunning, Math.min(MAX_LANES, count));
      assert.equal(peers.lanesAdded, peers.mostRunning - 1);
      for (const [start, end] of rangesOf(peers, "b")) {
        assert.equal(start % CHUNK_SIZE, 0);
        assert.ok(end - start < RUN_LENGTH * CHUNK_SIZE);
      }
    }
  });
}

Deno.test("BlobDownload is not held up by a peer that becomes much slower than the others", async () => {
  const took = async (slowMs: number) => {
    const outcome = await download(CONTENT, {
      a: paced(30),
      slow: paced(30, { delayMs: (at) => at < 16 * CHUNK_SIZE ? 30 : slowMs }),
      c: paced(30),
    });
    assertWhole(outcome);
    assert.deepEqual(outcome.peers.failures, []);
    return outcome.peers.clock.now();
  };
  // By the run that it has taken on, and not again and again.
  assert.ok(await took(400) - await took(30) < RUN_LENGTH * 400);
});

Deno.test("BlobDownload delivers a part from several peers", async () => {
  const range = `bytes=${CHUNK_SIZE + 77}-${39 * CHUNK_SIZE + 99}`;
  const scripts = { a: paced(100), b: paced(100), c: paced(100) };
  const { bytes, error, peers } = await download(CONTENT, scripts, { range });
  assert.equal(error, undefined);
  const expected = CONTENT.bytes.subarray(CHUNK_SIZE + 77, 39 * CHUNK_SIZE + 100);
  assert.equal(Buffer.compare(bytes, expected), 0);
  assert.equal(peers.mostRunning, 3);
});

Deno.test("BlobDownload stays with one peer when the reader is slower", async () => {
  const outcome = await download(
    CONTENT,
    { a: paced(50), b: paced(50) },
    {},
    (_piece, { clock }) => clock.sleep(200),
  );
  assertWhole(outcome);
  assert.equal(outcome.peers.lanesAdded, 0);
  assert.equal(outcome.peers.requests.length, 1);
});

Deno.test("BlobDownload lets a peer go that adds nothing, and keeps it for later", async () => {
  // One link for all of them: a chunk each 100 ms, whoever brings it.
  let free = 0;
  const shared: Script = {
    piece: CHUNK_SIZE,
    async read(_at, _request, { clock }) {
      free = Math.max(free, clock.now()) + 100;
      await clock.sleep(free - clock.now());
    },
  };
  const outcome = await download(CONTENT, { a: shared, b: shared });
  assertWhole(outcome);
  const { peers } = outcome;
  assert.equal(peers.mostRunning, 2);
  assert.equal(peers.lanesAdded, 2, "tried again after a pause, and then after a longer one");
  assert.deepEqual(peers.failures, []);
  const last = peers.requests.at(-1)!;
  assert.ok(last.endsWith(`-${CONTENT.bytes.length - 1}`), "one peer has the rest");
});

for (
  const [fault, failing] of Object.entries<Script>({
    breaks: {
      read() {
        throw new PeerError("broken");
      },
    },
    hangs: { read: hang },
    "ends early": { read: () => "end" },
    "does not answer": {
      ask() {
        throw new PeerError("no answer");
      },
    },
    "never answers": { ask: hang },
    "delivers wrong bytes": { bytes: CONTENT.bytes.map((byte) => byte ^ 1) },
  })
) {
  Deno.test(`BlobDownload fills the gap when one of three peers ${fault}`, async () => {
    for (const at of [0, 1, 2]) {
      // It fails with its request number `at`; before it is like the others.
      const bad = paced(80, {
        ...failing,
        ...(failing.ask && { ask: (...args) => args[1] >= at ? failing.ask!(...args) : undefined }),
        ...(failing.read && {
          read: (...args) => args[1] >= at ? failing.read!(...args) : undefined,
        }),
      });
      const outcome = await download(CONTENT, { a: paced(80), bad, c: paced(80) });
      assertWhole(outcome);
      const failures = outcome.peers.failures.filter((failure) => failure.startsWith("bad"));
      assert.ok(failures.length > 0);
      assert.equal(failures.length, outcome.peers.failures.length, "the others are not blamed");
      assert.deepEqual(outcome.peers.poisonings, []);
    }
  });
}

Deno.test("BlobDownload goes on with the others when the first one fails at any time", async () => {
  for (let place = 0; place < CONTENT.bytes.length; place += 5 * CHUNK_SIZE) {
    const outcome = await download(CONTENT, {
      a: paced(80, {
        read(at) {
          if (at >= place) throw new PeerError("broken");
        },
      }),
      b: paced(70),
      c: paced(90),
    });
    assertWhole(outcome);
  }
});

Deno.test("BlobDownload cuts off a peer that became slow, and another one goes on", async () => {
  const outcome = await download(CONTENT, {
    a: paced(100),
    slow: { piece: 1000, delayMs: (at) => at < 12 * CHUNK_SIZE ? 0 : 100, ...slowStart() },
    c: paced(100),
  });
  assertWhole(outcome);
  const { failures, requests } = outcome.peers;
  assert.deepEqual([...new Set(failures)], ["slow progressed"]);
  assert.ok(requests.some((request) => request.startsWith("c ")));
});

/** Reads of whole chunks until it becomes slow. */
function slowStart(): Script {
  return { piece: (at) => at < 12 * CHUNK_SIZE ? CHUNK_SIZE : 1000 };
}

Deno.test("BlobDownload cuts off nobody whom the reader does not wait for", async () => {
  // Chunks are paced; meanwhile the second peer takes its time.
  let paceMs = 0;
  const peers: FakePeers = new FakePeers(CONTENT, {
    a: paced(100),
    b: { piece: CHUNK_SIZE, delayMs: (at) => at < 12 * CHUNK_SIZE ? 100 : 2900 },
  }, { pace: () => peers.clock.sleep(paceMs) });
  using _timers = fakeTimers(peers.clock);
  const reader = await peers.open();
  while (true) {
    const piece = await finished(peers.clock, reader.next());
    if (piece === undefined) break;
    if (peers.lanesAdded > 0) paceMs = 3000;
  }
  await reader.close();
  assert.deepEqual(peers.failures, []);
  await peers.assertNothingLeft();
});

Deno.test("BlobDownload fails when all of several peers fail", async () => {
  const dying = paced(80, {
    read(at) {
      if (at >= 20 * CHUNK_SIZE) throw new PeerError("broken");
    },
    ask(range) {
      if (range.start >= 20 * CHUNK_SIZE) throw new NotFoundError("gone");
    },
  });
  const { error, bytes, peers } = await download(CONTENT, { a: dying, b: dying, c: dying });
  assert.ok(error instanceof NotFoundError, String(error));
  assert.equal(Buffer.compare(bytes, CONTENT.bytes.subarray(0, bytes.length)), 0);
  assert.ok(bytes.length >= 16 * CHUNK_SIZE, `${bytes.length} bytes`);
  assert.ok(peers.mostRunning > 1);
});

Deno.test("BlobDownload has several peers no further ahead than its window", async () => {
  const buffers = new ChunkBuffers(100);
  let most = 0;
  const scripts = { a: paced(100), b: paced(10), c: paced(10) };
  const outcome = await download(CONTENT, scripts, { buffers }, async (_piece, { clock }) => {
    // Reads quickly until there are several, and then not at all for a while.
    if (outcomeOf(buffers) > 6) await clock.sleep(1000);
    most = Math.max(most, buffers.lent);
  });
  assertWhole(outcome);
  assert.ok(most <= SWARM_WINDOW + 1, `${most} buffers`);
  assert.ok(most > 4, "several were ahead");
});

function outcomeOf(buffers: ChunkBuffers): number {
  return buffers.lent;
}

Deno.test("BlobDownload goes on from several peers with no more memory than is guaranteed", async () => {
  const scripts = { a: paced(90), b: paced(50), c: paced(70) };
  const outcome = await download(CONTENT, scripts, { buffers: new ChunkBuffers(0) });
  assertWhole(outcome);
});

Deno.test("BlobDownload shares memory among many downloads, and all of them end", async () => {
  const buffers = new ChunkBuffers();
  const content = { ...CONTENT, bytes: CONTENT.bytes };
  const list = listOf(content);
  const all = Array.from(
    { length: 8 },
    () => new FakePeers(content, { a: paced(90), b: paced(50), c: paced(70) }, { buffers }),
  );
  const [{ clock }] = all as [FakePeers];
  using _timers = fakeTimers(clock);
  for (const peers of all) Object.assign(peers, { clock });
  await Promise.all(all.map(async (peers) => {
    const reader = await peers.open({ chunks: Promise.resolve(list) });
    let length = 0;
    while (true) {
      const piece = await finished(clock, reader.next());
      if (piece === undefined) break;
      length += piece.length;
    }
    assert.equal(length, content.bytes.length);
    await reader.close();
  }));
  assert.equal(buffers.lent, 0);
  assert.equal(clock.sleepers, 0);
});

for (const [fault, silenceMs, requests] of [["broke", 0, 3], ["fell silent", 3000, 1]] as const) {
  Deno.test(`BlobDownload asks the only peer ${requests} times when it ${fault} in the middle`, async () => {
    const outcome = await download(CONTENT, {
      only: {
        read: async (at, request, peers) => {
          if (request > 1 || at < (request + 1) * 2 * CHUNK_SIZE) return;
          await peers.clock.sleep(silenceMs);
          throw new PeerError("sent no byte of the body");
        },
      },
    });
    assert.equal(outcome.peers.requests.length, requests);
    assert.equal(outcome.error === undefined, requests > 1, String(outcome.error));
  });
}
