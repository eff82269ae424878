import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type Libc, openLibc } from "../../../lib/net/libc.ts";
import type { TransferSlot } from "../../../lib/net/transfer_limits.ts";
import { MAX_CALL_BYTES, MAX_FRUITLESS_CALLS } from "../../../lib/registry/kernel_send.ts";
import { BodySender, ClientGoneError, MIN_KERNEL_BYTES } from "../../../lib/registry/send_body.ts";
import { FileReader } from "../../../lib/store/file_reader.ts";
import { LayoutStore } from "../../../lib/store/layout/layout_store.ts";
import type { ByteRange } from "../../../lib/store/store.ts";
import { recordingLog } from "../cli/recording_log.ts";
import { makeContent, makeManifest } from "../support/content.ts";
import { makeContentFile, openDescriptors } from "../support/content_file.ts";
import { eventually } from "../support/eventually.ts";
import { LayoutFolder } from "../support/layout_folder.ts";
import { RawClient } from "../support/raw_client.ts";
import { startRegistryNode } from "../support/registry_node.ts";
import { type Sending, sendTo } from "./send_to.ts";

const MiB = 1024 * 1024;

/** Counts, and may be made to fail. */
interface ObservedLibc extends Libc {
  calls: number;
  sent: number;
}

function observed(replaced?: Libc["sendfile"]): ObservedLibc {
  const libc = openLibc()!;
  return {
    ...libc,
    calls: 0,
    sent: 0,
    async sendfile(...args) {
      this.calls += 1;
      const sent = await (replaced ?? libc.sendfile)(...args);
      this.sent += sent;
      return sent;
    },
  };
}

interface Sent extends Sending {
  readonly libc: ObservedLibc;
}

/** Sends a file; afterwards nothing of it may be open. */
async function sendFile(
  bytes: Uint8Array,
  receive: (client: RawClient) => Promise<void>,
  options: { libc?: ObservedLibc; range?: ByteRange; writeStallMs?: number; slot?: TransferSlot } =
    {},
): Promise<Sent> {
  using libc = options.libc ?? observed();
  await using file = await makeContentFile(bytes);
  const reader = FileReader.open(file.path, options.range);
  const sockets = openDescriptors("socket:");
  const sender = new BodySender({ ...options, libc });
  const sending = await sendTo(reader, receive, sender, options.slot);
  await reader.close();
  assert.equal(openDescriptors(file.path), 0);
  await eventually("no socket is left", () => openDescriptors("socket:") <= sockets);
  return Object.assign(sending, { libc });
}

for (
  const [size, range] of [
    [MIN_KERNEL_BYTES, undefined],
    [MIN_KERNEL_BYTES + 1, undefined],
    [3 * MiB + 5, { start: 7, end: 3 * MiB }],
    [MAX_CALL_BYTES * 3 + 1, undefined],
    [40 * MiB, { start: 1, end: 40 * MiB - 1 }],
  ] as const
) {
  const kind = range === undefined ? "all" : "a part";
  Deno.test(`BodySender.send() lets the kernel send ${kind} of a file of ${size} bytes`, async () => {
    const { bytes } = makeContent(size);
    const wanted = range === undefined ? bytes : bytes.subarray(range.start, range.end + 1);
    const { error, heads, pieces, libc } = await sendFile(bytes, async (client) => {
      assert.equal(Buffer.compare((await client.receive()).body, wanted), 0);
    }, range === undefined ? {} : { range });
    assert.equal(error, undefined);
    assert.equal(heads, 1);
    assert.ok(libc.sent > 0);
    assert.equal(pieces.reduce((sum, count) => sum + count, 0), wanted.length);
  });
}

Deno.test("BodySender.send() writes a small file by itself", async () => {
  const { bytes } = makeContent(MIN_KERNEL_BYTES - 1);
  const { error, libc } = await sendFile(bytes, async (client) => {
    assert.equal(Buffer.compare((await client.receive()).body, bytes), 0);
  });
  assert.equal(error, undefined);
  assert.equal(libc.calls, 0);
});

Deno.test("BodySender.send() mixes nothing up for a client that reads slowly and with pauses", async () => {
  const { bytes } = makeContent(24 * MiB);
  const { error, libc } = await sendFile(bytes, async (client) => {
    await client.receiveHead();
    for (let at = 0; at < bytes.length; at += 3 * MiB) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      const part = await client.take(3 * MiB);
      assert.equal(Buffer.compare(part, bytes.subarray(at, at + 3 * MiB)), 0);
    }
  });
  assert.equal(error, undefined);
  assert.ok(libc.calls > 1);
});

Deno.test("BodySender.send() writes the rest where the kernel sends nothing", async () => {
  const { bytes } = makeContent(24 * MiB);
  const libc = observed(() => Promise.resolve(0));
  const { error } = await sendFile(bytes, async (client) => {
    assert.equal(Buffer.compare((await client.receive()).body, bytes), 0);
  }, { libc });
  assert.equal(error, undefined);
  assert.equal(libc.calls, MAX_FRUITLESS_CALLS);
});

