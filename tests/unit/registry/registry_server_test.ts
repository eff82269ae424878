import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { UnavailableError } from "../../../lib/errors.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { BodySender, ClientGoneError } from "../../../lib/registry/send_body.ts";
import { MAX_PIPELINED_REQUESTS } from "../../../lib/registry/turns.ts";
import { BytesReader } from "../support/bytes_reader.ts";
import { makeContent, makeManifest } from "../support/content.ts";
import { eventually } from "../support/eventually.ts";
import { RawClient } from "../support/raw_client.ts";
import {
  type RegistryNode,
  type RegistryNodeOptions,
  startRegistryNode,
} from "../support/registry_node.ts";
import { recordingLog } from "../cli/recording_log.ts";
import { TrackedStore } from "../support/tracked_store.ts";

const MiB = 1024 * 1024;
const BLOB = makeContent(100_000);
/** More than any socket buffers. */
const LARGE = makeContent(32 * MiB, 2);
const MANIFEST = makeManifest(makeContent(10, 3), [BLOB]);
const BLOB_TARGET = `/v2/app/blobs/${BLOB.digest}`;
const LARGE_TARGET = `/v2/app/blobs/${LARGE.digest}`;
const MANIFEST_TARGET = "/v2/app/manifests/v1";
const ABSENT_TARGET = `/v2/app/blobs/sha256:${"0".repeat(64)}`;

async function startNode(options: RegistryNodeOptions = {}): Promise<RegistryNode> {
  const node = await startRegistryNode(options);
  node.store.put(BLOB.bytes);
  node.store.put(LARGE.bytes, [], LARGE.digest);
  node.store.tag("docker.io/app:v1", node.store.put(MANIFEST.bytes));
  return node;
}

/** A store whose blobs are read no further than so many bytes, until they are released or closed. */
function gatedStore(stopAt: number): { store: TrackedStore; release: () => void } {
  const gate = Promise.withResolvers<void>();
  const store = new TrackedStore();
  store.put(BLOB.bytes);
  store.tag("docker.io/app:v1", store.put(MANIFEST.bytes));
  const open = store.open.bind(store);
  store.open = async (digest: Digest, range) => {
    if (digest !== LARGE.digest) return await open(digest, range);
    const closed = Promise.withResolvers<void>();
    const reader = new BytesReader(LARGE.bytes, {
      piece: 64 * 1024,
      before: async (position) => {
        if (position >= stopAt) await Promise.race([gate.promise, closed.promise]);
      },
    });
    const tracked = store.track(reader);
    const close = tracked.close.bind(tracked);
    return Object.assign(tracked, {
      close() {
        closed.reject(new UnavailableError("closed"));
        closed.promise.catch(() => {});
        return close();
      },
    });
  };
  const descriptor = store.descriptor.bind(store);
  store.descriptor = (digest: Digest) =>
    digest === LARGE.digest
      ? Promise.resolve({ digest, mediaType: "application/octet-stream", size: LARGE.bytes.length })
      : descriptor(digest);
  return { store, release: gate.resolve };
}

Deno.test("RegistryServer answers several requests on one connection", async () => {
  await using node = await startNode();
  using client = await RawClient.connect(node.port);
  for (
    const [method, target, status] of [
      ["GET", BLOB_TARGET, 200],
      ["HEAD", BLOB_TARGET, 200],
      ["GET", MANIFEST_TARGET, 200],
      ["GET", ABSENT_TARGET, 404],
      ["DELETE", BLOB_TARGET, 405],
      ["HEAD", ABSENT_TARGET, 404],
      ["GET", LARGE_TARGET, 200],
      ["GET", "/v2/", 200],
    ] as const
  ) {
    const answer = await client.request(method, target);
    assert.equal(answer.status, status);
    assert.equal(answer.headers.get("connection"), "keep-alive");
  }
  assert.equal(node.exchanges.length, 8);
  assert.ok(node.exchanges.every(({ complete }) => complete));
});

