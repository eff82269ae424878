import assert from "node:assert/strict";
import { NotFoundError, PeerError, RangeNotSatisfiableError } from "../../../lib/errors.ts";
import {
  GrowingReader,
  type GrowingReaderOptions,
  GROWTH_STALL,
  HELD_BACK_BYTES,
} from "../../../lib/store/growing_reader.ts";
import { makeContent } from "../support/content.ts";
import { drain } from "../support/drain.ts";
import { FakeClock } from "../support/fake_clock.ts";

const MiB = 1024 * 1024;
const { bytes } = makeContent(3 * MiB, 1);

/** A download: a file that grows, and where it ends up. */
class Download implements AsyncDisposable {
  readonly clock = new FakeClock();

  private constructor(readonly folder: string) {}

  static async start(size: number): Promise<Download> {
    const download = new Download(await Deno.makeTempDir({ prefix: "kagami-growing-" }));
    await Deno.mkdir(`${download.folder}/ingest`);
    await download.grow(0, size);
    return download;
  }

  get path(): string {
    return `${this.folder}/ingest/data`;
  }

  get finalPath(): string {
    return `${this.folder}/blob`;
  }

  async grow(from: number, to: number): Promise<void> {
    await Deno.writeFile(this.path, bytes.slice(from, to), { append: from > 0 });
  }

  /** The content is whole and right: it moves to its place. */
  async commit(): Promise<void> {
    await Deno.rename(this.path, this.finalPath);
  }

  open(options: Partial<GrowingReaderOptions> = {}): Promise<GrowingReader> {
    const { path, finalPath, clock } = this;
    const { now, sleep } = clock;
    return GrowingReader.open({ path, finalPath, total: bytes.length, now, sleep, ...options });
  }

  /** Lets time pass until something is done. */
  async passTime<T>(work: Promise<T>): Promise<T> {
    let isDone = false;
    const done = () => void (isDone = true);
    work.then(done, done);
    while (!isDone) {
      // The file system takes real time, too.
      await new Promise((resolve) => setTimeout(resolve, 1));
      await this.clock.advance(20);
    }
    return await work;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Reads so many bytes. */
async function readExactly(reader: GrowingReader, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length);
  for (let filled = 0; filled < length;) filled += await reader.read(into.subarray(filled));
  return into;
}

Deno.test("GrowingReader reads what is there, waits for more, and follows the commit", async () => {
  await using download = await Download.start(MiB);
  const reader = await download.open();
  assert.deepEqual(await readExactly(reader, MiB), bytes.slice(0, MiB));

  const more = readExactly(reader, MiB);
  await download.clock.advance(100);
  await download.grow(MiB, 2 * MiB);
  assert.deepEqual(await download.passTime(more), bytes.slice(MiB, 2 * MiB));

  await download.grow(2 * MiB, 3 * MiB);
  await download.commit();
  const { bytes: rest, error } = await drain(reader);
  assert.equal(error, undefined);
  assert.deepEqual(rest, bytes.slice(2 * MiB));
  await reader.close();
});

Deno.test("GrowingReader gives all that is there to who reads the whole and can check it", async () => {
  await using download = await Download.start(bytes.length);
  const reader = await download.open();
  const { bytes: whole, error } = await drain(reader);
  assert.equal(error, undefined);
  assert.deepEqual(whole, bytes);
  await reader.close();
});

Deno.test("GrowingReader holds the last bytes of a part back until the content was found right", async () => {
  await using download = await Download.start(bytes.length);
  const reader = await download.open({ range: { start: 0, end: bytes.length - 1 } });
  const visible = bytes.length - HELD_BACK_BYTES;
  assert.deepEqual(await readExactly(reader, visible), bytes.slice(0, visible));
  let hasCome = false;
  const last = readExactly(reader, HELD_BACK_BYTES).then((read) => {
    hasCome = true;
    return read;
  });
  await download.clock.advance(GROWTH_STALL.leastMs / 2);
  assert.equal(hasCome, false);
  await download.commit();
  assert.deepEqual(await download.passTime(last), bytes.slice(visible));
  await reader.close();
});

Deno.test("GrowingReader breaks off when the download is aborted", async () => {
  await using download = await Download.start(MiB);
  const reader = await download.open();
  await readExactly(reader, MiB);
  await Deno.remove(download.path);
  await assert.rejects(reader.read(new Uint8Array(10)), PeerError);
  await reader.close();
});

Deno.test("GrowingReader breaks off when other bytes than those it reads became the content", async () => {
  await using download = await Download.start(2 * MiB);
  const reader = await download.open();
  await readExactly(reader, 2 * MiB);
  await Deno.remove(download.path);
  await Deno.writeFile(download.finalPath, bytes);
  await assert.rejects(reader.read(new Uint8Array(10)), PeerError);
  await reader.close();
});

Deno.test("GrowingReader breaks off when the committed file is not whole", async () => {
  await using download = await Download.start(2 * MiB);
  const reader = await download.open();
  await readExactly(reader, 2 * MiB);
  await download.commit();
  await assert.rejects(reader.read(new Uint8Array(10)), PeerError);
  await reader.close();
});

Deno.test("GrowingReader breaks off when the download does not grow", async () => {
  await using download = await Download.start(MiB);
  const reader = await download.open();
  await readExactly(reader, MiB);
  const failure = assert.rejects(reader.read(new Uint8Array(10)), PeerError);
  await download.passTime(failure);
  assert(download.clock.now() >= GROWTH_STALL.leastMs);
  assert(download.clock.now() < GROWTH_STALL.mostMs);
  await reader.close();
});

Deno.test("GrowingReader reads a part, as soon as its first byte is there", async () => {
  await using download = await Download.start(MiB);
  const range = { start: MiB + 10, end: MiB + 19 };
  const opening = download.open({ range });
  await download.clock.advance(100);
  await download.grow(MiB, MiB + 15);
  const reader = await download.passTime(opening);
  assert.deepEqual([reader.start, reader.end, reader.size], [MiB + 10, MiB + 19, bytes.length]);
  await download.grow(MiB + 15, 2 * MiB);
  const { bytes: part } = await download.passTime(drain(reader));
  assert.deepEqual(part, bytes.slice(MiB + 10, MiB + 20));
  await reader.close();
});

Deno.test("GrowingReader.open() tells what does not come from what cannot be", async () => {
  await using download = await Download.start(MiB);
  const outside = { start: bytes.length, end: bytes.length };
  await assert.rejects(download.open({ range: outside }), RangeNotSatisfiableError);
  await assert.rejects(download.open({ path: `${download.folder}/none` }), NotFoundError);
  const signal = AbortSignal.abort();
  const range = { start: MiB, end: bytes.length - 1 };
  await assert.rejects(download.open({ range, signal }), NotFoundError);
  await download.passTime(assert.rejects(download.open({ range }), NotFoundError));
});
