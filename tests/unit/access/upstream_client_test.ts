import assert from "node:assert/strict";
import { MAX_REDIRECTS, UpstreamClient } from "../../../lib/access/upstream_client.ts";
import type { Upstream } from "../../../lib/access/upstream_settings.ts";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { recordingLog } from "../cli/recording_log.ts";
import { AUTHORITY, OTHER_AUTHORITY } from "../support/tls_certificates.ts";
import { answering, TestRegistry } from "./test_registry.ts";

const QUESTION = {
  registry: "registry.test",
  repository: "team/app",
  path: "manifests/v1",
  authorization: "Basic c2VjcmV0",
};

function clientOf(upstream: Upstream, timeoutMs = 20_000): UpstreamClient & Disposable {
  const settings = () => Promise.resolve(upstream);
  const client = new UpstreamClient({ settings, log: silentLogger, timeoutMs });
  return Object.assign(client, { [Symbol.dispose]: () => client.close() });
}

function at(registry: TestRegistry): Upstream {
  return { base: `http://${registry.authority}/v2`, skipsVerification: false };
}

Deno.test("UpstreamClient asks by HEAD with the client's credentials, on a connection that is kept", async () => {
  await using registry = await TestRegistry.start(answering(200, { "Content-Length": 1000 }));
  using client = clientOf(at(registry));
  for (let at = 0; at < 2; at++) {
    assert.deepEqual(await client.ask(QUESTION), { result: "granted" });
  }
  const [first, second] = registry.requests;
  assert.equal(first!.method, "HEAD");
  assert.equal(first!.url, "/v2/team/app/manifests/v1");
  assert.equal(first!.headers.authorization, QUESTION.authorization);
  assert.match(first!.headers.accept ?? "", /vnd\.oci\.image\.index/);
  assert.ok(first!.socket === second!.socket, "it is the same connection");
});

Deno.test("UpstreamClient asks for a list of tags by GET", async () => {
  await using registry = await TestRegistry.start((_request, response) => {
    response.writeHead(200).end("x".repeat(1_000_000));
  });
  using client = clientOf(at(registry));
  const question = { ...QUESTION, path: "tags/list?n=1" };
  for (let at = 0; at < 3; at++) {
    assert.deepEqual(await client.ask(question), { result: "granted" });
  }
  assert.equal(registry.requests[0]!.method, "GET");
  assert.equal(registry.requests[0]!.url, "/v2/team/app/tags/list?n=1");
});

Deno.test("UpstreamClient tells what the registry says", async () => {
  const bearer = 'Bearer realm="https://tokens.test",service="test"';
  const basic = 'Basic realm="test"';
  const cases = [
    [200, {}, { result: "granted" }],
    [401, {}, { result: "refused" }],
    [401, { "WWW-Authenticate": basic }, { result: "refused", challenge: basic }],
    [401, { "WWW-Authenticate": [basic, bearer] }, { result: "refused", challenge: bearer }],
    [401, { "WWW-Authenticate": `Basic ${"x".repeat(5000)}` }, { result: "refused" }],
    [403, { "WWW-Authenticate": basic }, { result: "refused" }],
    [404, {}, { result: "refused" }],
    [429, {}, { result: "refused" }],
    [500, {}, { result: "refused" }],
    [503, {}, { result: "unreachable" }],
  ] as const;
  for (const [status, headers, expected] of cases) {
    await using registry = await TestRegistry.start(answering(status, { ...headers } as never));
    using client = clientOf(at(registry));
    assert.deepEqual(await client.ask(QUESTION), expected, `${status} ${JSON.stringify(headers)}`);
  }
});

Deno.test("UpstreamClient tells credentials to nobody whom a registry redirects to", async () => {
  await using storage = await TestRegistry.start(answering(200));
  await using registry = await TestRegistry.start((request, response) => {
    const Location = request.url === "/v2/team/app/manifests/v1"
      ? "/moved"
      : `http://${storage.authority}/blob`;
    response.writeHead(307, { Location }).end();
  });
  using client = clientOf(at(registry));
  assert.deepEqual(await client.ask(QUESTION), { result: "granted" });
  const headers = [...registry.requests, ...storage.requests]
    .map(({ headers }) => headers.authorization);
  assert.deepEqual(headers, [QUESTION.authorization, QUESTION.authorization, undefined]);
});

Deno.test("UpstreamClient follows no endless redirects, and none away from TLS", async () => {
  await using circle = await TestRegistry.start(answering(302, { Location: "/again" }));
  using first = clientOf(at(circle));
  assert.deepEqual(await first.ask(QUESTION), { result: "unreachable" });
  assert.equal(circle.requests.length, MAX_REDIRECTS + 1);

  await using plain = await TestRegistry.start(answering(200));
  const location = { Location: `http://${plain.authority}/` };
  await using secure = await TestRegistry.start(answering(302, location), true);
  const base = `https://${secure.authority}/v2`;
  using second = clientOf({ base, ca: [AUTHORITY], skipsVerification: false });
  assert.deepEqual(await second.ask(QUESTION), { result: "unreachable" });
  assert.equal(plain.requests.length, 0);
});

Deno.test("UpstreamClient trusts the certificates that it is given, or all if it is told so", async () => {
  await using registry = await TestRegistry.start(answering(200), true);
  const base = `https://${registry.authority}/v2`;
  const cases = [
    [{ skipsVerification: false }, "unreachable"],
    [{ skipsVerification: false, ca: [OTHER_AUTHORITY] }, "unreachable"],
    [{ skipsVerification: false, ca: [OTHER_AUTHORITY, AUTHORITY] }, "granted"],
    [{ skipsVerification: true }, "granted"],
  ] as const;
  for (const [settings, result] of cases) {
    using client = clientOf({ base, ...settings });
    assert.deepEqual(await client.ask(QUESTION), { result });
  }
});

Deno.test("UpstreamClient waits for a bounded time, and says without credentials why it failed", async () => {
  await using registry = await TestRegistry.start(() => {});
  const { log, lines } = recordingLog("DEBUG");
  const settings = () => Promise.resolve(at(registry));
  const client = new UpstreamClient({ settings, log, timeoutMs: 50 });
  assert.deepEqual(await client.ask(QUESTION), { result: "unreachable" });
  client.close();
  assert.equal(lines.length, 1);
  assert.ok(!JSON.stringify(lines).includes("c2VjcmV0"));
});