Deno.test("RegistryServer answers HEAD without a body, so that a GET can follow", async () => {
  await using node = await startNode();
  using client = await RawClient.connect(node.port);
  for (const target of [LARGE_TARGET, MANIFEST_TARGET, ABSENT_TARGET, "/v2/", "/livez", "/none"]) {
    const head = await client.request("HEAD", target);
    const got = await client.request("GET", target);
    assert.equal(head.status, got.status);
    assert.equal(head.headers.get("content-length"), String(got.body.length));
  }
});

Deno.test("RegistryServer opens nothing for a request behind one that ends the connection", async () => {
  await using node = await startNode();
  using client = await RawClient.connect(node.port);
  const behind = `GET ${LARGE_TARGET} HTTP/1.1\r\nHost: mirror\r\n\r\n`;
  // Without a host: node:http answers by itself, and closes.
  await client.send(`GET /v2/ HTTP/1.1\r\n\r\n${behind}${behind}`);
  const { bytes } = await client.ended();
  assert.match(new TextDecoder().decode(bytes), /^HTTP\/1\.1 400 /);
  await node.server.close(60_000);
  assert.equal(node.store.opened, 0);
  assert.deepEqual(node.exchanges, []);
});

Deno.test("RegistryServer answers a request behind one that is refused without closing", async () => {
  await using node = await startNode();
  using client = await RawClient.connect(node.port);
  const odd = "GET /v2/ HTTP/1.1\r\nHost: mirror\r\nExpect: much\r\n\r\n";
  await client.send(`${odd}GET ${MANIFEST_TARGET} HTTP/1.1\r\nHost: mirror\r\n\r\n`);
  // Its body is chunked and empty.
  assert.equal((await client.receiveHead()).status, 417);
  await client.take("0\r\n\r\n".length);
  assert.deepEqual((await client.receive()).body, MANIFEST.bytes);
});

Deno.test("RegistryServer answers requests that were sent ahead, in their order", async () => {
  await using node = await startNode();
  using client = await RawClient.connect(node.port);
  const requests = [
    ["GET", LARGE_TARGET, 200],
    ["HEAD", LARGE_TARGET, 200],
    ["GET", BLOB_TARGET, 200],
    ["GET", ABSENT_TARGET, 404],
    ["GET", MANIFEST_TARGET, 200],
  ] as const;
  await client.send(
    requests.map(([method, target]) => `${method} ${target} HTTP/1.1\r\nHost: mirror\r\n\r\n`)
      .join(""),
  );
  for (const [method, target, status] of requests) {
    const { body, ...answer } = await client.receive(method);
    assert.equal(answer.status, status, target);
    if (target === LARGE_TARGET && method === "GET") {
      assert.equal(Buffer.compare(body, LARGE.bytes), 0);
    }
  }
});

Deno.test("RegistryServer opens one content at a time for a connection that sends ahead", async () => {
  await using node = await startNode();
  using client = await RawClient.connect(node.port);
  const request = `GET ${LARGE_TARGET} HTTP/1.1\r\nHost: mirror\r\n\r\n`;
  await client.send(request.repeat(MAX_PIPELINED_REQUESTS));
  await client.receiveHead();
  assert.equal(node.store.openReaders.size, 1);
  assert.equal(node.store.opened, 1);
  client.close();
  await eventually("all is closed", () => node.inFlight() === 0);
  assert.equal(node.store.openReaders.size, 0);
  assert.equal(node.store.opened, 1, "what has not begun is not begun for a client that is gone");
});

