/**
 * Fuzzing of HTTP, over real sockets: requests to the registry's server, and responses of peers.
 *
 * @module
 */
import assert from "node:assert/strict";
import { PeerError } from "../../lib/errors.ts";
import { ConnectionPool } from "../../lib/transfer/connection_pool.ts";
import { httpRequest, parseHead } from "../../lib/transfer/http_client.ts";
import { makeContent, makeManifest } from "../unit/support/content.ts";
import { eventually } from "../unit/support/eventually.ts";
import { RawClient } from "../unit/support/raw_client.ts";
import { send, startRawServer } from "../unit/support/raw_server.ts";
import { type RegistryNode, startRegistryNode } from "../unit/support/registry_node.ts";
import { accepted } from "./support/accepted.ts";
import { fuzz, runFuzz } from "./support/fuzz.ts";
import { toBytes } from "./support/mutate.ts";

const HEADS = [
  "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nDocker-Content-Digest: sha256:abc\r\nX-A:  b ",
  "HTTP/1.0 206 Partial Content\r\nContent-Range: bytes 0-10/11\r\nContent-Length: 11",
  "HTTP/1.1 404\r\nConnection: close\r\ncontent-length: 0\r\nContent-Length: 0",
  "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nX-Kagami-Load: 0.5",
  "HTTP/1.1 102 Processing",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
];

fuzz({
  name: "a peer's head is refused by its error, or taken as it is",
  seeds: HEADS,
  check(input) {
    const head = accepted(() => parseHead(input), PeerError);
    if (head === undefined) return;
    assert.ok(head.status >= 100 && head.status < 600);
    assert.ok(!head.headers.has("transfer-encoding"));
    for (const [name, value] of head.headers) {
      assert.match(name, /^[!#$%&'*+.^_`|~0-9a-z-]+$/);
      assert.doesNotMatch(value, /[\0\r\n]/);
    }
    const { contentLength } = head;
    if (contentLength === undefined) return;
    assert.ok(Number.isSafeInteger(contentLength) && contentLength >= 0);
    assert.match(head.headers.get("content-length") ?? "", /^[0-9]+$/);
  },
});

const TIMEOUTS = { connectMs: 20_000, headMs: 20_000, interimMs: 30_000, stallMs: 20_000 };

Deno.test("fuzz: a peer's response is refused by its error, or ends where it said", async () => {
  let response = "";
  await using server = startRawServer((_, connection) => send(connection, toBytes(response)));
  using pool = new ConnectionPool();
  const buffer = new Uint8Array(1000);
  const { port } = server;

  async function request(method: "GET" | "HEAD", isPooled: boolean): Promise<void> {
    const answer = await httpRequest({
      address: "127.0.0.1",
      port,
      method,
      target: "/v2/",
      headers: {},
      timeouts: TIMEOUTS,
      ...(isPooled ? { pool } : {}),
    });
    try {
      let length = 0;
      for (let count = 1; count > 0; length += count) count = await answer.read(buffer);
      const expected = method === "HEAD" ? 0 : answer.contentLength ?? 0;
      assert.equal(length, [204, 304].includes(answer.status) ? 0 : expected);
    } finally {
      answer.close();
    }
  }

  await runFuzz({
    name: "a peer's response is refused by its error, or ends where it said",
    seeds: HEADS.flatMap((head) => [
      `${head}\r\n\r\nhello world`,
      `HTTP/1.1 102 Processing\r\n\r\n${head}\r\n\r\nhello worldHTTP/1.1 200 OK\r\n\r\n`,
    ]),
    async check(input, random) {
      response = input;
      try {
        await request(random.oneIn(4) ? "HEAD" : "GET", random.oneIn(2));
      } catch (error) {
        if (!(error instanceof PeerError)) throw error;
      }
    },
  });
});

const BLOB = makeContent(70_000);
const MANIFEST = makeManifest(makeContent(10, 2), [BLOB]);
const GOOD = `GET /v2/app/manifests/v1?ns=docker.io HTTP/1.1\r\nHost: mirror\r\n`;

/** Good requests, odd ones, and attempts to hide one in another. */
const REQUESTS = [
  `${GOOD}\r\n`,
  `${GOOD}Connection: close\r\nAccept: */*\r\n\r\n`,
  `GET /v2/app/blobs/${BLOB.digest} HTTP/1.1\r\nHost: a\r\nRange: bytes=5-10\r\n\r\n${GOOD}\r\n`,
  `HEAD /v2/app/blobs/${BLOB.digest}?ns=docker.io HTTP/1.0\r\nIf-None-Match: "x"\r\n\r\n`,
  `GET http://other/v2/app/tags/list?n=1 HTTP/1.1\r\nHost: b\r\n\r\n`,
  `GET /v2/app/referrers/${MANIFEST.digest}?artifactType=a HTTP/1.1\r\nHost: b\r\n\r\n`,
  `POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${GOOD}\r\n`,
  `POST /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
  `GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello${GOOD}\r\n`,
  `GET /v2/ HTTP/1.1\r\nHost : a\r\n folded: b\r\nExpect: 100-continue\r\n\r\n`,
  `GET /livez HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n`,
  `CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n`,
  `OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n`,
  `GET /readyz HTTP/1.1\nHost: a\n\n`,
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
  `GET /v2/${"a/".repeat(4000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
  `GET /v2/ HTTP/1.1\r\n${"X-A: b\r\n".repeat(1500)}\r\n`,
];

/** A good request among so many odd ones is checked. */
const GOOD_EVERY = 25;

/** The runtime opens some of its own; a leak would be one of thousands. */
const SPARE_DESCRIPTORS = 8;

/** Open files and sockets of this process. */
function countDescriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

async function assertServes(node: RegistryNode): Promise<void> {
  const { status, body } = await node.request("GET", "/v2/app/manifests/v1?ns=docker.io");
  assert.equal(status, 200);
  assert.deepEqual(body, MANIFEST.bytes);
}

/** Sends bytes, and then no more. */
async function exchange(port: number, bytes: Uint8Array): Promise<string> {
  using client = await RawClient.connect(port);
  try {
    await client.send(bytes);
    await client.closeWrite();
  } catch (error) {
    // The server has closed the connection before all was sent.
    const isClosed = error instanceof Deno.errors.BrokenPipe ||
      error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.NotConnected;
    if (!isClosed) throw error;
  }
  return new TextDecoder("latin1").decode((await client.ended()).bytes);
}

Deno.test({
  name: "fuzz: a server answers or closes whatever comes, and goes on",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using node = await startRegistryNode();
    node.store.put(BLOB.bytes);
    node.store.tag("docker.io/app:v1", node.store.put(MANIFEST.bytes));
    await assertServes(node);
    const descriptors = countDescriptors();
    let count = 0;
    await runFuzz({
      name: "a server answers or closes whatever comes, and goes on",
      seeds: REQUESTS,
      async check(input) {
        const answer = await exchange(node.port, toBytes(input));
        assert.match(answer, /^$|^HTTP\/1\.1 [1-4][0-9]{2} /);
        assert.doesNotMatch(answer, /^HTTP\/1\.1 5/m);
        count += 1;
        if (count % GOOD_EVERY === 0) await assertServes(node);
      },
    });
    await assertServes(node);
    await eventually("all is freed", () => {
      return node.inFlight() === 0 && node.store.openReaders.size === 0 &&
        countDescriptors() <= descriptors + SPARE_DESCRIPTORS;
    });
  },
});
