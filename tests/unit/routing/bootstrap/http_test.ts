import assert from "node:assert/strict";
import { UnavailableError } from "../../../../lib/errors.ts";
import { MAX_BOOTSTRAP_ADDRESSES } from "../../../../lib/routing/bootstrap/bootstrapper.ts";
import {
  HttpBootstrapper,
  MAX_HTTP_BOOTSTRAP_BYTES,
} from "../../../../lib/routing/bootstrap/http.ts";
import { eventually } from "../../support/eventually.ts";
import { freePort } from "../../support/free_port.ts";
import { makePeerId } from "../../support/peer_ids.ts";
import { send, startRawServer, untilClosed } from "../../support/raw_server.ts";

const ID = `${await makePeerId(1)}`;
const NEVER = new AbortController().signal;

/** Runs a node's own side of the bootstrap. */
async function serve(self: () => readonly string[]) {
  const port = freePort();
  const abort = new AbortController();
  const bootstrapper = new HttpBootstrapper({
    addr: { host: "127.0.0.1", port },
    peer: `http://127.0.0.1:${port}`,
  });
  const running = bootstrapper.run({ self, signal: abort.signal });
  const url = `http://127.0.0.1:${port}`;
  await eventually("it listens", async () => {
    await (await fetch(`${url}/`)).body?.cancel();
    return true;
  });
  return {
    url,
    bootstrapper,
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await running;
    },
  };
}

/** Asks a server that answers with this. */
async function peersFrom(body: string, head = "HTTP/1.1 200 OK"): Promise<string[]> {
  await using server = startRawServer((_request, connection) =>
    send(connection, `${head}\r\nConnection: close\r\n\r\n${body}`)
  );
  return await new HttpBootstrapper({ peer: `http://127.0.0.1:${server.port}` }).peers(NEVER);
}

Deno.test("HttpBootstrapper answers /id with Go's AddrInfo", async () => {
  const self = ["/ip4/10.0.0.7/tcp/5001", "/ip6/fd00::7/tcp/5001"];
  await using node = await serve(() => self.map((address) => `${address}/p2p/${ID}`));
  const response = await fetch(`${node.url}/id`);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "application/json");
  assert.deepEqual(await response.json(), { ID, Addrs: self });
});

Deno.test("HttpBootstrapper answers nothing else", async () => {
  await using node = await serve(() => []);
  for (const [path, method] of [["/", "GET"], ["/id/x", "GET"], ["/id", "POST"]] as const) {
    const response = await fetch(`${node.url}${path}`, { method });
    await response.body?.cancel();
    assert.equal(response.status, 404);
  }
});

Deno.test("HttpBootstrapper without a peer to ask starts from nobody", async () => {
  const addr = { host: "127.0.0.1", port: freePort() };
  assert.deepEqual(await new HttpBootstrapper({ addr }).peers(NEVER), []);
});

Deno.test("HttpBootstrapper learns what another node answers, as that is now", async () => {
  let self = [`/ip4/10.0.0.7/tcp/5001/p2p/${ID}`];
  await using node = await serve(() => self);
  assert.deepEqual(await node.bootstrapper.peers(NEVER), self);
  self = [`/ip4/10.0.0.8/tcp/5001/p2p/${ID}`];
  assert.deepEqual(await node.bootstrapper.peers(NEVER), self);
});

Deno.test("HttpBootstrapper asks below a path, with or without a slash at its end", async () => {
  await using server = startRawServer((_request, connection) =>
    send(connection, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
  );
  for (const path of ["", "/", "/deep", "/deep//"]) {
    const peer = `http://127.0.0.1:${server.port}${path}`;
    await assert.rejects(new HttpBootstrapper({ peer }).peers(NEVER), UnavailableError);
  }
  const targets = server.requests.map(({ target }) => target);
  assert.deepEqual(targets, ["/id", "/id", "/deep/id", "/deep/id"]);
});

Deno.test("HttpBootstrapper that serves nothing runs until it is stopped", async () => {
  const abort = new AbortController();
  const running = new HttpBootstrapper({ peer: "http://127.0.0.1:1" })
    .run({ self: () => [], signal: abort.signal });
  abort.abort();
  await running;
});

Deno.test("HttpBootstrapper says it when it cannot listen", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const bootstrapper = new HttpBootstrapper({
    addr: { host: "127.0.0.1", port: taken.addr.port },
    peer: "http://127.0.0.1:1",
  });
  await assert.rejects(bootstrapper.run({ self: () => [], signal: NEVER }), UnavailableError);
});