Deno.test("RegistryServer closes a connection that sends too many requests ahead", async () => {
  await using node = await startNode();
  using client = await RawClient.connect(node.port);
  const request = `GET ${LARGE_TARGET} HTTP/1.1\r\nHost: mirror\r\n\r\n`;
  await client.send(request.repeat(MAX_PIPELINED_REQUESTS + 1));
  assert.ok((await client.ended()).bytes.length < LARGE.bytes.length);
  await eventually("all is closed", () => node.inFlight() === 0);
  assert.equal(node.store.openReaders.size, 0);
  assert.equal((await node.request("GET", BLOB_TARGET)).status, 200);
});

Deno.test("RegistryServer closes the connection where the client wants it, or knows no better", async () => {
  await using node = await startNode();
  for (
    const head of [
      `GET ${BLOB_TARGET} HTTP/1.1\r\nHost: mirror\r\nConnection: close\r\n\r\n`,
      `GET ${BLOB_TARGET} HTTP/1.0\r\n\r\n`,
    ]
  ) {
    using client = await RawClient.connect(node.port);
    await client.send(head);
    const answer = await client.receive();
    assert.equal(answer.body.length, BLOB.bytes.length);
    assert.equal(answer.headers.get("connection"), "close");
    assert.deepEqual(await client.ended(), { bytes: new Uint8Array(0), reset: false });
  }
});

Deno.test("RegistryServer closes the content when the client goes away in the middle of it", async () => {
  const { log, lines } = recordingLog();
  await using node = await startNode({ log });
  using client = await RawClient.connect(node.port);
  await client.ask("GET", LARGE_TARGET);
  await client.take(MiB);
  assert.equal(node.store.openReaders.size, 1);
  client.close();
  await eventually("the content is closed", () => node.store.openReaders.size === 0);
  await eventually("the request is over", () => node.inFlight() === 0);
  const [exchange] = node.exchanges;
  assert.equal(exchange?.complete, false);
  assert.ok(exchange?.answer.facts.error instanceof ClientGoneError);
  assert.ok(exchange.bytes >= MiB - 1024 && exchange.bytes < LARGE.bytes.length);
  assert.deepEqual(lines, [], "a client that goes away is nothing to warn of");
  assert.equal((await node.request("GET", BLOB_TARGET)).status, 200);
});

Deno.test("RegistryServer closes the content when the client goes away while the source hangs", async () => {
  for (const stopAt of [0, MiB]) {
    const { store } = gatedStore(stopAt);
    await using node = await startRegistryNode({ store });
    using client = await RawClient.connect(node.port);
    await client.ask("GET", LARGE_TARGET);
    if (stopAt > 0) await client.take(stopAt / 2);
    await eventually("the content is open", () => store.openReaders.size === 1);
    client.close();
    await eventually("the content is closed", () => store.openReaders.size === 0);
    await eventually("the request is over", () => node.inFlight() === 0);
  }
});

Deno.test("RegistryServer ends a lookup when the client goes away", async () => {
  let isAborted = false;
  let isLooking = false;
  // deno-lint-ignore require-yield -- nobody has it
  async function* lookup(_key: string, options?: { signal?: AbortSignal }) {
    isLooking = true;
    await new Promise((resolve) => options?.signal?.addEventListener("abort", resolve));
    isAborted = true;
  }
  await using node = await startRegistryNode({ router: { lookup }, resolveTimeoutMs: 60_000 });
  using client = await RawClient.connect(node.port);
  await client.ask("GET", ABSENT_TARGET);
  await eventually("the lookup runs", () => isLooking);
  client.close();
  await eventually("the lookup is ended", () => isAborted);
  await eventually("the request is over", () => node.inFlight() === 0);
});

Deno.test("RegistryServer leaks nothing when many clients go away at different points", async () => {
  await using node = await startNode();
  await Promise.all(Array.from({ length: 40 }, async (_, index) => {
    using client = await RawClient.connect(node.port);
    await client.ask("GET", LARGE_TARGET);
    if (index > 0) await client.take(index * 100_000);
  }));
  await eventually("all requests are over", () => node.inFlight() === 0);
  assert.equal(node.store.openReaders.size, 0);
  const { body } = await node.request("GET", LARGE_TARGET);
  assert.equal(Buffer.compare(body, LARGE.bytes), 0, "no buffer was given back too early");
});

