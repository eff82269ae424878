import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { PeerError, VerificationError } from "../../../lib/errors.ts";
import { TransferLimits, type TransferSlot } from "../../../lib/net/transfer_limits.ts";
import { BodySender, ClientGoneError } from "../../../lib/registry/send_body.ts";
import type { ContentReader } from "../../../lib/store/store.ts";
import { BytesReader } from "../support/bytes_reader.ts";
import { makeContent } from "../support/content.ts";
import { eventually } from "../support/eventually.ts";
import { sendTo } from "./send_to.ts";

const MiB = 1024 * 1024;
const CONTENT = makeContent(5 * MiB + 7);

/** What a {@linkcode LendingReader} does besides lending. */
interface Lending {
  /** Size that is announced, if it is not the number of bytes. */
  readonly size?: number;
  /** Fails in place of lending the piece with this number. */
  readonly failAt?: number;
}

/** Lends pieces of its own memory, each of which it spoils as soon as the next one is wanted. */
class LendingReader implements ContentReader {
  readonly size: number;
  readonly start = 0;
  readonly end: number;
  readonly #bytes: Uint8Array;
  readonly #piece: number;
  readonly #failAt: number;
  #lent = new Uint8Array();
  #count = 0;

  constructor(bytes: Uint8Array, piece: number, { size, failAt = Infinity }: Lending = {}) {
    this.#bytes = bytes;
    this.#piece = piece;
    this.#failAt = failAt;
    this.size = size ?? bytes.length;
    this.end = this.size - 1;
  }

  async next(): Promise<Uint8Array | undefined> {
    this.#lent.fill(0xff);
    await Promise.resolve();
    if (this.#count >= this.#failAt) throw new PeerError("broken");
    const start = this.#count++ * this.#piece;
    if (start >= this.#bytes.length) return undefined;
    this.#lent = this.#bytes.slice(start, start + this.#piece);
    return this.#lent;
  }

  read(): Promise<number> {
    throw new Error("either next() or read()");
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

for (const piece of [1000, MiB, 10 * MiB]) {
  Deno.test(`BodySender.send() sends what a reader lends in pieces of ${piece} bytes, each before it takes the next`, async () => {
    const bytes = CONTENT.bytes.subarray(0, Math.min(CONTENT.bytes.length, piece * 100));
    let body: Uint8Array | undefined;
    const { heads, error, pieces } = await sendTo(
      new LendingReader(bytes, piece),
      async (client) => {
        body = (await client.receive()).body;
      },
    );
    assert.equal(error, undefined);
    assert.equal(heads, 1);
    assert.ok(body !== undefined && Buffer.compare(body, bytes) === 0);
    assert.equal(pieces.length, Math.ceil(bytes.length / piece));
  });
}

Deno.test("BodySender.send() sends empty content that is lent", async () => {
  const { heads, error } = await sendTo(
    new LendingReader(new Uint8Array(), MiB),
    async (client) => {
      assert.equal((await client.receive()).body.length, 0);
    },
  );
  assert.equal(error, undefined);
  assert.equal(heads, 1);
});

Deno.test("BodySender.send() writes no head when nothing is lent, and never returns when too little is", async () => {
  const cases = [
    [{ failAt: 0 }, PeerError, 0],
    [{ failAt: 2 }, PeerError, 1],
    [{ size: CONTENT.bytes.length + 1 }, VerificationError, 1],
  ] as const;
  for (const [lending, expected, heads] of cases) {
    const sending = await sendTo(
      new LendingReader(CONTENT.bytes, MiB, lending),
      async (client) => void await client.ended(),
    );
    assert.ok(sending.error instanceof expected, String(sending.error));
    assert.equal(sending.heads, heads);
  }
  const nothing = new LendingReader(new Uint8Array(), MiB, { size: 10 });
  const { heads, error } = await sendTo(nothing, async (client) => void await client.ended());
  assert.ok(error instanceof VerificationError);
  assert.equal(heads, 0);
});

Deno.test("BodySender.send() notices a client that goes away from what is lent", async () => {
  const reader = new LendingReader(makeContent(64 * MiB).bytes, MiB);
  const { error } = await sendTo(reader, async (client) => {
    await client.receiveHead();
    client.close();
  });
  assert.ok(error instanceof ClientGoneError, String(error));
});

/** A slot that counts, and lets go when the test says so. */
function slotOf(gate: Promise<void> = Promise.resolve()): TransferSlot & { paced: number } {
  return {
    paced: 0,
    async pace(bytes) {
      this.paced += bytes;
      await gate;
    },
    release() {},
  };
}

for (
  const [kind, readerOf] of [
    ["that is read", () => new BytesReader(CONTENT.bytes)],
    ["that is lent", () => new LendingReader(CONTENT.bytes, MiB)],
  ] as const
) {
  Deno.test(`BodySender.send() paces every byte of a body ${kind}`, async () => {
    const slot = slotOf();
    const { error } = await sendTo(
      readerOf(),
      async (client) => {
        assert.equal(Buffer.compare((await client.receive()).body, CONTENT.bytes), 0);
      },
      new BodySender(),
      slot,
    );
    assert.equal(error, undefined);
    assert.equal(slot.paced, CONTENT.bytes.length);
  });

  Deno.test(`BodySender.send() sends nothing of a body ${kind} before its turn`, async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const slot = slotOf(gate);
    const { error } = await sendTo(
      readerOf(),
      async (client) => {
        await eventually("it waits for its turn", () => slot.paced > 0);
        const head = client.receiveHead();
        let isThere = false;
        void head.then(() => isThere = true);
        await new Promise((resolve) => setTimeout(resolve, 20));
        assert.equal(isThere, false);
        open();
        await head;
        const body = await client.take(CONTENT.bytes.length);
        assert.equal(Buffer.compare(body, CONTENT.bytes), 0);
      },
      new BodySender(),
      slot,
    );
    assert.equal(error, undefined);
  });
}

Deno.test("BodySender.send() shares the rate with a body to another peer", async () => {
  const limits = new TransferLimits({ maxStreams: 0, bytesPerSecond: 50_000_000 });
  const bodies = ["a", "b"].map(async (who) => {
    const slot = limits.admit(who)!;
    const { error } = await sendTo(
      new BytesReader(CONTENT.bytes),
      async (client) => {
        assert.equal(Buffer.compare((await client.receive()).body, CONTENT.bytes), 0);
      },
      new BodySender(),
      slot,
    );
    slot.release();
    assert.equal(error, undefined);
  });
  await Promise.all(bodies);
  assert.equal(limits.active, 0);
});
