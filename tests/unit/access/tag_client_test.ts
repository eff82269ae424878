import assert from "node:assert/strict";
import type * as http from "node:http";
import { describeTag, MAX_TOKEN_ANSWER_BYTES } from "../../../lib/access/tag_client.ts";
import { UpstreamClient } from "../../../lib/access/upstream_client.ts";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { parseDigest } from "../../../lib/oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../../../lib/oci/manifest.ts";
import { OCI_INDEX } from "../../../lib/oci/media_types.ts";
import type { Descriptor } from "../../../lib/store/store.ts";
import { AUTHORITY } from "../support/tls_certificates.ts";
import { answering, TestRegistry } from "./test_registry.ts";

const TAG = { registry: "registry.test", repository: "team/app", tag: "v1" };
const DIGEST = `sha256:${"a".repeat(64)}`;
const HEADERS = {
  "Docker-Content-Digest": DIGEST,
  "Content-Type": OCI_INDEX,
  "Content-Length": "500",
};
const FOUND: Descriptor = { digest: parseDigest(DIGEST), mediaType: OCI_INDEX, size: 500 };

/** Asks a registry about the tag. */
async function describe(registry: TestRegistry): Promise<Descriptor | undefined> {
  const { authority, isTls } = registry;
  const upstream = {
    base: `http${isTls ? "s" : ""}://${authority}/v2`,
    ca: [AUTHORITY],
    skipsVerification: false,
  };
  const settings = () => Promise.resolve(upstream);
  const client = new UpstreamClient({ settings, log: silentLogger });
  try {
    return await describeTag(client, TAG, AbortSignal.timeout(20_000));
  } finally {
    client.close();
  }
}

/** Answers as a registry that wants a token, and as the server that gives it out. */
function guarded(
  realm: () => string,
  tokenAnswer: (response: http.ServerResponse) => void,
): http.RequestListener {
  return (request, response) => {
    if (request.url?.startsWith("/token")) return tokenAnswer(response);
    if (request.headers.authorization === "Bearer t.o-k") {
      return void response.writeHead(200, HEADERS).end();
    }
    const challenge = `Bearer realm="${realm()}",service="test",scope="repository:team/app:pull"`;
    response.writeHead(401, { "WWW-Authenticate": ['Basic realm="test"', challenge] }).end();
  };
}

Deno.test("describeTag() asks by HEAD as anybody, and takes what the headers say", async () => {
  const type = `${OCI_INDEX}; charset=utf-8`;
  await using registry = await TestRegistry.start(
    answering(200, { ...HEADERS, "Content-Type": type }),
  );
  assert.deepEqual(await describe(registry), FOUND);
  const [request] = registry.requests;
  assert.deepEqual([request!.method, request!.url], ["HEAD", "/v2/team/app/manifests/v1"]);
  assert.equal(request!.headers.authorization, undefined);
  assert.match(request!.headers.accept ?? "", /vnd\.oci\.image\.index/);
});

for (const field of ["token", "access_token"]) {
  Deno.test(`describeTag() gets a token for anybody where one is wanted, as ${field}`, async () => {
    let own = "";
    await using registry = await TestRegistry.start(guarded(
      () => `http://${own}/token?a=b`,
      (response) => void response.writeHead(200).end(JSON.stringify({ [field]: "t.o-k" })),
    ));
    own = registry.authority;
    assert.deepEqual(await describe(registry), FOUND);
    const [, token, ...others] = registry.requests;
    assert.equal(token!.method, "GET");
    assert.equal(token!.headers.authorization, undefined);
    assert.equal(
      token!.url,
      "/token?a=b&service=test&scope=repository%3Ateam%2Fapp%3Apull",
    );
    assert.equal(others.length, 1);
  });
}

Deno.test("describeTag() trusts the registry's certificates where tokens are given out", async () => {
  let own = "";
  await using registry = await TestRegistry.start(
    guarded(
      () => `https://${own}/token`,
      (response) => void response.writeHead(200).end('{"token":"t.o-k"}'),
    ),
    true,
  );
  own = registry.authority;
  assert.deepEqual(await describe(registry), FOUND);
});