Deno.test("RegistryServer takes a client that closes its half of the connection for one that is gone", async () => {
  // TCP does not tell the two apart, and a mirror must not go on fetching for a client that is gone.
  const { store } = gatedStore(MiB);
  await using node = await startRegistryNode({ store });
  using client = await RawClient.connect(node.port);
  await client.ask("GET", LARGE_TARGET);
  await client.receiveHead();
  await client.closeWrite();
  assert.ok((await client.ended()).bytes.length < LARGE.bytes.length, "never a clean end");
  await eventually("the content is closed", () => store.openReaders.size === 0);
  await eventually("the request is over", () => node.inFlight() === 0);
  assert.equal((await node.request("GET", BLOB_TARGET)).status, 200);
});

Deno.test("RegistryServer drops a connection that is closed in the middle of a head", async () => {
  await using node = await startNode();
  using client = await RawClient.connect(node.port);
  await client.send(`GET ${BLOB_TARGET} HTTP/1.1\r\nHost: mir`);
  await client.closeWrite();
  await client.ended();
  assert.deepEqual(node.exchanges, []);
});

Deno.test("RegistryServer breaks off for a client that takes no bytes", async () => {
  const { log, lines } = recordingLog();
  await using node = await startNode({ sender: new BodySender({ writeStallMs: 200 }), log });
  using client = await RawClient.connect(node.port);
  await client.ask("GET", LARGE_TARGET);
  await client.receiveHead();
  await eventually("the content is closed", () => node.store.openReaders.size === 0);
  assert.ok((await client.ended()).bytes.length < LARGE.bytes.length);
  assert.ok(node.exchanges[0]?.answer.facts.error instanceof ClientGoneError);
  assert.deepEqual(lines, []);
});

Deno.test("RegistryServer breaks off for a client that asks for manifests and reads none", async () => {
  await using node = await startNode({ sender: new BodySender({ writeStallMs: 200 }) });
  const config = { digest: BLOB.digest, mediaType: "", size: 1 };
  const document = { schemaVersion: 2, config, layers: [], note: "x".repeat(3 * MiB) };
  const digest = node.store.put(new TextEncoder().encode(JSON.stringify(document)));
  using client = await RawClient.connect(node.port);
  const request = `GET /v2/app/manifests/${digest} HTTP/1.1\r\nHost: mirror\r\n\r\n`;
  await client.send(request.repeat(MAX_PIPELINED_REQUESTS));
  await eventually("it is broken off", () => node.exchanges.some(({ complete }) => !complete));
  await eventually("all is closed", () => node.inFlight() === 0);
  assert.equal(node.store.openReaders.size, 0);
});

/** What a request smuggler sends behind a request, in the hope that it is taken for one. */
const SMUGGLED = `GET /v2/smuggled/manifests/v1 HTTP/1.1\r\nHost: mirror\r\n\r\n`;

const AMBIGUOUS: Readonly<Record<string, string>> = {
  "Content-Length with Transfer-Encoding":
    "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "Transfer-Encoding with Content-Length":
    "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
  "two different Content-Lengths": "Content-Length: 0\r\nContent-Length: 60\r\n\r\n",
  "the same Content-Length twice": "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
  "a list as Content-Length": "Content-Length: 0, 0\r\n\r\n",
  "a negative Content-Length": "Content-Length: -1\r\n\r\n",
  "a signed Content-Length": "Content-Length: +0\r\n\r\n",
  "a hexadecimal Content-Length": "Content-Length: 0x0\r\n\r\n",
  "a blank before the colon": "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
  "a folded header": "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
  "a bare line feed": "X-Other: 1\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "a carriage return within a header": "X-Other: 1\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "a NUL within a header": "X-Other: \0\r\n\r\n",
  "a header without a name": ": chunked\r\n\r\n",
};
for (const [what, rest] of Object.entries(AMBIGUOUS)) {
  Deno.test(`RegistryServer refuses ${what} and reads no further request from the connection`, async () => {
    await using node = await startNode();
    using client = await RawClient.connect(node.port);
    await client.send(`POST ${BLOB_TARGET} HTTP/1.1\r\nHost: mirror\r\n${rest}${SMUGGLED}`);
    assert.equal((await client.receiveHead()).status, 400);
    await client.ended();
    assert.deepEqual(node.exchanges, []);
    assert.equal((await node.request("GET", BLOB_TARGET)).status, 200);
  });
}

