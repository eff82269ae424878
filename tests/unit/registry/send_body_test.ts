import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createServer } from "node:http";
import { PeerError, VerificationError } from "../../../lib/errors.ts";
import { closeServer, listen } from "../../../lib/net/listen.ts";
import { BodySender, ClientGoneError } from "../../../lib/registry/send_body.ts";
import { BytesReader, type BytesReaderOptions } from "../support/bytes_reader.ts";
import { makeContent } from "../support/content.ts";
import { eventually } from "../support/eventually.ts";
import { RawClient } from "../support/raw_client.ts";
import { sendTo } from "./send_to.ts";

const MiB = 1024 * 1024;

const SIZES: readonly (readonly [number, BytesReaderOptions])[] = [
  [0, {}],
  [1, {}],
  [256 * 1024, {}],
  [256 * 1024, { piece: 1000 }],
  [MiB, {}],
  [3 * MiB + 5, {}],
  [3 * MiB, { piece: 100_000 }],
];
for (const [size, options] of SIZES) {
  const pieces = options.piece === undefined ? "" : ` from a source of ${options.piece} a read`;
  Deno.test(`BodySender.send() sends ${size} bytes${pieces}`, async () => {
    const { bytes } = makeContent(size);
    let received: Uint8Array | undefined;
    const { heads, error, pieces } = await sendTo(
      new BytesReader(bytes, options),
      async (client) => {
        received = (await client.receive()).body;
      },
    );
    assert.equal(error, undefined);
    assert.equal(heads, 1);
    assert.ok(received !== undefined && Buffer.compare(received, bytes) === 0);
    assert.equal(pieces.reduce((sum, count) => sum + count, 0), size);
  });
}

Deno.test("BodySender.send() sends many bodies in turn without mixing up their buffers", async () => {
  const sender = new BodySender();
  for (const seed of [1, 2, 3, 4]) {
    const { bytes } = makeContent(2 * MiB, seed);
    const { error } = await sendTo(new BytesReader(bytes), async (client) => {
      assert.equal(Buffer.compare((await client.receive()).body, bytes), 0);
    }, sender);
    assert.equal(error, undefined);
  }
});

Deno.test("BodySender.send() writes no head for a source that fails before its first byte", async () => {
  const failure = new PeerError("broken");
  for (const failAt of [0, 2 * MiB]) {
    const reader = new BytesReader(makeContent(3 * MiB).bytes, { failAt, failure });
    const { heads, error } = await sendTo(reader, async (client) => void await client.ended());
    assert.equal(error, failure);
    assert.equal(heads, failAt === 0 ? 0 : 1);
  }
});

Deno.test("BodySender.send() fails, and never returns, when the source ends early", async () => {
  for (const there of [0, 1, 100_000, MiB, 2 * MiB]) {
    const reader = new BytesReader(makeContent(there).bytes, { size: 3 * MiB });
    const { heads, error } = await sendTo(reader, async (client) => void await client.ended());
    assert.ok(error instanceof VerificationError, String(error));
    assert.equal(heads, there === 0 ? 0 : 1, "nothing was sent that a head could promise");
  }
});

Deno.test("BodySender.send() survives a source that fails while the bytes before are written", async () => {
  // The read fails at once, long before the client takes the first piece; nobody awaits it then.
  const reader = new BytesReader(makeContent(30 * MiB).bytes, {
    failAt: MiB,
    failure: new PeerError("broken"),
  });
  const { error } = await sendTo(reader, async (client) => {
    await client.receiveHead();
    await client.take(MiB);
    assert.equal((await client.ended()).bytes.length, 0);
  });
  assert.ok(error instanceof PeerError, String(error));
});

Deno.test("BodySender.send() gives up a client that takes no bytes for the limit", async () => {
  const sender = new BodySender({ writeStallMs: 200 });
  const reader = new BytesReader(makeContent(64 * MiB).bytes);
  const { error, pieces } = await sendTo(reader, async (client) => {
    await client.receiveHead();
    await eventually("the body is given up", () => sender.active === 0);
    assert.ok((await client.ended()).bytes.length < 64 * MiB);
  }, sender);
  assert.ok(error instanceof ClientGoneError, String(error));
  assert.match(error.message, /took no bytes for 200 ms/);
  assert.ok(pieces.length > 0);
});

Deno.test("BodySender.send() notices that the client has closed the connection", async () => {
  const reader = new BytesReader(makeContent(64 * MiB).bytes);
  const { error } = await sendTo(reader, async (client) => {
    await client.receiveHead();
    client.close();
  });
  assert.ok(error instanceof ClientGoneError, String(error));
});

Deno.test("BodySender.end() gives up a client that does not take a body in memory", async () => {
  const sender = new BodySender({ writeStallMs: 200 });
  const { promise: over, resolve } = Promise.withResolvers<unknown>();
  const server = createServer((_request, response) => {
    response.on("error", () => {});
    response.writeHead(200, { "Content-Length": String(64 * MiB) });
    sender.end(response, new Uint8Array(64 * MiB)).then(resolve, resolve);
  });
  const port = await listen(server, { host: "127.0.0.1", port: 0 });
  try {
    using client = await RawClient.connect(port);
    await client.ask("GET", "/");
    assert.ok(await over instanceof ClientGoneError);
  } finally {
    await closeServer(server, Promise.resolve(), 0);
  }
});
