import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { NotFoundError, PeerError, VerificationError } from "../../../lib/errors.ts";
import { CHUNK_SIZE, ChunkList } from "../../../lib/oci/chunk_list.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { makeContent, type TestContent } from "../support/content.ts";
import { fakeTimers, finished } from "../support/fake_timers.ts";
import { download, FakePeers, listOf, lyingListOf, type Outcome } from "./fake_peers.ts";

const SMALL = makeContent(100_000);
const CONTENT = makeContent(12 * CHUNK_SIZE + 5, 2);

/** Size of an entry in a list for sha256. */
const ENTRY_BYTES = 4 + 32;

/** The content with a byte changed. */
function wrongAt(...places: readonly number[]): Uint8Array {
  const bytes = CONTENT.bytes.slice();
  for (const place of places) bytes[place]! ^= 0xff;
  return bytes;
}

/** The content's list with bytes of one entry changed. */
function listWith(change: (entry: DataView) => void, index: number): ChunkList {
  const bytes = listOf(CONTENT)!.bytes.slice();
  change(new DataView(bytes.buffer, index * ENTRY_BYTES, ENTRY_BYTES));
  return ChunkList.parse(bytes, CONTENT.digest, CONTENT.bytes.length)!;
}

const changeCrc = (entry: DataView) => entry.setUint32(0, entry.getUint32(0) ^ 1);
const changePrefix = (entry: DataView) => entry.setUint8(4, entry.getUint8(4) ^ 1);

/** A difference that no CRC-32 shows: its polynomial, bits in the order in which they are taken. */
const UNSEEN_BY_CRC = (() => {
  const bytes = new Uint8Array(5);
  const bits = `1${(0x04c11db7).toString(2).padStart(32, "0")}`;
  for (const [at, bit] of [...bits].entries()) bytes[at >> 3]! |= Number(bit) << (at & 7);
  return bytes;
})();

/** The content with bytes of some chunks changed so that their CRC-32 stays the same. */
function forged(indexes: readonly number[]): Uint8Array {
  const bytes = CONTENT.bytes.slice();
  for (const index of indexes) {
    for (const [at, bits] of UNSEEN_BY_CRC.entries()) bytes[index * CHUNK_SIZE + at]! ^= bits;
  }
  return bytes;
}

function sha512Digest(bytes: Uint8Array): Digest {
  return `sha512:${createHash("sha512").update(bytes).digest("hex")}` as Digest;
}

function assertRight({ bytes, error }: Outcome, content: TestContent = CONTENT): void {
  assert.equal(error, undefined);
  assert.equal(Buffer.compare(bytes, content.bytes), 0);
}

/** It ended with an error, and what was handed out before is right. */
function assertPrefix({ bytes, error }: Outcome): void {
  assert.ok(error instanceof VerificationError || error instanceof NotFoundError, String(error));
  assert.ok(bytes.length < CONTENT.bytes.length);
  assert.equal(Buffer.compare(bytes, CONTENT.bytes.subarray(0, bytes.length)), 0);
}

for (const index of [0, 1, 6, 11, 12]) {
  const place = Math.min(index * CHUNK_SIZE + 1000, CONTENT.bytes.length - 1);

  Deno.test(`BlobDownload fetches chunk ${index} of 13 elsewhere when it is wrong`, async () => {
    const outcome = await download(CONTENT, { liar: { bytes: wrongAt(place) }, good: {} });
    assertRight(outcome);
    const { failures, requests, poisonings } = outcome.peers;
    assert.deepEqual(failures, ["liar wrong progressed"]);
    assert.deepEqual(requests, [
      `liar 0-${CONTENT.bytes.length - 1}`,
      `good ${index * CHUNK_SIZE}-${CONTENT.bytes.length - 1}`,
    ]);
    assert.deepEqual(poisonings, []);
  });

  Deno.test(`BlobDownload withholds the end when chunk ${index} of 13 is wrong and there is no list`, async () => {
    const outcome = await download(
      CONTENT,
      { liar: { bytes: wrongAt(place) }, good: {} },
      { chunks: Promise.resolve(undefined) },
    );
    const { error, bytes, peers } = outcome;
    assert.ok(error instanceof VerificationError, String(error));
    assert.equal(bytes.length, 12 * CHUNK_SIZE, "the last chunk is withheld");
    assert.deepEqual(peers.failures, ["liar wrong"]);
    assert.equal(peers.poisonings.length, 1);
    assert.equal(peers.requests.length, 1, "what has left cannot be mended");
  });
}

