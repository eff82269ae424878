import assert from "node:assert/strict";
import {
  hostAndPort,
  type HttpRequest,
  httpRequest,
  MAX_HEAD_BYTES,
  parseHead,
} from "../../../lib/transfer/http_client.ts";
import { PeerError } from "../../../lib/errors.ts";
import { send, startRawServer, untilClosed } from "../support/raw_server.ts";

function request(port: number, overrides: Partial<HttpRequest> = {}): HttpRequest {
  return {
    address: "127.0.0.1",
    port,
    method: "GET",
    target: "/v2/",
    headers: { "X-Test": "1" },
    timeouts: { connectMs: 2000, headMs: 2000, interimMs: 5000, stallMs: 2000 },
    ...overrides,
  };
}

async function readBody(
  response: { read(into: Uint8Array): Promise<number> },
  bufferSize = 7,
): Promise<string> {
  let text = "";
  const buffer = new Uint8Array(bufferSize);
  while (true) {
    const count = await response.read(buffer);
    if (count === 0) return text;
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
}

Deno.test("httpRequest() sends one request and reads head and body", async () => {
  await using server = startRawServer((_, connection) =>
    send(connection, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-A:  b \r\n\r\nhello world")
  );
  const response = await httpRequest(request(server.port));
  assert.equal(response.status, 200);
  assert.equal(response.contentLength, 11);
  assert.equal(response.headers.get("x-a"), "b");
  assert.equal(await readBody(response), "hello world");
  response.close();
  response.close();
  const seen = server.requests[0];
  assert.equal(seen?.target, "/v2/");
  assert.equal(seen?.headers.get("host"), `127.0.0.1:${server.port}`);
  assert.equal(seen?.headers.get("x-test"), "1");
  assert.equal(seen?.headers.get("connection"), "close");
});

Deno.test("httpRequest() reads a head that comes byte by byte, after an interim response", async () => {
  await using server = startRawServer(async (_, connection) => {
    const text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (const character of text) await send(connection, character);
  });
  const response = await httpRequest(request(server.port));
  assert.equal(await readBody(response), "ok");
  response.close();
});

Deno.test("httpRequest() never reads past Content-Length", async () => {
  await using server = startRawServer((_, connection) =>
    send(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more")
  );
  const response = await httpRequest(request(server.port));
  assert.equal(await readBody(response), "ok");
  response.close();
});

Deno.test("httpRequest() reads no body for HEAD", async () => {
  await using server = startRawServer((_, connection) =>
    send(connection, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
  );
  const response = await httpRequest(request(server.port, { method: "HEAD" }));
  assert.equal(response.contentLength, 5);
  assert.equal(await readBody(response), "");
  response.close();
});

Deno.test("httpRequest() reports a body that ends early", async () => {
  await using server = startRawServer((_, connection) =>
    send(connection, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
  );
  const response = await httpRequest(request(server.port));
  await assert.rejects(readBody(response), (error) => {
    return error instanceof PeerError && /ended 5 bytes early/.test(error.message);
  });
});

Deno.test("httpRequest() gives up on a peer that sends no head, naming it", async () => {
  await using server = startRawServer((_, connection) => untilClosed(connection));
  const timeouts = { connectMs: 2000, headMs: 30, interimMs: 5000, stallMs: 2000 };
  await assert.rejects(httpRequest(request(server.port, { timeouts })), (error) => {
    return error instanceof PeerError &&
      error.message === `peer 127.0.0.1:${server.port} sent no response head within 30 ms`;
  });
});

Deno.test("httpRequest() gives up on a body that stalls", async () => {
  await using server = startRawServer(async (_, connection) => {
    await send(connection, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    await untilClosed(connection);
  });
  const timeouts = { connectMs: 2000, headMs: 2000, interimMs: 5000, stallMs: 30 };
  const response = await httpRequest(request(server.port, { timeouts }));
  await assert.rejects(readBody(response), /sent no byte of the body within 30 ms/);
});

Deno.test("httpRequest() ends when its signal is aborted, before and while the body is read", async () => {
  await using server = startRawServer(async (_, connection) => {
    await send(connection, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    await untilClosed(connection);
  });
  await assert.rejects(
    httpRequest(request(server.port, { signal: AbortSignal.abort() })),
    PeerError,
  );
  const abort = new AbortController();
  const response = await httpRequest(request(server.port, { signal: abort.signal }));
  assert.equal(await response.read(new Uint8Array(10)), 4);
  const reading = response.read(new Uint8Array(10));
  abort.abort();
  await assert.rejects(reading, PeerError);
});

Deno.test("httpRequest() reports a closed port", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await assert.rejects(httpRequest(request(port)), (error) => {
    return error instanceof PeerError &&
      error.message === `cannot connect to 127.0.0.1:${port}`;
  });
});

Deno.test("httpRequest() refuses a head without end", async () => {
  await using server = startRawServer(async (_, connection) => {
    await send(connection, "HTTP/1.1 200 OK\r\nX-A: " + "a".repeat(MAX_HEAD_BYTES + 10));
    await untilClosed(connection);
  });
  await assert.rejects(httpRequest(request(server.port)), /response head over/);
});

Deno.test("httpRequest() refuses targets and headers that would break the request", async () => {
  await assert.rejects(httpRequest(request(1, { target: "/v2/ HTTP/1.1\r\nX: y" })), PeerError);
  await assert.rejects(httpRequest(request(1, { headers: { Range: "a\r\nX: y" } })), PeerError);
});

Deno.test("parseHead() refuses what is no clean HTTP/1.1", () => {
  const ok = "HTTP/1.1 200 OK\r\n";
  const bad = [
    "",
    "HTTP/2 200 OK",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1 099 No",
    "HTTP/1.1  200 OK",
    "ICY 200 OK",
    ok + "no colon",
    ok + "A : b",
    ok + " folded: b",
    ok + "A: b\n",
    ok + "A: b\0",
    ok + "Content-Length: -1",
    ok + "Content-Length: 1e3",
    ok + "Content-Length: 0x10",
    ok + "Content-Length: 99999999999999999999",
    ok + "Content-Length: 5\r\nContent-Length: 6",
    ok + "Transfer-Encoding: chunked",
  ];
  for (const text of bad) assert.throws(() => parseHead(text), PeerError, JSON.stringify(text));
});

Deno.test("parseHead() joins repeated headers and accepts a repeated equal length", () => {
  const head = parseHead("HTTP/1.0 206 \r\nA: 1\r\na: 2\r\nContent-Length: 5\r\nContent-Length: 5");
  assert.equal(head.status, 206);
  assert.equal(head.headers.get("a"), "1, 2");
  assert.equal(head.contentLength, 5);
});

Deno.test("hostAndPort() puts IPv6 addresses into brackets", () => {
  assert.equal(hostAndPort("10.0.0.1", 5000), "10.0.0.1:5000");
  assert.equal(hostAndPort("fd00::1", 5000), "[fd00::1]:5000");
});
