import assert from "node:assert/strict";
import { PeerError } from "../../../lib/errors.ts";
import { ConnectionPool } from "../../../lib/transfer/connection_pool.ts";
import {
  type HttpRequest,
  httpRequest,
  type HttpResponse,
} from "../../../lib/transfer/http_client.ts";
import { drain } from "../support/drain.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { fakeTimers } from "../support/fake_timers.ts";
import { type RawServer, send, startRawServer, untilClosed } from "../support/raw_server.ts";

const HELLO = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/** Answers one request of a connection after the other; the last answer is followed by the connection's end. */
function answering(...answers: readonly string[]): RawServer {
  return startRawServer(async (_request, connection) => {
    for (const [index, answer] of answers.entries()) {
      if (index > 0 && !await again(connection)) return;
      await send(connection, answer);
    }
  });
}

/** Waits for a further request; false if the client closes the connection. */
async function again(connection: Deno.Conn): Promise<boolean> {
  const buffer = new Uint8Array(1024);
  for (let text = ""; !text.endsWith("\r\n\r\n");) {
    const count = await connection.read(buffer);
    if (count === null) return false;
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
  return true;
}

function request(
  server: RawServer,
  pool: ConnectionPool,
  overrides: Partial<HttpRequest> = {},
): Promise<HttpResponse> {
  return httpRequest({
    address: "127.0.0.1",
    port: server.port,
    method: "GET",
    target: "/v2/",
    headers: {},
    timeouts: { connectMs: 5000, headMs: 5000, interimMs: 10_000, stallMs: 5000 },
    pool,
    ...overrides,
  });
}

/** Reads a response to its end and closes it. */
async function finish(response: HttpResponse): Promise<string> {
  const { bytes, error } = await drain(response);
  response.close();
  assert.equal(error, undefined);
  return new TextDecoder().decode(bytes);
}

async function get(server: RawServer, pool: ConnectionPool): Promise<string> {
  return await finish(await request(server, pool));
}

Deno.test("httpRequest() uses a connection again whose answer was read to its end", async () => {
  await using server = answering(HELLO, HELLO, HELLO);
  using pool = new ConnectionPool();
  for (let count = 0; count < 3; count++) assert.equal(await get(server, pool), "hello");
  assert.equal(server.requests.length, 1, "requests of one connection");
  assert.equal(server.requests[0]?.headers.get("connection"), "keep-alive");
});

const KEPT: Readonly<Record<string, [head: string, overrides?: Partial<HttpRequest>]>> = {
  "to HEAD": ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", { method: "HEAD" }],
  "without a body": ["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"],
  "304": ["HTTP/1.1 304 Not Modified\r\n\r\n"],
  "with an interim response before it": [`HTTP/1.1 102 Processing\r\n\r\n${HELLO}`],
  "of another case": [
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: Keep-Alive\r\n\r\nhello",
  ],
};
for (const [name, [answer, overrides]] of Object.entries(KEPT)) {
  Deno.test(`httpRequest() uses the connection again after an answer ${name}`, async () => {
    await using server = answering(answer, HELLO);
    using pool = new ConnectionPool();
    await finish(await request(server, pool, overrides));
    assert.equal(pool.size, 1);
    assert.equal(await get(server, pool), "hello");
    assert.equal(server.requests.length, 1);
  });
}

const NOT_KEPT: Readonly<Record<string, string>> = {
  "that ends it": "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
  "that ends it among other words":
    "HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 5\r\n\r\nhello",
  "of HTTP/1.0": "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
  "with bytes behind its body": `${HELLO} and more`,
  "of unknown length": "HTTP/1.1 200 OK\r\n\r\nhello",
  "with bytes behind an empty body": "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\nx",
};
for (const [name, answer] of Object.entries(NOT_KEPT)) {
  Deno.test(`httpRequest() does not use the connection again after an answer ${name}`, async () => {
    await using server = answering(answer, HELLO);
    using pool = new ConnectionPool();
    await finish(await request(server, pool));
    assert.equal(pool.size, 0);
    await finish(await request(server, pool));
    assert.equal(server.requests.length, 2);
  });
}

Deno.test("httpRequest() does not use a connection again whose body was not read to its end", async () => {
  await using server = answering(HELLO, HELLO);
  using pool = new ConnectionPool();
  const response = await request(server, pool);
  assert.equal(await response.read(new Uint8Array(4)), 4);
  response.close();
  response.close();
  assert.equal(pool.size, 0);
  assert.equal(await get(server, pool), "hello");
  assert.equal(server.requests.length, 2);
});

Deno.test("HttpResponse.close() ends a read that is under way, and the connection with it", async () => {
  await using server = startRawServer(async (_request, connection) => {
    await send(connection, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    await untilClosed(connection);
  });
  using pool = new ConnectionPool();
  const response = await request(server, pool);
  const reading = response.read(new Uint8Array(5));
  response.close();
  await assert.rejects(reading, PeerError);
  await assert.rejects(response.read(new Uint8Array(5)), PeerError);
  assert.equal(pool.size, 0);
});

for (const end of ["closed", "reset"] as const) {
  Deno.test(`httpRequest() connects anew when a kept connection was ${end} meanwhile`, async () => {
    const { promise: gone, resolve: go } = Promise.withResolvers<void>();
    const { promise: isGone, resolve: went } = Promise.withResolvers<void>();
    await using server = startRawServer(async (_request, connection) => {
      await send(connection, HELLO);
      if (server.requests.length > 1) return;
      await gone;
      // Bytes that nobody reads turn the end into a reset; both look the same to the client that writes.
      connection.close();
      went();
    });
    using pool = new ConnectionPool();
    assert.equal(await get(server, pool), "hello");
    assert.equal(pool.size, 1);
    if (end === "closed") {
      go();
      await isGone;
    }
    const asking = get(server, pool);
    go();
    assert.equal(await asking, "hello");
    assert.equal(server.requests.length, 2);
  });
}

Deno.test("httpRequest() does not ask again when a kept connection breaks within the head", async () => {
  await using server = answering(HELLO, "HTTP/1.1 200 OK\r\nContent-");
  using pool = new ConnectionPool();
  assert.equal(await get(server, pool), "hello");
  await assert.rejects(request(server, pool), /connection closed before the response head ended/);
  assert.equal(server.requests.length, 1);
  assert.equal(pool.size, 0);
});

Deno.test("httpRequest() does not ask again when a kept connection does not answer in time", async () => {
  await using server = startRawServer(async (_request, connection) => {
    await send(connection, HELLO);
    await untilClosed(connection);
  });
  using pool = new ConnectionPool();
  assert.equal(await get(server, pool), "hello");
  const timeouts = { connectMs: 5000, headMs: 50, interimMs: 5000, stallMs: 5000 };
  await assert.rejects(
    request(server, pool, { timeouts }),
    /sent no response head within 50 ms/,
  );
  assert.equal(server.requests.length, 1);
  assert.equal(pool.size, 0);
});

Deno.test("httpRequest() lets go of a connection for the next one: an abort of the first request does not touch it", async () => {
  await using server = answering(HELLO, HELLO);
  using pool = new ConnectionPool();
  const abort = new AbortController();
  await finish(await request(server, pool, { signal: abort.signal }));
  const second = await request(server, pool);
  abort.abort();
  assert.equal(await finish(second), "hello");
  assert.equal(server.requests.length, 1);
});

Deno.test("httpRequest() keeps no connection of a request that was aborted", async () => {
  await using server = answering(HELLO, HELLO);
  using pool = new ConnectionPool();
  const abort = new AbortController();
  const response = await request(server, pool, { signal: abort.signal });
  const { bytes } = await drain(response);
  assert.equal(bytes.length, 5);
  abort.abort();
  response.close();
  assert.equal(pool.size, 0);
  assert.equal(await get(server, pool), "hello");
});

Deno.test("httpRequest() waits anew after each interim response", async () => {
  const clock = new FakeClock();
  using _timers = fakeTimers(clock);
  const next: (() => void)[] = [];
  const turn = () => new Promise<void>((resolve) => next.push(resolve));
  await using server = startRawServer(async (_request, connection) => {
    for (let count = 0; count < 5; count++) {
      await turn();
      await send(connection, "HTTP/1.1 102 Processing\r\n\r\n");
    }
    await turn();
    await send(connection, HELLO);
  });
  using pool = new ConnectionPool();
  let interims = 0;
  let isTold = Promise.withResolvers<void>();
  const asking = request(server, pool, {
    timeouts: { connectMs: 5000, headMs: 1000, interimMs: 60_000, stallMs: 5000 },
    onInterim() {
      interims += 1;
      isTold.resolve();
      isTold = Promise.withResolvers();
    },
  });
  for (let count = 0; count < 5; count++) {
    while (next.length === 0) await clock.advance(0);
    await clock.advance(999);
    const told = isTold.promise;
    next.shift()!();
    await told;
  }
  while (next.length === 0) await clock.advance(0);
  await clock.advance(999);
  next.shift()!();
  assert.equal(await finish(await asking), "hello");
  assert.equal(interims, 5);
});

Deno.test("httpRequest() gives up on a peer that sends nothing after an interim response", async () => {
  await using server = startRawServer(async (_request, connection) => {
    await send(connection, "HTTP/1.1 102 Processing\r\n\r\n");
    await untilClosed(connection);
  });
  using pool = new ConnectionPool();
  const timeouts = { connectMs: 5000, headMs: 50, interimMs: 60_000, stallMs: 5000 };
  await assert.rejects(request(server, pool, { timeouts }), /sent no response head within 50 ms/);
});

Deno.test("httpRequest() gives up on a peer that sends interim responses without end", async () => {
  await using server = startRawServer(async (_request, connection) => {
    while (true) {
      await send(connection, "HTTP/1.1 102 Processing\r\n\r\n");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });
  using pool = new ConnectionPool();
  const timeouts = { connectMs: 5000, headMs: 5000, interimMs: 200, stallMs: 5000 };
  await assert.rejects(request(server, pool, { timeouts }), /sent no response head/);
  assert.equal(pool.size, 0);
});
