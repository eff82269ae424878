import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { openLibc } from "../../../lib/net/libc.ts";
import { duplicateDescriptor } from "../../../lib/net/socket_descriptor.ts";
import { makeContent } from "../support/content.ts";
import { makeContentFile } from "../support/content_file.ts";

/** Both ends of a connection, the accepted one first. */
async function socketPair(): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [[accepted]] = await Promise.all([once(server, "connection"), once(client, "connect")]);
  server.close();
  return [accepted, client];
}

async function destroy(...sockets: Socket[]): Promise<void> {
  await Promise.all(
    sockets.filter(({ closed }) => !closed).map((socket) => {
      const closed = once(socket, "close");
      socket.destroy();
      return closed;
    }),
  );
}

Deno.test("duplicateDescriptor() leads to the same connection, also when the runtime has closed it", async () => {
  using libc = openLibc()!;
  const { bytes } = makeContent(100_000);
  await using file = await makeContentFile(bytes);
  const [accepted, client] = await socketPair();
  const socket = duplicateDescriptor(accepted, libc)!;
  assert.equal(libc.peerPort(socket), client.localPort);
  await destroy(accepted);
  const content = libc.open(file.path)!;
  let sent = 0;
  const received: Uint8Array[] = [];
  client.on("data", (chunk: Uint8Array) => received.push(chunk));
  while (sent < bytes.length) {
    sent += await libc.sendfile(socket, content, sent, bytes.length - sent);
  }
  libc.close(content);
  const ended = once(client, "end");
  libc.close(socket);
  await ended;
  assert.equal(Buffer.compare(Buffer.concat(received), bytes), 0);
  await destroy(client);
});

Deno.test("duplicateDescriptor() makes a duplicate that other programs do not inherit", async () => {
  using libc = openLibc()!;
  const [accepted, client] = await socketPair();
  const socket = duplicateDescriptor(accepted, libc)!;
  const info = await Deno.readTextFile(`/proc/self/fdinfo/${socket}`);
  const flags = parseInt(/^flags:\s+([0-7]+)$/m.exec(info)![1]!, 8);
  assert.ok(flags & 0o2000000, "close on exec");
  assert.ok(flags & 0o4000, "does not block");
  libc.close(socket);
  await destroy(accepted, client);
});

Deno.test("duplicateDescriptor() has none of an encrypted connection, a closed one, or one of another port", async () => {
  using libc = openLibc()!;
  const [accepted, client] = await socketPair();
  assert.equal(duplicateDescriptor(new TLSSocket(accepted), libc), undefined);
  const [plain, other] = await socketPair();
  let closed: number[] = [];
  const elsewhere = {
    ...libc,
    peerPort: () => 1,
    close(descriptor: number) {
      closed = [...closed, descriptor];
      libc.close(descriptor);
    },
  };
  assert.equal(duplicateDescriptor(plain, elsewhere), undefined);
  assert.equal(closed.length, 1, "what is of no use is closed");
  await destroy(plain, other);
  assert.equal(duplicateDescriptor(plain, libc), undefined);
  await destroy(accepted, client);
});
