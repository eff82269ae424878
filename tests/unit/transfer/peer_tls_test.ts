import assert from "node:assert/strict";
import { PeerError } from "../../../lib/errors.ts";
import { type Libc, openLibc } from "../../../lib/net/libc.ts";
import { createCertificate } from "../../../lib/net/certificate.ts";
import { BodySender } from "../../../lib/registry/send_body.ts";
import { TOKEN_PERIOD_MS } from "../../../lib/registry/transfer_tokens.ts";
import type { TransferOffers } from "../../../lib/routing/transfer_offer.ts";
import { FileReader } from "../../../lib/store/file_reader.ts";
import { ConnectionPool } from "../../../lib/transfer/connection_pool.ts";
import { httpRequest, OtherServerError } from "../../../lib/transfer/http_client.ts";
import { PeerChannels } from "../../../lib/transfer/peer_channels.ts";
import { PeerClient, type PeerClientOptions } from "../../../lib/transfer/peer_client.ts";
import { makeContent } from "../support/content.ts";
import { makeContentFile } from "../support/content_file.ts";
import { drain } from "../support/drain.ts";
import { eventually } from "../support/eventually.ts";
import { startFaultPeer } from "../support/fault_peer.ts";
import { blobPath, TEST_TIMEOUTS } from "../support/mirror_of.ts";
import { startRawServer, untilClosed } from "../support/raw_server.ts";
import { GivenOffers, startTlsPeer } from "../support/tls_peer.ts";

const BLOB = makeContent(3_000_000);
const GET = { path: blobPath(BLOB.digest), method: "GET" } as const;

function clientOf(
  offers: TransferOffers,
  options: PeerClientOptions & { readonly required?: boolean } = {},
): PeerClient {
  const { required = false, ...rest } = options;
  const channels = new PeerChannels({ offers, required, now: () => performance.now() });
  return new PeerClient({ timeouts: TEST_TIMEOUTS, channels, ...rest });
}

Deno.test("PeerClient fetches over TLS from a peer that offers it, as a mirror and with the token", async () => {
  await using server = await startTlsPeer(BLOB);
  const answers: string[] = [];
  const asking = clientOf(new GivenOffers(server.offer()), {
    onAnswer: (channel) => answers.push(channel),
  });
  const answer = await asking.request(server.peer, GET);
  assert.deepEqual((await drain(answer.response)).bytes, new Uint8Array(BLOB.bytes));
  answer.response.close();
  assert.equal(server.requests[0]?.header("x-spegel-mirrored"), "true");
  assert.equal(answer.address, "127.0.0.1:1", "peers are called by their registry's port");
  assert.deepEqual(answers, ["tls"]);
});

Deno.test("PeerClient uses a connection over TLS again, and not for another certificate", async () => {
  await using server = await startTlsPeer(BLOB);
  using pool = new ConnectionPool();
  const asking = clientOf(new GivenOffers(server.offer()), { pool });
  for (let round = 0; round < 3; round++) {
    const { response } = await asking.request(server.peer, GET);
    await drain(response);
    response.close();
    assert.equal(pool.size, 1);
  }
  const { port, token } = server.offer();
  const other = { port, token, certificate: createCertificate().certificate };
  await assert.rejects(
    clientOf(new GivenOffers(other), { pool }).request(server.peer, GET),
    OtherServerError,
  );
});

Deno.test("PeerClient sends no token in plain text", async () => {
  await using server = startFaultPeer("peer", BLOB);
  const asking = clientOf(new GivenOffers(undefined));
  const answer = await asking.request(server.peer, GET);
  answer.response.close();
  assert.equal(server.requests[0]?.headers.has("x-kagami-token"), false);
});

Deno.test("PeerClient speaks to nobody who has another certificate than the peer", async () => {
  await using impostor = await startTlsPeer(BLOB);
  const forged = { ...impostor.offer(), certificate: createCertificate().certificate };
  const offers = new GivenOffers(forged);
  await assert.rejects(clientOf(offers).request(impostor.peer, GET), (error) => {
    assert(error instanceof PeerError);
    assert.match(error.message, /cannot connect/);
    return true;
  });
  assert.equal(impostor.requests.length, 0);
  assert.deepEqual(impostor.refused, [], "not even a request was sent");
  assert.equal(offers.asked.length, 2, "the peer may have been started anew, and is asked again");
});