Deno.test("HttpBootstrapper takes what Spegel answers", async () => {
  const answer = `{"ID":"${ID}","Addrs":["/ip4/10.244.0.5/tcp/5001","/ip6/fd00::5/tcp/5001"]}`;
  assert.deepEqual(await peersFrom(answer), [
    `/ip4/10.244.0.5/tcp/5001/p2p/${ID}`,
    `/ip6/fd00::5/tcp/5001/p2p/${ID}`,
  ]);
});

Deno.test("HttpBootstrapper leaves out addresses that it does not understand, and takes a bounded number", async () => {
  const good = Array.from({ length: 50 }, (_, index) => `/ip4/10.0.0.${index + 1}/tcp/5001`);
  const odd = [
    "/ip9/10.0.0.1/tcp/1",
    "",
    "nonsense",
    7,
    null,
    {},
    "/tcp/1",
    "/ip4/999.0.0.1/tcp/1",
  ];
  const peers = await peersFrom(JSON.stringify({ ID, Addrs: [...odd, ...good] }));
  assert.equal(peers.length, MAX_BOOTSTRAP_ADDRESSES);
  assert.equal(peers[0], `/ip4/10.0.0.1/tcp/5001/p2p/${ID}`);
});

Deno.test("HttpBootstrapper refuses answers that are none", async () => {
  const info = (ID: unknown, Addrs: unknown) => JSON.stringify({ ID, Addrs });
  const address = "/ip4/10.0.0.1/tcp/5001";
  const answers = [
    "",
    "<html>",
    "null",
    "[]",
    "7",
    "{}",
    info(ID, address),
    info(7, [address]),
    info("", [address]),
    info("not a peer ID", [address]),
    info(`${ID}/tcp/1`, [address]),
    info(ID, []),
    info(ID, ["nonsense"]),
  ];
  for (const answer of answers) await assert.rejects(peersFrom(answer), UnavailableError, answer);
});

Deno.test("HttpBootstrapper refuses errors and redirects", async () => {
  const answer = JSON.stringify({ ID, Addrs: ["/ip4/10.0.0.1/tcp/5001"] });
  await assert.rejects(peersFrom(answer, "HTTP/1.1 500 Oops"), /status 500/);
  await assert.rejects(
    peersFrom(answer, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/id"),
    UnavailableError,
  );
});

Deno.test("HttpBootstrapper stops reading an answer that is too large", async () => {
  let sent = 0;
  await using server = startRawServer(async (_request, connection) => {
    await send(connection, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    const spaces = new Uint8Array(64 * 1024).fill(0x20);
    // Far more than sockets hold, until the client hangs up.
    for (; sent < 1000 * spaces.length; sent += spaces.length) await send(connection, spaces);
  });
  await assert.rejects(
    new HttpBootstrapper({ peer: `http://127.0.0.1:${server.port}` }).peers(NEVER),
    /too long/,
  );
  assert(sent < 900 * MAX_HTTP_BOOTSTRAP_BYTES, `${sent} bytes were sent`);
});

Deno.test("HttpBootstrapper gives up a peer that does not answer, before its head and in its body", async () => {
  for (const start of ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"]) {
    await using server = startRawServer(async (_request, connection) => {
      await send(connection, start);
      await untilClosed(connection);
    });
    const bootstrapper = new HttpBootstrapper({ peer: `http://127.0.0.1:${server.port}` });
    await assert.rejects(bootstrapper.peers(NEVER), UnavailableError);
    const abort = new AbortController();
    const asking = bootstrapper.peers(abort.signal);
    await eventually("it is asked again", () => server.requests.length === 2);
    abort.abort();
    await assert.rejects(asking, UnavailableError);
  }
});

Deno.test("HttpBootstrapper names the peer that cannot be reached", async () => {
  const peer = `http://127.0.0.1:${freePort()}`;
  await assert.rejects(
    new HttpBootstrapper({ peer }).peers(NEVER),
    (error: Error) => error instanceof UnavailableError && error.message.includes(`${peer}/id`),
  );
});