Deno.test("RegistryServer never takes what follows an unknown Transfer-Encoding for a request", async () => {
  await using node = await startNode();
  for (const coding of ["xchunked", "gzip, identity", "chunked, xchunked"]) {
    using client = await RawClient.connect(node.port);
    await client.send(
      `GET ${BLOB_TARGET} HTTP/1.1\r\nHost: mirror\r\nTransfer-Encoding: ${coding}\r\n\r\n` +
        `0\r\n\r\n${SMUGGLED}`,
    );
    await client.receiveHead();
    await client.ended();
  }
  assert.ok(node.exchanges.every(({ path }) => path === BLOB_TARGET));
});

Deno.test("RegistryServer skips bodies, whose content is never taken for a request", async () => {
  await using node = await startNode();
  const bodies = [
    `Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    `Transfer-Encoding: chunked\r\n\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
    `Content-Length: 2000000\r\n\r\n${SMUGGLED.padEnd(2_000_000)}`,
  ];
  for (const [method, status] of [["GET", 200], ["HEAD", 200], ["POST", 405]] as const) {
    for (const body of bodies) {
      using client = await RawClient.connect(node.port);
      await client.send(`${method} ${BLOB_TARGET} HTTP/1.1\r\nHost: mirror\r\n${body}`);
      assert.equal((await client.receive(method)).status, status);
      assert.equal((await client.request("GET", MANIFEST_TARGET)).status, 200);
    }
  }
  const paths = new Set(node.exchanges.map(({ path }) => path));
  assert.deepEqual(paths, new Set([BLOB_TARGET, MANIFEST_TARGET]));
});

Deno.test("RegistryServer does not wait for a body before it answers", async () => {
  await using node = await startNode();
  using client = await RawClient.connect(node.port);
  await client.ask("POST", BLOB_TARGET, { "Content-Length": "1000000000000" });
  assert.equal((await client.receive()).status, 405);
});

Deno.test("RegistryServer answers a client that waits to be told to go on", async () => {
  await using node = await startNode();
  using client = await RawClient.connect(node.port);
  await client.ask("POST", BLOB_TARGET, { "Content-Length": "3", "Expect": "100-continue" });
  assert.equal((await client.receiveHead()).status, 100);
  await client.send("abc");
  assert.equal((await client.receive()).status, 405);
  assert.equal((await client.request("GET", BLOB_TARGET)).status, 200);
});

for (
  const [what, text] of Object.entries({
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": `BREW ${BLOB_TARGET} HTTP/1.1\r\nHost: mirror\r\n\r\n`,
    "HTTP/1.1 without a host": `GET ${BLOB_TARGET} HTTP/1.1\r\n\r\n`,
    "blanks in the target": `GET /v2/ app HTTP/1.1\r\nHost: mirror\r\n\r\n`,
  })
) {
  Deno.test(`RegistryServer answers 400 to ${what}, and lives on`, async () => {
    await using node = await startNode();
    using client = await RawClient.connect(node.port);
    await client.send(text);
    assert.equal((await client.receiveHead()).status, 400);
    await client.ended();
    assert.equal((await node.request("GET", BLOB_TARGET)).status, 200);
  });
}

