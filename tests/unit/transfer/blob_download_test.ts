import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { KagamiError, NotFoundError, PeerError } from "../../../lib/errors.ts";
import { CHUNK_SIZE } from "../../../lib/oci/chunk_list.ts";
import { SINGLE_WINDOW } from "../../../lib/transfer/blob_download.ts";
import { ChunkBuffers, GUARANTEED_CHUNK_BUFFERS } from "../../../lib/transfer/chunk_buffers.ts";
import { makeContent } from "../support/content.ts";
import { drain } from "../support/drain.ts";
import { fakeTimers, finished } from "../support/fake_timers.ts";
import { download, FakePeers, hang, type Outcome, type Script } from "./fake_peers.ts";

const CONTENT = makeContent(5 * CHUNK_SIZE + 1234, 4);
const SMALL = makeContent(100_000);

function assertRight({ bytes, error }: Outcome, expected: Uint8Array): void {
  assert.equal(error, undefined);
  assert.equal(Buffer.compare(bytes, expected), 0);
}

const SIZES = [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE, 6_000_000];
for (const size of SIZES) {
  Deno.test(`BlobDownload delivers ${size} bytes in one answer, with and without a list`, async () => {
    const content = makeContent(size, 7);
    for (const setting of [{}, { chunks: Promise.resolve(undefined) }]) {
      for (const piece of [1000, 256 * 1024, 10 * CHUNK_SIZE]) {
        const outcome = await download(content, { a: { piece } }, setting);
        assertRight(outcome, content.bytes);
        assert.deepEqual(outcome.peers.requests, [`a 0-${size - 1}`]);
        assert.deepEqual(outcome.peers.failures, []);
      }
    }
  });
}

Deno.test("BlobDownload.read() yields the same bytes as next(), whatever the buffer's size", async () => {
  for (const bufferSize of [1000, CHUNK_SIZE, CHUNK_SIZE + 1, 10 * CHUNK_SIZE]) {
    const peers = new FakePeers(CONTENT, { a: {} });
    using _timers = fakeTimers(peers.clock);
    const reader = await peers.open();
    const { bytes, error } = await finished(peers.clock, drain(reader, bufferSize));
    await reader.close();
    assertRight({ peers, bytes, error }, CONTENT.bytes);
    await peers.assertNothingLeft();
  }
});

const LAST = CONTENT.bytes.length - 1;
const RANGES: readonly [range: string, start: number, end: number, asked: string][] = [
  ["bytes=0-0", 0, 0, `0-${CHUNK_SIZE - 1}`],
  ["bytes=100-", 100, LAST, `0-${LAST}`],
  ["bytes=5-9", 5, 9, `0-${CHUNK_SIZE - 1}`],
  [
    `bytes=${CHUNK_SIZE}-${2 * CHUNK_SIZE - 1}`,
    CHUNK_SIZE,
    2 * CHUNK_SIZE - 1,
    `${CHUNK_SIZE}-${2 * CHUNK_SIZE - 1}`,
  ],
  [
    `bytes=${CHUNK_SIZE - 1}-${2 * CHUNK_SIZE}`,
    CHUNK_SIZE - 1,
    2 * CHUNK_SIZE,
    `0-${3 * CHUNK_SIZE - 1}`,
  ],
  [`bytes=${2 * CHUNK_SIZE + 77}-`, 2 * CHUNK_SIZE + 77, LAST, `${2 * CHUNK_SIZE}-${LAST}`],
  [`bytes=${LAST}-`, LAST, LAST, `${5 * CHUNK_SIZE}-${LAST}`],
  [`bytes=10-${LAST + 100}`, 10, LAST, `0-${LAST}`],
  ["bytes=-1", LAST, LAST, `${LAST}-${LAST}`],
  ["bytes=-1500000", LAST + 1 - 1_500_000, LAST, `${LAST + 1 - 1_500_000}-${LAST}`],
  ["bytes=-99999999", 0, LAST, `0-${LAST}`],
];
for (const [range, start, end, asked] of RANGES) {
  Deno.test(`BlobDownload delivers ${range}, in whole chunks from the peer`, async () => {
    const outcome = await download(CONTENT, { a: {} }, { range });
    assertRight(outcome, CONTENT.bytes.subarray(start, end + 1));
    assert.deepEqual(outcome.peers.requests, [`a ${asked}`]);
    assert.deepEqual(outcome.peers.failures, []);
  });
}

for (const window of [SINGLE_WINDOW, GUARANTEED_CHUNK_BUFFERS]) {
  const limit = window === SINGLE_WINDOW ? "its window" : "what is guaranteed";
  Deno.test(`BlobDownload holds no more memory than ${limit} when nobody reads`, async () => {
    const content = makeContent(10 * CHUNK_SIZE);
    const buffers = new ChunkBuffers(window === SINGLE_WINDOW ? 100 : 0);
    const peers = new FakePeers(content, { a: {} }, { buffers });
    using _timers = fakeTimers(peers.clock);
    const reader = await peers.open();
    const wait = () => finished(peers.clock, new Promise<void>((go) => setTimeout(go, 1000)));
    await wait();
    assert.equal(buffers.lent, window);
    for (let count = 0; count < 5; count++) {
      await finished(peers.clock, reader.next());
      await wait();
      // One is lent to the reader.
      assert.ok(buffers.lent <= window + 1, `${buffers.lent} buffers`);
    }
    await reader.close();
    await peers.assertNothingLeft();
  });
}

