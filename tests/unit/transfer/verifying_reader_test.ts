import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { PeerError, VerificationError } from "../../../lib/errors.ts";
import { type Digest, parseDigest } from "../../../lib/oci/digest.ts";
import { readAll, VerifyingReader } from "../../../lib/transfer/verifying_reader.ts";
import { BytesReader, type BytesReaderOptions } from "../support/bytes_reader.ts";
import { makeContent } from "../support/content.ts";
import { drain } from "../support/drain.ts";

const CONTENT = makeContent(100);
const OTHER = makeContent(100, 2);

function verifying(bytes: Uint8Array, digest: Digest, options: BytesReaderOptions = {}) {
  const events: string[] = [];
  const inner = new BytesReader(bytes, options);
  const reader = new VerifyingReader(inner, digest, {
    onVerified: () => events.push("verified"),
    onMismatch: () => events.push("mismatch"),
  });
  return { reader, inner, events };
}

const SHA512 = parseDigest(`sha512:${createHash("sha512").update(CONTENT.bytes).digest("hex")}`);

for (const [name, digest] of [["sha256", CONTENT.digest], ["sha512", SHA512]] as const) {
  for (const bufferSize of [1, 30, 100, 1000]) {
    Deno.test(`VerifyingReader passes right content on: ${name}, buffers of ${bufferSize}`, async () => {
      const { reader, events } = verifying(CONTENT.bytes, digest);
      const { bytes, error } = await drain(reader, bufferSize);
      assert.equal(error, undefined);
      assert.deepEqual(bytes, new Uint8Array(CONTENT.bytes));
      assert.deepEqual(events, ["verified"]);
    });
  }
}

for (const bufferSize of [1, 30, 100, 1000]) {
  Deno.test(`VerifyingReader withholds the end of wrong content: buffers of ${bufferSize}`, async () => {
    const { reader, events } = verifying(OTHER.bytes, CONTENT.digest);
    const { bytes, error } = await drain(reader, bufferSize);
    assert.ok(error instanceof VerificationError);
    assert.match(error.message, new RegExp(`${CONTENT.digest} hashes to ${OTHER.digest}`));
    assert.ok(bytes.length < OTHER.bytes.length);
    assert.deepEqual(events, ["mismatch"]);
  });
}

Deno.test("VerifyingReader notices one wrong bit in the last byte", async () => {
  const bytes = CONTENT.bytes.slice();
  bytes[99] = (bytes[99] ?? 0) ^ 1;
  assert.ok((await drain(verifying(bytes, CONTENT.digest).reader)).error instanceof Error);
});

Deno.test("VerifyingReader refuses content that ends early", async () => {
  const short = CONTENT.bytes.subarray(0, 60);
  const { reader, events } = verifying(short, CONTENT.digest, { size: 100 });
  const { bytes, error } = await drain(reader);
  assert.equal(bytes.length, 60);
  assert.ok(error instanceof VerificationError);
  assert.match(error.message, /ended 40 bytes early/);
  assert.deepEqual(events, []);
});

Deno.test("VerifyingReader checks empty content", async () => {
  const empty = makeContent(0);
  const right = verifying(empty.bytes, empty.digest);
  assert.deepEqual(await drain(right.reader), { bytes: new Uint8Array(0), error: undefined });
  assert.deepEqual(right.events, ["verified"]);
  const wrong = verifying(empty.bytes, CONTENT.digest);
  assert.ok((await drain(wrong.reader)).error instanceof VerificationError);
});

Deno.test("VerifyingReader passes errors on and closes what it wraps", async () => {
  const failure = new PeerError("broke off");
  const { reader, inner } = verifying(CONTENT.bytes, CONTENT.digest, { failAt: 10, failure });
  assert.equal((await drain(reader)).error, failure);
  await reader.close();
  assert.equal(inner.closed, 1);
});

Deno.test("VerifyingReader refuses a part", () => {
  const part = { ...new BytesReader(CONTENT.bytes), start: 1, end: 99, size: 100 };
  const inner = Object.assign(new BytesReader(CONTENT.bytes), part);
  assert.throws(() => new VerifyingReader(inner, CONTENT.digest), RangeError);
});

Deno.test("readAll() reads in pieces up to the limit, and closes", async () => {
  const reader = new BytesReader(CONTENT.bytes, { piece: 7 });
  assert.deepEqual(await readAll(reader, 100), new Uint8Array(CONTENT.bytes));
  assert.equal(reader.closed, 1);
});

for (
  const [name, options, limit] of [
    ["content over the limit", {}, 99],
    ["content that ends early", { size: 101 }, 1000],
  ] as const
) {
  Deno.test(`readAll() refuses ${name}, and closes`, async () => {
    const reader = new BytesReader(CONTENT.bytes, options);
    await assert.rejects(readAll(reader, limit), VerificationError);
    assert.equal(reader.closed, 1);
  });
}
