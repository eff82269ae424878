import assert from "node:assert/strict";
import type { AccessQuestion, UpstreamAnswer } from "../../../lib/access/upstream_client.ts";
import type { Sharing } from "../../../lib/registry/content_finder.ts";
import { basicAuthorization } from "../../../lib/registry/basic_auth.ts";
import type { Ingest } from "../../../lib/store/store.ts";
import { MemoryNetwork } from "../../../lib/routing/memory_router.ts";
import { makeContent, makeManifest } from "../support/content.ts";
import { guarded } from "../support/guarded.ts";
import { announce } from "../support/mirror_of.ts";
import { BytesReader } from "../support/bytes_reader.ts";
import { TrackedStore } from "../support/tracked_store.ts";
import {
  type RegistryNode,
  type RegistryNodeOptions,
  startRegistryNode,
} from "../support/registry_node.ts";

const REGISTRY = "private.test";
const BLOB = makeContent(1000);
const MANIFEST = makeManifest(makeContent(10, 3), [BLOB]);
const SOURCE = { registry: REGISTRY, repository: "team/app" };
const CHALLENGE = 'Bearer realm="https://tokens.test",error="invalid_token"';
const BLOB_TARGET = `/v2/team/app/blobs/${BLOB.digest}?ns=${REGISTRY}`;
const TARGETS = [
  BLOB_TARGET,
  `/v2/team/app/manifests/v1?ns=${REGISTRY}`,
  `/v2/team/app/manifests/${MANIFEST.digest}?ns=${REGISTRY}`,
  `/v2/team/app/tags/list?ns=${REGISTRY}`,
  `/v2/team/app/referrers/${MANIFEST.digest}?ns=${REGISTRY}`,
];
const GOOD = { Authorization: "Bearer good" };
const PEER = { "X-Spegel-Mirrored": "true" };

/** What the registry says of `Bearer good`, and of all others. */
function upstream({ authorization }: AccessQuestion): UpstreamAnswer {
  if (authorization === GOOD.Authorization) return { result: "granted" };
  if (authorization === undefined) return { result: "refused", challenge: 'Basic realm="test"' };
  return authorization === "Bearer old"
    ? { result: "refused", challenge: CHALLENGE }
    : { result: "refused", challenge: 'Basic realm="test"' };
}

interface Options extends RegistryNodeOptions {
  readonly ask?: (question: AccessQuestion) => UpstreamAnswer;
  readonly opensWhenUnreachable?: boolean;
}

/** A node that guards what it has, and the questions that it asked upstream. */
async function startNode(
  { ask = upstream, opensWhenUnreachable = false, ...options }: Options = {},
): Promise<{ node: RegistryNode; asked: readonly AccessQuestion[] } & AsyncDisposable> {
  const { asked, access } = guarded(REGISTRY, ask, opensWhenUnreachable);
  const node = await startRegistryNode({ ...options, access });
  for (const { bytes, digest } of [BLOB, MANIFEST]) node.store.put(bytes, [SOURCE], digest);
  node.store.tag(`${REGISTRY}/team/app:v1`, MANIFEST.digest);
  return { node, asked, [Symbol.asyncDispose]: () => node[Symbol.asyncDispose]() };
}

Deno.test("Registry hands private content and lists out only after a proof", async () => {
  await using fixture = await startNode();
  for (const target of TARGETS) {
    const refused = await fixture.node.request("GET", target);
    assert.equal(refused.status, 401, target);
    assert.equal(refused.headers.get("www-authenticate"), 'Basic realm="test"');
    const wrong = await fixture.node.request("GET", target, { Authorization: "Bearer bad" });
    assert.equal(wrong.status, 404, target);
    const { status } = await fixture.node.request("GET", target, GOOD);
    assert.equal(status, 200, target);
  }
  const good = fixture.asked.filter(({ authorization }) => authorization === GOOD.Authorization);
  assert.equal(good.length, 1, "one proof is good for the repository");
});

Deno.test("Registry asks about one registry, however its name is spelled", async () => {
  await using fixture = await startNode();
  for (const spelling of ["PRIVATE.test", "Private.Test", REGISTRY]) {
    const target = `/v2/team/app/blobs/${BLOB.digest}?ns=${spelling}`;
    assert.equal((await fixture.node.request("GET", target)).status, 401);
    assert.equal((await fixture.node.request("GET", target, GOOD)).status, 200);
  }
  assert.ok(fixture.asked.every(({ registry }) => registry === REGISTRY));
});

Deno.test("Registry passes on what a registry says of a token", async () => {
  await using fixture = await startNode();
  const answer = await fixture.node.request("GET", BLOB_TARGET, { Authorization: "Bearer old" });
  assert.equal(answer.status, 401);
  assert.equal(answer.headers.get("www-authenticate"), CHALLENGE);
});

Deno.test("Registry asks upstream about nothing that is not private", async () => {
  await using fixture = await startNode();
  const open = makeContent(500, 9);
  fixture.node.store.put(open.bytes, [{ registry: "docker.io", repository: "app" }], open.digest);
  const target = `/v2/app/blobs/${open.digest}?ns=docker.io`;
  assert.equal((await fixture.node.request("GET", target)).status, 200);
  assert.deepEqual(fixture.asked, []);
});