Deno.test("BlobDownload goes on when all memory is lent to others", async () => {
  const buffers = new ChunkBuffers(1);
  buffers.take(true);
  assertRight(await download(CONTENT, { a: {} }, { buffers }), CONTENT.bytes);
});

/** Places of a fault: before the first byte, in mid-chunk, at a chunk's border, in the last chunk. */
const PLACES: Readonly<Record<string, number>> = {
  "before the first byte": 0,
  "in mid-chunk": 2 * CHUNK_SIZE + 512 * 1024,
  "at a chunk's border": 3 * CHUNK_SIZE,
  "in the last chunk": 5 * CHUNK_SIZE + 1000,
};
/** A length of reads that has one of them begin there. */
function pieceUntil(place: number): number {
  return place % (256 * 1024) === 0 ? 256 * 1024 : 1000;
}

const FAULTS: Readonly<Record<string, (place: number) => Script>> = {
  breaks: (place) => ({
    read(at) {
      if (at >= place) throw new PeerError("broken");
    },
  }),
  hangs: (place) => ({ read: (at) => at >= place ? hang() : undefined }),
  "ends early": (place) => ({ read: (at) => at >= place ? "end" : undefined }),
  trickles: (place) => ({
    delayMs: (at) => at >= place ? 2500 : 0,
    piece: (at) => at >= place ? 10 : pieceUntil(place),
  }),
};
for (const [fault, scriptOf] of Object.entries(FAULTS)) {
  for (const [where, place] of Object.entries(PLACES)) {
    const failing: Script = { piece: pieceUntil(place), ...scriptOf(place) };

    Deno.test(`BlobDownload goes on at the next byte with another peer when one ${fault} ${where}`, async () => {
      const outcome = await download(CONTENT, { bad: failing, good: {} });
      assertRight(outcome, CONTENT.bytes);
      const { requests, failures, resumptions } = outcome.peers;
      assert.deepEqual(failures, [place === 0 ? "bad" : "bad progressed"]);
      assert.deepEqual(requests, [`bad 0-${LAST}`, `good ${place}-${LAST}`]);
      assert.equal(resumptions, 1);
    });

    Deno.test(`BlobDownload goes on in a part when a peer ${fault} ${where}`, async () => {
      const range = `bytes=${Math.max(0, place - 10)}-${LAST - 100}`;
      const outcome = await download(CONTENT, { bad: failing, good: {} }, { range });
      assertRight(outcome, CONTENT.bytes.subarray(Math.max(0, place - 10), LAST - 99));
      assert.ok(outcome.peers.requests.includes(`good ${place}-${LAST}`));
    });

    Deno.test(`BlobDownload fails when nobody goes on after a peer ${fault} ${where}`, async () => {
      const never: Script = { ...failing, ask: refuseAgain };
      const { error, bytes } = await download(CONTENT, { bad: never });
      assert.ok(error instanceof NotFoundError, String(error));
      const whole = Math.floor(place / CHUNK_SIZE) * CHUNK_SIZE;
      assert.equal(Buffer.compare(bytes, CONTENT.bytes.subarray(0, whole)), 0);
    });
  }
}

function refuseAgain(_range: unknown, request: number): void {
  if (request > 0) throw new PeerError("not again");
}

Deno.test("BlobDownload goes on through many breaks, each at the next byte", async () => {
  const breaking: Script = {
    piece: 300_000,
    read(at, request) {
      if (at >= (request + 1) * 700_000) throw new PeerError("broken");
    },
  };
  const outcome = await download(CONTENT, { only: breaking });
  assertRight(outcome, CONTENT.bytes);
  for (const [before, after] of pairs(outcome.peers.requests.map(startOf))) {
    assert.ok(after > before, "each answer brought something");
  }
});

function startOf(request: string): number {
  return Number(/ (\d+)-/.exec(request)![1]);
}

function pairs<T>(items: readonly T[]): [T, T][] {
  return items.slice(1).map((item, index) => [items[index]!, item]);
}

Deno.test("BlobDownload takes no more of a peer that has content of another size", async () => {
  const other = { bytes: makeContent(CONTENT.bytes.length + 1, 9).bytes };
  const breaks = FAULTS["breaks"]!(2 * CHUNK_SIZE);
  for (const chunks of [Promise.resolve(undefined), undefined]) {
    const outcome = await download(
      CONTENT,
      { bad: breaks, odd: other, good: {} },
      chunks === undefined ? {} : { chunks },
    );
    assertRight(outcome, CONTENT.bytes);
    const { failures, requests } = outcome.peers;
    assert.deepEqual(failures, ["bad progressed", "odd"]);
    assert.deepEqual(requests.slice(1), [
      `odd ${2 * CHUNK_SIZE}-${LAST}`,
      `good ${2 * CHUNK_SIZE}-${LAST}`,
    ]);
  }
});

