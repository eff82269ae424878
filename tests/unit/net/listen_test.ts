import assert from "node:assert/strict";
import { createServer, type RequestListener, type Server } from "node:http";
import { ConfigError, UnavailableError } from "../../../lib/errors.ts";
import { closeServer, listen, parseListenAddress } from "../../../lib/net/listen.ts";
import { eventually } from "../support/eventually.ts";
import { RawClient } from "../support/raw_client.ts";

const ADDRESSES: Readonly<Record<string, ReturnType<typeof parseListenAddress>>> = {
  ":5000": { host: undefined, port: 5000 },
  ":0": { host: undefined, port: 0 },
  ":65535": { host: undefined, port: 65_535 },
  "127.0.0.1:5000": { host: "127.0.0.1", port: 5000 },
  "localhost:5000": { host: "localhost", port: 5000 },
  "[::1]:5000": { host: "::1", port: 5000 },
  "[::]:5000": { host: "::", port: 5000 },
  "[::ffff:10.0.0.1]:5000": { host: "::ffff:10.0.0.1", port: 5000 },
};
for (const [text, address] of Object.entries(ADDRESSES)) {
  Deno.test(`parseListenAddress() takes ${text} apart`, () => {
    assert.deepEqual(parseListenAddress(text), address);
  });
}

for (
  const text of [
    "",
    "5000",
    "127.0.0.1",
    "127.0.0.1:",
    ":65536",
    ":-1",
    ":http",
    "::1:5000",
    "[::1]",
    "[::1:5000",
    "[]:5000",
    "[localhost]:5000",
    "http://127.0.0.1:5000",
    "127.0.0.1:5000\n",
  ]
) {
  Deno.test(`parseListenAddress() refuses ${JSON.stringify(text)}, and repeats it`, () => {
    assert.throws(
      () => parseListenAddress(text),
      (error: unknown) =>
        error instanceof ConfigError && error.message.includes(JSON.stringify(text)),
    );
  });
}

/** A server that is closed at once when disposed. */
function disposableServer(handler?: RequestListener): { server: Server } & AsyncDisposable {
  const server = createServer(handler);
  return {
    server,
    [Symbol.asyncDispose]: () => closeServer(server, Promise.resolve(), 0),
  };
}

Deno.test("listen() returns the port that the system chose", async () => {
  await using one = disposableServer((_request, response) => response.end("here"));
  const port = await listen(one.server, { host: "127.0.0.1", port: 0 });
  assert.ok(port > 0);
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), "here");
});

function hasIpv6(): boolean {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

Deno.test("listen() without a host takes IPv4 and, where there is any, IPv6", async () => {
  await using one = disposableServer((_request, response) => response.end("here"));
  const port = await listen(one.server, { host: undefined, port: 0 });
  for (const host of ["127.0.0.1", ...(hasIpv6() ? ["[::1]"] : [])]) {
    assert.equal(await (await fetch(`http://${host}:${port}/`)).text(), "here", host);
  }
});

Deno.test("listen() says that a port is in use, also without a host", async () => {
  await using one = disposableServer();
  const port = await listen(one.server, { host: undefined, port: 0 });
  for (const host of [undefined, "127.0.0.1"]) {
    await using other = disposableServer();
    await assert.rejects(
      listen(other.server, { host, port }),
      (error: unknown) =>
        error instanceof UnavailableError && error.message.includes(`${host ?? ""}:${port}`),
    );
  }
});

Deno.test("listen() says that an address is not this machine's", async () => {
  await using one = disposableServer();
  await assert.rejects(listen(one.server, { host: "192.0.2.1", port: 0 }), UnavailableError);
});

Deno.test("listen() can be tried again with a server that failed", async () => {
  await using one = disposableServer((_request, response) => response.end("here"));
  await assert.rejects(listen(one.server, { host: "192.0.2.1", port: 0 }), UnavailableError);
  const port = await listen(one.server, { host: "127.0.0.1", port: 0 });
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), "here");
});

Deno.test("closeServer() waits for what is under way, and then closes every connection", async () => {
  const idle = Promise.withResolvers<void>();
  const server = createServer((_request, response) => {
    response.writeHead(200, { "Content-Length": "4" });
    response.write("he");
    idle.promise.then(() => response.end("re"));
  });
  const port = await listen(server, { host: "127.0.0.1", port: 0 });
  using busy = await RawClient.connect(port);
  using unused = await RawClient.connect(port);
  await busy.ask("GET", "/");
  await busy.receiveHead();
  let isClosed = false;
  const closing = closeServer(server, idle.promise, 60_000).then(() => isClosed = true);
  await eventually("no new connection", async () => {
    try {
      (await RawClient.connect(port)).close();
      return false;
    } catch {
      return true;
    }
  });
  assert.equal(isClosed, false);
  idle.resolve();
  await closing;
  await busy.ended();
  await unused.ended();
});

Deno.test("closeServer() does not wait longer than the grace time", async () => {
  const server = createServer((_request, response) => {
    response.writeHead(200, { "Content-Length": "4" });
    response.write("he");
  });
  const port = await listen(server, { host: "127.0.0.1", port: 0 });
  using client = await RawClient.connect(port);
  await client.ask("GET", "/");
  await client.receiveHead();
  await closeServer(server, new Promise(() => {}), 20);
  assert.equal(new TextDecoder().decode((await client.ended()).bytes), "he");
});

Deno.test("closeServer() of a server that does not listen returns", async () => {
  await closeServer(createServer(), Promise.resolve(), 60_000);
});