Deno.test("RegistryServer ignores wishes for another protocol", async () => {
  await using node = await startNode();
  const headers = { Connection: "Upgrade, HTTP2-Settings", Upgrade: "h2c", "HTTP2-Settings": "AA" };
  assert.equal((await node.request("GET", BLOB_TARGET, headers)).status, 200);
});

Deno.test("RegistryServer does not wait for ever for the rest of a head", async () => {
  await using node = await startNode({ requestHeadMs: 200 });
  for (const text of ["", "GET ", `GET ${BLOB_TARGET} HTTP/1.1\r\nHost: mirror\r\nX-Slow: `]) {
    using client = await RawClient.connect(node.port);
    if (text !== "") await client.send(text);
    assert.equal((await client.receiveHead()).status, 408);
    await client.ended();
  }
  assert.deepEqual(node.exchanges, []);
});

Deno.test("RegistryServer closes at once what is more than its limit of connections", async () => {
  await using node = await startNode({ maxConnections: 2 });
  using first = await RawClient.connect(node.port);
  using second = await RawClient.connect(node.port);
  assert.equal((await first.request("GET", BLOB_TARGET)).status, 200);
  assert.equal((await second.request("GET", BLOB_TARGET)).status, 200);
  using third = await RawClient.connect(node.port);
  assert.equal((await third.ended()).bytes.length, 0);
  assert.equal((await first.request("GET", BLOB_TARGET)).status, 200);
  second.close();
  await eventually("there is room for another one", async () => {
    return (await node.request("GET", BLOB_TARGET)).status === 200;
  });
});

Deno.test("RegistryServer.close() lets a running transfer finish, and takes no new one", async () => {
  const { store, release } = gatedStore(MiB);
  await using node = await startRegistryNode({ store });
  using client = await RawClient.connect(node.port);
  using idle = await RawClient.connect(node.port);
  assert.equal((await idle.request("GET", BLOB_TARGET)).status, 200);
  await client.ask("GET", LARGE_TARGET);
  const { status } = await client.receiveHead();
  assert.equal(status, 200);
  const closing = node.server.close(60_000);
  assert.equal((await idle.ended()).bytes.length, 0, "an idle connection is of no use any more");
  await assert.rejects(RawClient.connect(node.port), Deno.errors.ConnectionRefused);
  release();
  assert.equal(Buffer.compare(await client.take(LARGE.bytes.length), LARGE.bytes), 0);
  await closing;
  assert.equal((await client.ended()).bytes.length, 0);
  assert.equal(store.openReaders.size, 0);
  assert.equal(node.exchanges.at(-1)?.complete, true);
});

Deno.test("RegistryServer.close() breaks a transfer that needs longer than the grace", async () => {
  const { store } = gatedStore(MiB);
  await using node = await startRegistryNode({ store });
  using client = await RawClient.connect(node.port);
  await client.ask("GET", LARGE_TARGET);
  await client.receiveHead();
  await node.server.close(100);
  const { bytes } = await client.ended();
  assert.ok(bytes.length < LARGE.bytes.length, "never a clean end");
  await eventually("the content is closed", () => store.openReaders.size === 0);
  await eventually("the request is over", () => node.inFlight() === 0);
  assert.equal(node.exchanges.at(-1)?.complete, false);
});

Deno.test("RegistryServer.close() sends small answers to their end, and asks to close the connection", async () => {
  const gate = Promise.withResolvers<void>();
  const store = new TrackedStore();
  const digest = store.put(MANIFEST.bytes);
  const descriptor = store.descriptor.bind(store);
  store.descriptor = async (wanted: Digest) => {
    await gate.promise;
    return await descriptor(wanted);
  };
  await using node = await startRegistryNode({ store });
  const clients = await Promise.all(
    Array.from({ length: 20 }, () => RawClient.connect(node.port)),
  );
  try {
    for (const client of clients) await client.ask("GET", `/v2/app/manifests/${digest}`);
    await eventually("all have begun", () => node.inFlight() === clients.length);
    const closing = node.server.close(60_000);
    gate.resolve();
    for (const client of clients) {
      const { body, headers } = await client.receive();
      assert.equal(Buffer.compare(body, MANIFEST.bytes), 0);
      assert.equal(headers.get("connection"), "close");
    }
    await closing;
  } finally {
    for (const client of clients) client.close();
  }
});