Deno.test("BlobDownload waits for a list that comes late, and does not blame the peer for it", async () => {
  for (const [content, listMs] of [[CONTENT, 1000], [CONTENT, 7000], [SMALL, 1000]] as const) {
    const outcome = await download(content, { a: {}, b: {} }, { listMs });
    assertRight(outcome, content.bytes);
    assert.deepEqual(outcome.peers.failures, []);
    assert.equal(outcome.peers.requests.length, 1);
  }
});

Deno.test("BlobDownload blames no peer for the pace of this node", async () => {
  const peers = new FakePeers(CONTENT, { a: {}, b: {} }, {
    pace: (): Promise<void> => peers.clock.sleep(4000),
  });
  using _timers = fakeTimers(peers.clock);
  const reader = await peers.open();
  const { bytes, error } = await finished(peers.clock, drain(reader));
  await reader.close();
  assertRight({ peers, bytes, error }, CONTENT.bytes);
  assert.deepEqual(peers.failures, []);
  await peers.assertNothingLeft();
});

Deno.test("BlobDownload stays with peers that are slow but steady", async () => {
  // A chunk takes 0.8 s, and none is ever there at once.
  const slow: Script = { piece: 64 * 1024, delayMs: 50 };
  const outcome = await download(CONTENT, { a: slow, b: slow });
  assertRight(outcome, CONTENT.bytes);
  assert.deepEqual(outcome.peers.failures, []);
});

Deno.test("BlobDownload reckons with the time of a whole chunk after a peer brought the end of one", async () => {
  // The first one breaks near the end of a chunk; the second one needs 400 ms for each.
  const outcome = await download(makeContent(5 * CHUNK_SIZE), {
    a: { ...FAULTS["breaks"]!(CHUNK_SIZE - 64 * 1024), piece: 64 * 1024 },
    b: { piece: 64 * 1024, delayMs: 60 },
    c: {},
  });
  assert.equal(outcome.error, undefined);
  assert.deepEqual(outcome.peers.failures, ["a progressed"]);
});

Deno.test("BlobDownload comes to an end when all that is left is a peer that trickles", async () => {
  const trickling: Script = { piece: 10, delayMs: 2500 };
  const { error, bytes, peers } = await download(CONTENT, { a: trickling });
  assert.ok(error instanceof NotFoundError, String(error));
  assert.equal(bytes.length, 0);
  assert.ok(peers.clock.now() < 60_000, `after ${peers.clock.now()} ms`);
});

Deno.test("BlobDownload comes to an end when the only peer hangs again and again after a few bytes", async () => {
  const stalling: Script = {
    piece: 1000,
    // As the HTTP client does when its limit is reached.
    delayMs: (at, request) => at >= 10_000 * (request + 1) ? 3000 : 0,
    read(at, request) {
      if (at >= 10_000 * (request + 1)) throw new PeerError("sent no byte of the body");
    },
  };
  const { error, peers } = await download(CONTENT, { a: stalling });
  assert.ok(error instanceof NotFoundError, String(error));
  assert.ok(peers.clock.now() < 60_000, `after ${peers.clock.now()} ms`);
});

Deno.test("BlobDownload tries a peer again whose connection broke while the reader took its time", async () => {
  const content = makeContent(8 * CHUNK_SIZE);
  const breaking: Script = {
    read(at, request) {
      if (request === 0 && at >= 5 * CHUNK_SIZE) throw new PeerError("broken");
    },
  };
  const outcome = await download(content, { only: breaking }, {}, (_piece, { clock }) => {
    return clock.sleep(5000);
  });
  assertRight(outcome, content.bytes);
  assert.deepEqual(outcome.peers.failures, ["only progressed"]);
});

Deno.test("BlobDownload hands out what is ready before it fails", async () => {
  const { error, bytes } = await download(
    CONTENT,
    { a: { ...FAULTS["breaks"]!(4 * CHUNK_SIZE), ask: refuseAgain } },
    {},
    (_piece, { clock }) => finishedLater(clock),
  );
  assert.ok(error instanceof KagamiError);
  assert.equal(bytes.length, 4 * CHUNK_SIZE);
});

function finishedLater(clock: FakePeers["clock"]): Promise<void> {
  return clock.sleep(100);
}

Deno.test("BlobDownload passes on an error of its own code, and does not take it for a peer's", async () => {
  const failure = new TypeError("a bug");
  const { error } = await download(CONTENT, {
    a: {
      read(at) {
        if (at > 0) throw failure;
      },
    },
    b: {},
  });
  assert.equal(error, failure);
});