Deno.test("BodySender.send() goes on where the kernel sends only now and then", async () => {
  const { bytes } = makeContent(24 * MiB);
  using real = openLibc()!;
  let calls = 0;
  const libc = observed(async (socket, file, position, count) => {
    calls += 1;
    return calls % 3 === 0
      ? await real.sendfile(socket, file, position, Math.min(count, 12_345))
      : 0;
  });
  const { error } = await sendFile(bytes, async (client) => {
    assert.equal(Buffer.compare((await client.receive()).body, bytes), 0);
  }, { libc });
  assert.equal(error, undefined);
  assert.ok(libc.sent > 0);
});

Deno.test("BodySender.send() writes a file whose name leads elsewhere by now", async () => {
  const { bytes } = makeContent(2 * MiB);
  const libc = Object.assign(observed(), { isFile: () => false });
  const { error } = await sendFile(bytes, async (client) => {
    assert.equal(Buffer.compare((await client.receive()).body, bytes), 0);
  }, { libc });
  assert.equal(error, undefined);
  assert.equal(libc.calls, 0);
});

Deno.test("BodySender.send() gives up a client that takes nothing of what the kernel sends", async () => {
  const { bytes } = makeContent(64 * MiB);
  let received = 0;
  const { error } = await sendFile(bytes, async (client) => {
    await client.receiveHead();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    received = (await client.ended()).bytes.length;
  }, { writeStallMs: 200 });
  assert.ok(error instanceof ClientGoneError, String(error));
  assert.ok(received < bytes.length);
});

Deno.test("BodySender.send() notices a client that goes away from what the kernel sends", async () => {
  const { bytes } = makeContent(64 * MiB);
  for (const taken of [0, 1000, 10 * MiB]) {
    const { error } = await sendFile(bytes, async (client) => {
      await client.receiveHead();
      await client.take(taken);
      client.close();
    });
    assert.ok(error instanceof ClientGoneError, String(error));
  }
});

Deno.test("BodySender.send() keeps the descriptor of a client that goes away until the kernel is done", async () => {
  const { bytes } = makeContent(8 * MiB);
  using real = openLibc()!;
  const { promise: isGone, resolve: gone } = Promise.withResolvers<void>();
  const ports: (number | undefined)[] = [];
  const libc = observed(async (socket, file, position, count) => {
    ports.push(real.peerPort(socket));
    await isGone;
    ports.push(real.peerPort(socket));
    return await real.sendfile(socket, file, position, count);
  });
  const { error } = await sendFile(bytes, async (client) => {
    await client.receiveHead();
    await eventually("the kernel is asked", () => libc.calls > 0);
    client.close();
    // The runtime notices and closes the socket; the next connection gets the first number that is free.
    await new Promise((resolve) => setTimeout(resolve, 50));
    const other = await Deno.open("/dev/null");
    gone();
    await eventually("it has answered", () => ports.length > 1);
    other.close();
  }, { libc });
  assert.ok(error instanceof ClientGoneError, String(error));
  const [before, after] = ports;
  assert.ok(before !== undefined);
  assert.ok(after === before || after === undefined, `${after} instead of ${before}`);
});

Deno.test("BodySender.send() paces every byte of what the kernel sends", async () => {
  const { bytes } = makeContent(20 * MiB + 3);
  let paced = 0;
  let most = 0;
  const slot: TransferSlot = {
    async pace(count) {
      paced += count;
      most = Math.max(most, count);
      await Promise.resolve();
    },
    release() {},
  };
  const libc = observed();
  const { error, pieces } = await sendFile(bytes, async (client) => {
    assert.equal(Buffer.compare((await client.receive()).body, bytes), 0);
  }, { libc, slot });
  assert.equal(error, undefined);
  assert.equal(paced, bytes.length);
  assert.ok(most <= MiB, "small enough for others to have their turns between");
  assert.equal(pieces.reduce((sum, count) => sum + count, 0), bytes.length);
});

Deno.test("RegistryServer takes it for no fault when a client goes away while the kernel sends", async () => {
  using libc = openLibc()!;
  await using layout = await LayoutFolder.create();
  const blob = makeContent(24 * MiB);
  const manifest = makeManifest(makeContent(10, 3), [blob]);
  await layout.add("v1", { manifest, blobs: [blob] });
  const store = new LayoutStore({ path: layout.path, repository: "docker.io/app" });
  const { log, lines } = recordingLog();
  for (const sendsAll of [true, false]) {
    const { promise: isGone, resolve: gone } = Promise.withResolvers<void>();
    let isAsked = false;
    const sendfile: Libc["sendfile"] = async (_socket, _file, _position, count) => {
      isAsked = true;
      await isGone;
      return sendsAll ? count : 0;
    };
    const sender = new BodySender({ libc: { ...libc, sendfile } });
    await using node = await startRegistryNode({ store, sender, log });
    using client = await RawClient.connect(node.port);
    await client.ask("GET", `/v2/app/blobs/${blob.digest}`);
    await eventually("the kernel is asked", () => isAsked);
    client.close();
    // The server notices while the kernel is at work, and closes the content.
    await new Promise((resolve) => setTimeout(resolve, 50));
    gone();
    await eventually("the request is over", () => node.exchanges.length === 1);
    assert.equal(node.exchanges[0]!.complete, false);
    await eventually("all is closed", () => openDescriptors(layout.path) === 0);
  }
  assert.deepEqual(lines, []);
});