Deno.test("RegistryServer.close() of a server without requests does not wait for the grace", async () => {
  await using node = await startNode();
  using client = await RawClient.connect(node.port);
  await node.request("GET", BLOB_TARGET);
  await node.server.close(600_000);
  await client.ended();
});

Deno.test("RegistryServer tells its observer of each request: begun, answered, over", async () => {
  await using node = await startNode();
  const targets = ["/livez", "/readyz", "/v2/", BLOB_TARGET, "/other"];
  for (const target of targets) await node.request("GET", target);
  await eventually("all are over", () => node.inFlight() === 0);
  assert.deepEqual(node.exchanges.map(({ handler }) => handler), [
    "/livez",
    "/readyz",
    "/v2/*",
    "/v2/*",
    "/*",
  ]);
  const blob = node.exchanges[3];
  assert.equal(blob?.method, "GET");
  assert.equal(blob?.path, BLOB_TARGET);
  assert.equal(blob?.status, 200);
  assert.equal(blob?.bytes, BLOB.bytes.length);
  assert.equal(blob?.answer.facts.source, "local");
  assert.ok(blob !== undefined && blob.seconds >= 0);
});

Deno.test("RegistryServer logs requests for those who debug, probes never", async () => {
  const { log, lines } = recordingLog("DEBUG");
  await using node = await startNode({ log });
  for (const target of ["/livez", "/readyz", BLOB_TARGET, ABSENT_TARGET]) {
    await node.request("GET", target);
  }
  await eventually("both are logged", () => lines.length === 2);
  assert.deepEqual(
    lines.map(({ level, msg, path, status, handler, registry, source, ip }) => ({
      level,
      msg,
      path,
      status,
      handler,
      registry,
      source,
      ip,
    })),
    [
      {
        level: "DEBUG",
        msg: "request",
        path: BLOB_TARGET,
        status: 200,
        handler: "registry",
        registry: "docker.io",
        source: "local",
        ip: "127.0.0.1",
      },
      {
        level: "DEBUG",
        msg: "request",
        path: ABSENT_TARGET,
        status: 404,
        handler: "mirror",
        registry: "docker.io",
        source: undefined,
        ip: "127.0.0.1",
      },
    ],
  );
});

Deno.test("RegistryServer warns of an answer that broke off by its own fault", async () => {
  const { log, lines } = recordingLog();
  const store = new TrackedStore();
  store.put(LARGE.bytes);
  const failure = new UnavailableError("disk is broken");
  store.open = () =>
    Promise.resolve(store.track(new BytesReader(LARGE.bytes, { failAt: 2 * MiB, failure })));
  await using node = await startRegistryNode({ store, log });
  using client = await RawClient.connect(node.port);
  await client.ask("GET", LARGE_TARGET);
  await client.receiveHead();
  assert.ok((await client.ended()).bytes.length <= 2 * MiB, "never a clean end");
  await eventually("it is logged", () => lines.length === 1);
  assert.equal(lines[0]?.["level"], "WARN");
  assert.equal(lines[0]?.["error"], "ERR_UNAVAILABLE: disk is broken");
  assert.equal(store.openReaders.size, 0);
});

Deno.test("RegistryServer.listen() says which address is in use", async () => {
  await using node = await startNode();
  await using other = await startNode();
  await assert.rejects(
    other.server.listen({ host: "127.0.0.1", port: node.port }),
    (error: unknown) =>
      error instanceof UnavailableError && error.message.includes(`127.0.0.1:${node.port}`),
  );
});