Deno.test("PeerClient speaks to nobody who has the peer's name and an expired certificate", async () => {
  const { certificate, key } = createCertificate(undefined, {
    from: new Date("2000-01-01T00:00:00Z"),
    to: new Date("2001-01-01T00:00:00Z"),
  });
  using listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert: certificate, key });
  const accepting = listener.accept();
  const { port } = listener.addr as Deno.NetAddr;
  const request = { address: "127.0.0.1", port, target: "/", method: "GET", headers: {} } as const;
  await assert.rejects(
    httpRequest({ ...request, certificate, timeouts: TEST_TIMEOUTS }),
    OtherServerError,
  );
  using connection = await accepting;
  await connection.handshake().catch(() => {}); // Broken off by the client.
});

Deno.test("PeerClient finds a peer again that was started anew, at its old port and at a new one", async () => {
  for (const isSamePort of [true, false]) {
    const before = await startTlsPeer(BLOB);
    const offer = before.offer();
    await before[Symbol.asyncDispose]();
    await using after = await startTlsPeer(BLOB, isSamePort ? offer.port : 0);
    using pool = new ConnectionPool();
    const asking = clientOf(new GivenOffers(offer, after.offer()), { pool });
    const { response } = await asking.request(after.peer, GET);
    assert.deepEqual((await drain(response)).bytes, new Uint8Array(BLOB.bytes));
    response.close();
  }
});

Deno.test("PeerClient asks for a new token when the peer takes the old one no more", async () => {
  await using server = await startTlsPeer(BLOB);
  const old = server.offer();
  server.advance(2 * TOKEN_PERIOD_MS);
  const asking = clientOf(new GivenOffers(old, server.offer()));
  const { response } = await asking.request(server.peer, GET);
  await drain(response);
  response.close();
  assert.deepEqual(server.refused, ["token"]);
});

Deno.test("PeerClient gives up on a peer that takes no token at all", async () => {
  await using server = await startTlsPeer(BLOB);
  const offers = new GivenOffers({ ...server.offer(), token: "peer.0.wrong" });
  await assert.rejects(clientOf(offers).request(server.peer, GET), PeerError);
  assert.deepEqual(server.refused, ["token"]);
  assert.equal(offers.asked.length, 2);
});

Deno.test("PeerClient never falls back to plain HTTP when TLS fails", async () => {
  await using plain = startFaultPeer("peer", BLOB);
  const offer = { port: 1, token: "x", certificate: createCertificate().certificate };
  const failures = [new GivenOffers(offer), new GivenOffers(new PeerError("no answer"))];
  for (const offers of failures) {
    await assert.rejects(clientOf(offers).request(plain.peer, GET), PeerError);
  }
  await assert.rejects(
    clientOf(new GivenOffers(undefined), { required: true }).request(plain.peer, GET),
    PeerError,
  );
  assert.equal(plain.requests.length, 0);
});

Deno.test("httpRequest() gives up on a peer that does not answer the handshake, and ends with its signal", async () => {
  await using silent = startRawServer((_, connection) => untilClosed(connection));
  const { certificate } = createCertificate();
  const request = {
    address: "127.0.0.1",
    port: silent.port,
    target: "/",
    method: "GET",
    headers: {},
    certificate,
  } as const;
  const timeouts = { ...TEST_TIMEOUTS, connectMs: 100 };
  await assert.rejects(httpRequest({ ...request, timeouts }), /within 100 ms/);
  const abort = new AbortController();
  const asking = httpRequest({ ...request, timeouts: TEST_TIMEOUTS, signal: abort.signal });
  abort.abort();
  await assert.rejects(asking, /aborted/);
});

Deno.test("A body over TLS can be left in the middle, and the server is through with it", async () => {
  const large = makeContent(64_000_000);
  await using server = await startTlsPeer(large);
  const { response } = await clientOf(new GivenOffers(server.offer())).request(server.peer, {
    ...GET,
    path: blobPath(large.digest),
  });
  assert(await response.read(new Uint8Array(1000)) > 0);
  response.close();
  await eventually("the answer is over", () => server.exchanges.length === 1);
});

Deno.test("The kernel sends no file past TLS, even if it may", async () => {
  await using file = await makeContentFile(BLOB.bytes);
  using libc = openLibc()!;
  let calls = 0;
  const counting: Libc = {
    ...libc,
    sendfile: (...args) => {
      calls += 1;
      return libc.sendfile(...args);
    },
  };
  const sender = new BodySender({ libc: counting });
  const open = () => FileReader.open(file.path);
  await using server = await startTlsPeer(BLOB, 0, { sender, open });
  const { response } = await clientOf(new GivenOffers(server.offer())).request(server.peer, GET);
  assert.deepEqual((await drain(response)).bytes, new Uint8Array(BLOB.bytes));
  response.close();
  assert.equal(calls, 0);
});
