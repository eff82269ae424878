import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { VerificationError } from "../../../lib/errors.ts";
import { type Libc, openLibc } from "../../../lib/net/libc.ts";
import { FileReader, READS_AFTER_SLOW, SLOW_READ_MS } from "../../../lib/store/file_reader.ts";
import { makeContent } from "../support/content.ts";
import { makeContentFile, openDescriptors } from "../support/content_file.ts";

const { bytes } = makeContent(300_000);

Deno.test("FileReader lends its file, and reads on behind what was taken", async () => {
  using libc = openLibc()!;
  await using file = await makeContentFile(bytes);
  for (const range of [undefined, { start: 1000, end: 250_000 }]) {
    const reader = FileReader.open(file.path, range);
    const [start, end] = [range?.start ?? 0, range?.end ?? bytes.length - 1];
    const buffer = new Uint8Array(100);
    assert.equal(await reader.read(buffer), 100);
    const asked: number[][] = [];
    const take = (_file: number, position: number, left: number) => {
      asked.push([position, left]);
      return Promise.resolve(50_000);
    };
    assert.equal(await reader.lend(libc, take), 50_000);
    assert.equal(await reader.lend(libc, () => Promise.resolve(0)), 0);
    assert.equal(await reader.lend(libc, take), 50_000);
    assert.deepEqual(asked.map(([position]) => position), [start + 100, start + 50_100]);
    assert.equal(asked[0]![1], end + 1 - start - 100);
    assert.equal(await reader.read(buffer), 100);
    const from = start + 100_100;
    assert.equal(Buffer.compare(buffer, bytes.subarray(from, from + 100)), 0);
    const rest = end + 1 - from - 100;
    await reader.lend(libc, (_file, _position, left) => Promise.resolve(left));
    assert.equal(rest > 0 && await reader.read(buffer), 0, "nothing is left");
    await reader.close();
    assert.equal(openDescriptors(file.path), 0);
  }
});

Deno.test("FileReader lends nothing when another file, or none, lies at its path by now", async () => {
  using libc = openLibc()!;
  for (const isReplaced of [true, false]) {
    await using file = await makeContentFile(bytes);
    const reader = FileReader.open(file.path);
    await Deno.rename(file.path, `${file.path}-old`);
    if (isReplaced) await Deno.writeFile(file.path, makeContent(300_000, 2).bytes);
    const never = () => assert.fail("the wrong file was lent");
    assert.equal(await reader.lend(libc, never), undefined);
    assert.equal(await reader.lend(libc, never), undefined);
    const buffer = new Uint8Array(100);
    assert.equal(await reader.read(buffer), 100);
    assert.equal(Buffer.compare(buffer, bytes.subarray(0, 100)), 0);
    await reader.close();
    assert.equal(openDescriptors(file.path), 0);
    await Deno.rename(`${file.path}-old`, file.path);
  }
});

Deno.test("FileReader keeps a lent file open until it is given back", async () => {
  using libc = openLibc()!;
  await using file = await makeContentFile(bytes);
  const reader = FileReader.open(file.path);
  const { promise: taken, resolve: finish } = Promise.withResolvers<number>();
  let lent: number | undefined;
  const lending = reader.lend(libc, (descriptor) => {
    lent = descriptor;
    return taken;
  });
  await reader.close();
  assert.equal(libc.isFile(lent!, await Deno.stat(file.path)), true);
  finish(10);
  assert.equal(await lending, 10);
  assert.equal(openDescriptors(file.path), 0);
  await assert.rejects(reader.lend(libc, () => taken), VerificationError);
});

Deno.test("FileReader gives back a file that could not be taken", async () => {
  using libc = openLibc()!;
  await using file = await makeContentFile(bytes);
  const reader = FileReader.open(file.path);
  const failing: Libc = { ...libc, isFile: () => false };
  assert.equal(await reader.lend(failing, () => assert.fail("not this file")), undefined);
  await reader.close();
  assert.equal(openDescriptors(file.path), 0);
});

Deno.test("FileReader leaves small reads to a thread for a while after one that was slow", async () => {
  await using file = await makeContentFile(bytes);
  const { prototype } = Deno.FsFile;
  const { read: readInThread } = prototype;
  using stack = new DisposableStack();
  stack.defer(() => prototype.read = readInThread);
  let inThread = 0;
  prototype.read = function (into) {
    inThread += 1;
    return readInThread.call(this, into);
  };
  let clock = 0;
  let readMs = 0;
  const reader = FileReader.open(file.path, undefined, () => clock += readMs);
  const buffer = new Uint8Array(1000);
  let at = 0;
  const read = async () => {
    assert.equal(await reader.read(buffer), buffer.length);
    assert.equal(Buffer.compare(buffer, bytes.subarray(at, at += buffer.length)), 0);
  };
  await read();
  readMs = 2 * SLOW_READ_MS;
  await read();
  assert.equal(inThread, 0, "it is known only afterwards that a read was slow");
  readMs = 0;
  for (let count = 1; count <= READS_AFTER_SLOW; count++) {
    await read();
    assert.equal(inThread, count);
  }
  await read();
  assert.equal(inThread, READS_AFTER_SLOW);
  await reader.close();
});