Deno.test("BlobDownload fetches content of one chunk elsewhere when it is wrong, without a list", async () => {
  const bytes = SMALL.bytes.slice();
  bytes[99_999]! ^= 1;
  for (const chunks of [undefined, listOf(SMALL)]) {
    const outcome = await download(SMALL, { liar: { bytes }, good: {} }, {
      chunks: Promise.resolve(chunks),
    });
    assertRight(outcome, SMALL);
    assert.deepEqual(outcome.peers.requests, ["liar 0-99999", "good 0-99999"]);
    assert.match(outcome.peers.failures[0]!, /^liar wrong/);
    assert.equal(outcome.peers.failures.length, 1);
  }
});

Deno.test("BlobDownload gives up after three peers with wrong bytes", async () => {
  const bytes = wrongAt(5 * CHUNK_SIZE);
  const outcome = await download(CONTENT, { a: { bytes }, b: { bytes }, c: { bytes }, d: {} });
  assertPrefix(outcome);
  assert.ok(outcome.error instanceof VerificationError);
  assert.equal(outcome.bytes.length, 5 * CHUNK_SIZE);
  assert.equal(outcome.peers.poisonings.length, 1);
  assert.equal(outcome.peers.requests.length, 3);
});

Deno.test("BlobDownload fails when only liars are left", async () => {
  const bytes = wrongAt(5 * CHUNK_SIZE);
  const outcome = await download(CONTENT, { a: { bytes }, b: { bytes } });
  assertPrefix(outcome);
  assert.ok(outcome.error instanceof NotFoundError);
  assert.deepEqual(outcome.peers.poisonings, []);
});

for (const index of [0, 2, 9]) {
  Deno.test(`BlobDownload takes nothing more from a peer that forged chunk ${index} and those behind it`, async () => {
    const bytes = forged([index, index + 1, index + 2]);
    const chunk = (of: Uint8Array) => of.subarray(index * CHUNK_SIZE, (index + 1) * CHUNK_SIZE);
    assert.equal(crc32(chunk(bytes)), crc32(chunk(CONTENT.bytes)));
    const outcome = await download(CONTENT, { liar: { bytes }, good: {} });
    assertRight(outcome);
    const { requests, failures, poisonings } = outcome.peers;
    assert.equal(requests.filter((request) => request.startsWith("liar")).length, 1);
    assert.deepEqual(failures, ["liar wrong"]);
    assert.deepEqual(poisonings, []);
  });
}

for (const index of [1, 2, 6, 11]) {
  Deno.test(`BlobDownload ends when the list is wrong about the digest after chunk ${index}, however many peers there are`, async () => {
    for (const good of [["b"], ["b", "c"], ["b", "c", "d", "e"]]) {
      const outcome = await download(
        CONTENT,
        { a: {}, ...Object.fromEntries(good.map((id) => [id, {}])) },
        { chunks: Promise.resolve(listWith(changePrefix, index)) },
      );
      assertPrefix(outcome);
      assert.equal(outcome.bytes.length, index * CHUNK_SIZE);
    }
  });
}

Deno.test("BlobDownload leaves content to upstream when the list fits a peer's lies and nobody else goes on", async () => {
  const bytes = wrongAt(1000, CONTENT.bytes.length - 1);
  const chunks = lyingListOf(CONTENT, bytes);
  const outcome = await download(CONTENT, { liar: { bytes } }, { chunks: Promise.resolve(chunks) });
  assert.ok(outcome.error instanceof VerificationError, String(outcome.error));
  assert.equal(outcome.bytes.length, 12 * CHUNK_SIZE, "the last chunk is withheld");
  assert.equal(outcome.peers.poisonings.length, 1);
});

Deno.test("BlobDownload ends when the list is wrong about a CRC-32", async () => {
  for (const index of [0, 5, 12]) {
    const outcome = await download(CONTENT, { a: {}, b: {}, c: {}, d: {} }, {
      chunks: Promise.resolve(listWith(changeCrc, index)),
    });
    assertPrefix(outcome);
    assert.ok(outcome.error instanceof VerificationError);
    assert.equal(outcome.bytes.length, index * CHUNK_SIZE);
    assert.equal(outcome.peers.poisonings.length, 1);
  }
});