Deno.test("describeTag() goes nowhere else than by https for the token of an https registry", async () => {
  await using tokens = await TestRegistry.start((_request, response) =>
    void response.writeHead(200).end('{"token":"t.o-k"}')
  );
  for (const realm of [`http://${tokens.authority}/token`, "file:///etc/passwd"]) {
    await using registry = await TestRegistry.start(
      guarded(() => realm, (response) => void response.writeHead(500).end()),
      true,
    );
    await assert.rejects(describe(registry), /which is not asked/);
    assert.equal(registry.requests.length, 1);
  }
  assert.equal(tokens.requests.length, 0);
});

Deno.test("describeTag() asks no further without a token that can be used", async () => {
  const answers: readonly (readonly [number, string])[] = [
    [403, '{"token":"t.o-k"}'],
    [302, ""],
    [200, "no JSON"],
    [200, "null"],
    [200, "{}"],
    [200, '{"token":5}'],
    [200, '{"token":""}'],
    [200, '{"token":"a\\r\\nX-Other: b"}'],
    [200, JSON.stringify({ token: "t.o-k", more: "x".repeat(MAX_TOKEN_ANSWER_BYTES) })],
  ];
  for (const [status, body] of answers) {
    let own = "";
    await using registry = await TestRegistry.start(guarded(
      () => `http://${own}/token`,
      (response) => void response.writeHead(status, { Location: "/token/other" }).end(body),
    ));
    own = registry.authority;
    assert.equal(await describe(registry), undefined, body.slice(0, 50));
    assert.equal(registry.requests.length, 2, body.slice(0, 50));
  }
});

Deno.test("describeTag() asks once more with a token, not again and again", async () => {
  let own = "";
  await using registry = await TestRegistry.start(guarded(
    () => `http://${own}/token`,
    (response) => void response.writeHead(200).end('{"token":"another"}'),
  ));
  own = registry.authority;
  assert.equal(await describe(registry), undefined);
  assert.equal(registry.requests.length, 3);
});

Deno.test("describeTag() takes nothing that makes no sense", async () => {
  const { "Docker-Content-Digest": _digest, ...noDigest } = HEADERS;
  const { "Content-Type": _type, ...noType } = HEADERS;
  const cases: readonly (readonly [number, http.OutgoingHttpHeaders])[] = [
    [404, HEADERS],
    [403, HEADERS],
    [500, HEADERS],
    [401, {}],
    [401, { "WWW-Authenticate": 'Basic realm="http://127.0.0.1/token"' }],
    [401, { "WWW-Authenticate": "Bearer" }],
    [401, { "WWW-Authenticate": 'Bearer realm="no url"' }],
    [200, noDigest],
    [200, noType],
    [200, { ...HEADERS, "Docker-Content-Digest": "sha256:abc" }],
    [200, { ...HEADERS, "Content-Type": "text/html" }],
    [200, { ...HEADERS, "Content-Length": "0" }],
    [200, { ...HEADERS, "Content-Length": String(MAX_MANIFEST_SIZE + 1) }],
  ];
  for (const [status, headers] of cases) {
    await using registry = await TestRegistry.start(answering(status, headers));
    assert.equal(await describe(registry), undefined, `${status} ${JSON.stringify(headers)}`);
    assert.equal(registry.requests.length, 1);
  }
});

Deno.test("describeTag() tells a registry that cannot be asked from one that does not say", async () => {
  for (const status of [429, 502, 503, 504]) {
    await using registry = await TestRegistry.start(answering(status));
    await assert.rejects(describe(registry), new RegExp(`answers ${status}`));
  }
  const gone = await TestRegistry.start(answering(200, HEADERS));
  await gone[Symbol.asyncDispose]();
  await assert.rejects(describe(gone));
});
