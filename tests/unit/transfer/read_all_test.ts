import assert from "node:assert/strict";
import { PeerError, VerificationError } from "../../../lib/errors.ts";
import { readAll } from "../../../lib/transfer/read_all.ts";
import { BytesReader } from "../support/bytes_reader.ts";
import { makeContent } from "../support/content.ts";

const { bytes } = makeContent(10_000);

Deno.test("readAll() reads everything in whatever pieces it comes, and closes the reader", async () => {
  for (const piece of [1, 999, 10_000, 20_000]) {
    const reader = new BytesReader(bytes, { piece });
    assert.deepEqual(await readAll(reader, 10_000), new Uint8Array(bytes));
    assert.equal(reader.closed, 1);
  }
  assert.equal((await readAll(new BytesReader(new Uint8Array()), 0)).length, 0);
});

Deno.test("readAll() reads nothing of what is too large, and closes the reader", async () => {
  const reader = new BytesReader(bytes, { before: () => Promise.reject(new Error("was read")) });
  await assert.rejects(readAll(reader, 9999), (error) => {
    return error instanceof VerificationError && /over the limit of 9999/.test(error.message);
  });
  assert.equal(reader.closed, 1);
});

Deno.test("readAll() refuses content that ends early or breaks, and closes the reader", async () => {
  const short = new BytesReader(bytes, { size: 10_005 });
  await assert.rejects(readAll(short, 20_000), /content ended 5 bytes early/);
  assert.equal(short.closed, 1);
  const broken = new BytesReader(bytes, { failAt: 5000, failure: new PeerError("broken") });
  await assert.rejects(readAll(broken, 20_000), PeerError);
  assert.equal(broken.closed, 1);
});