Deno.test("Registry hands private content out under no other name, to peers neither", async () => {
  await using fixture = await startNode();
  const others = [
    `/v2/team/app/blobs/${BLOB.digest}?ns=docker.io`,
    `/v2/team/other/blobs/${BLOB.digest}?ns=${REGISTRY}`,
    `/v2/team/other/manifests/${MANIFEST.digest}?ns=${REGISTRY}`,
  ];
  for (const target of others) {
    for (const method of ["GET", "HEAD"]) {
      assert.equal((await fixture.node.request(method, target, GOOD)).status, 404, target);
      assert.equal((await fixture.node.request(method, target, PEER)).status, 404, target);
    }
  }
  assert.equal((await fixture.node.request("GET", BLOB_TARGET, PEER)).status, 200);
});

Deno.test("Registry asks no peers for private content without a proof", async () => {
  const network = new MemoryNetwork();
  await using holder = await startNode({ network, id: "holder" });
  await using asking = await startNode({ network, id: "asking" });
  for (const { digest } of [BLOB, MANIFEST]) asking.node.store.remove(digest);
  await announce(network, holder.node.peer, BLOB.digest);
  assert.equal((await asking.node.request("GET", BLOB_TARGET)).status, 401);
  assert.deepEqual(asking.node.lookups, []);
  const { status, headers, body } = await asking.node.request("GET", BLOB_TARGET, GOOD);
  assert.equal(status, 200);
  assert.match(headers.get("x-kagami-source") ?? "", /^peer /);
  assert.deepEqual(body, BLOB.bytes);
  assert.deepEqual(holder.asked, [], "who serves a peer does not ask upstream");
});

Deno.test("Registry hands nothing out while the registry is away, unless it is told to", async () => {
  const ask = (): UpstreamAnswer => ({ result: "unreachable" });
  for (const [opensWhenUnreachable, status] of [[false, 404], [true, 200]] as const) {
    await using fixture = await startNode({ ask, opensWhenUnreachable });
    for (const headers of [{}, GOOD]) {
      assert.equal((await fixture.node.request("GET", BLOB_TARGET, headers)).status, status);
    }
  }
});

Deno.test("Registry takes a proof in place of the cluster's credentials, from others than peers", async () => {
  const credentials = { username: "cluster", password: "secret" };
  const own = { Authorization: basicAuthorization(credentials) };
  await using fixture = await startNode({ credentials });
  const { node, asked } = fixture;
  const nobody = await node.request("GET", BLOB_TARGET);
  assert.equal(nobody.headers.get("www-authenticate"), 'Basic realm="kagami"');
  const member = await node.request("GET", BLOB_TARGET, own);
  assert.equal(member.status, 401);
  assert.equal(member.headers.get("www-authenticate"), 'Basic realm="test"');
  assert.equal((await node.request("GET", BLOB_TARGET, GOOD)).status, 200);
  assert.ok(asked.every(({ authorization }) => authorization !== own.Authorization));

  assert.equal((await node.request("GET", BLOB_TARGET, { ...PEER, ...GOOD })).status, 401);
  assert.equal((await node.request("GET", BLOB_TARGET, { ...PEER, ...own })).status, 200);
  for (const target of ["/v2/", "/v2/app/manifests/v1?ns=docker.io", "/v2/nothing"]) {
    const { status } = await node.request("GET", target, GOOD);
    assert.ok(status === 401 || status === 404, `${target}: ${status}`);
  }
  assert.equal((await node.request("GET", "/v2/app/tags/list?ns=docker.io", GOOD)).status, 401);
});

Deno.test("Registry holds content back that is on its way, except under a name that was proven", async () => {
  const { digest, bytes } = makeContent(3000, 11);
  const ingest: Ingest = {
    digest,
    offset: bytes.length,
    total: bytes.length,
    open: () => Promise.resolve(new BytesReader(bytes)),
  };
  const store = Object.assign(new TrackedStore(), {
    ingests: {
      list: () => Promise.resolve([ingest]),
      find: (wanted: string) => Promise.resolve(wanted === digest ? ingest : undefined),
      watch: () => {},
    },
  });
  const sharing: Sharing = {
    join: () => Promise.resolve(undefined),
    resolve: () => Promise.resolve(undefined),
    state: () => "failed",
    isQueued: () => false,
  };
  await using fixture = await startNode({ store, sharing });
  const awaiting = { ...PEER, "X-Kagami-Growing": "true" };
  const target = `/v2/team/app/blobs/${digest}?ns=${REGISTRY}`;
  const other = `/v2/team/app/blobs/${digest}?ns=docker.io`;
  // As containerd does before it gets the content from upstream.
  assert.equal((await fixture.node.request("GET", target)).status, 401);
  assert.equal((await fixture.node.request("GET", other, awaiting)).status, 404);
  assert.equal((await fixture.node.request("GET", target, awaiting)).status, 404);
  assert.equal((await fixture.node.request("GET", target, GOOD)).status, 404, "it is not here yet");
  assert.equal((await fixture.node.request("GET", other, awaiting)).status, 404);
  const growing = await fixture.node.request("GET", target, awaiting);
  assert.deepEqual([growing.status, growing.body], [200, bytes]);
});