Deno.test("BlobDownload blames nobody for a chunk that two peers brought, and fetches it from one", async () => {
  const outcome = await download(CONTENT, {
    liar: {
      bytes: wrongAt(5 * CHUNK_SIZE),
      read(at) {
        if (at > 5 * CHUNK_SIZE) throw new PeerError("broken");
      },
    },
    good: {},
  });
  assertRight(outcome);
  const { failures, requests } = outcome.peers;
  assert.deepEqual(failures, ["liar progressed"]);
  assert.deepEqual(requests.slice(1), [
    `good ${5 * CHUNK_SIZE + 256 * 1024}-${CONTENT.bytes.length - 1}`,
    `good ${5 * CHUNK_SIZE}-${CONTENT.bytes.length - 1}`,
  ]);
});

Deno.test("BlobDownload blames nobody for small content that two peers brought", async () => {
  const bytes = SMALL.bytes.slice();
  bytes[0]! ^= 1;
  const outcome = await download(SMALL, {
    liar: {
      bytes,
      piece: 50_000,
      read(at) {
        if (at > 0) throw new PeerError("broken");
      },
    },
    good: {},
  }, { chunks: Promise.resolve(undefined) });
  assertRight(outcome, SMALL);
  assert.deepEqual(outcome.peers.failures, ["liar progressed"]);
  assert.deepEqual(outcome.peers.requests, ["liar 0-99999", "good 50000-99999", "good 0-99999"]);
});

Deno.test("BlobDownload checks the chunks of a part by their CRC-32", async () => {
  const outcome = await download(
    CONTENT,
    { liar: { bytes: wrongAt(5 * CHUNK_SIZE - 1, 6 * CHUNK_SIZE) }, good: {} },
    { range: `bytes=${4 * CHUNK_SIZE + 1000}-${8 * CHUNK_SIZE + 10}` },
  );
  assert.equal(outcome.error, undefined);
  const expected = CONTENT.bytes.subarray(4 * CHUNK_SIZE + 1000, 8 * CHUNK_SIZE + 11);
  assert.equal(Buffer.compare(outcome.bytes, expected), 0);
  assert.deepEqual(outcome.peers.failures, ["liar wrong progressed"]);
});

Deno.test("BlobDownload checks content with a sha512 digest by its chunks", async () => {
  const sha512 = { bytes: CONTENT.bytes, digest: sha512Digest(CONTENT.bytes) };
  const outcome = await download(sha512, { liar: { bytes: wrongAt(7 * CHUNK_SIZE) }, good: {} });
  assertRight(outcome);
  const broken = { bytes: CONTENT.bytes, digest: sha512Digest(SMALL.bytes) };
  const { error, bytes } = await download(broken, { a: {} }, {
    chunks: Promise.resolve(undefined),
  });
  assert.ok(error instanceof VerificationError);
  assert.equal(bytes.length, 12 * CHUNK_SIZE);
});

Deno.test("BlobDownload refuses empty content in place of any", async () => {
  const { error } = await download({ bytes: new Uint8Array(), digest: SMALL.digest }, { a: {} });
  assert.ok(error instanceof VerificationError);
});

Deno.test("BlobDownload.fail() ends it, also when nobody goes on any more", async () => {
  const peers = new FakePeers(CONTENT, {
    a: {
      read(at) {
        if (at > 3 * CHUNK_SIZE) throw new PeerError("broken");
      },
    },
  });
  using _timers = fakeTimers(peers.clock);
  const reader = await peers.open();
  assert.ok(await finished(peers.clock, reader.next()) !== undefined);
  await finished(peers.clock, new Promise<void>((resolve) => setTimeout(resolve, 100)));
  reader.fail(new VerificationError("peers disagree"));
  reader.fail(new VerificationError("again"));
  await assert.rejects(reader.next(), /peers disagree/, "what is ready is not handed out");
  await reader.close();
  reader.fail(new VerificationError("late"));
  assert.equal(peers.poisonings.length, 1);
  await peers.assertNothingLeft();
});
