import assert from "node:assert/strict";
import { OCI_MANIFEST } from "../../../lib/oci/media_types.ts";
import { referenceKey, type TagReference } from "../../../lib/oci/reference.ts";
import { parseDigest } from "../../../lib/oci/digest.ts";
import type { Credentials } from "../../../lib/registry/basic_auth.ts";
import { basicAuthorization } from "../../../lib/registry/basic_auth.ts";
import type { Sharing } from "../../../lib/registry/content_finder.ts";
import type { Descriptor } from "../../../lib/store/store.ts";
import { makeContent, makeManifest } from "../support/content.ts";
import { guarded } from "../support/guarded.ts";
import { startRegistryNode } from "../support/registry_node.ts";

const TARGET = "/v2/team/app/manifests/v1?ns=registry.test";
const FOUND: Descriptor = {
  digest: parseDigest(`sha256:${"a".repeat(64)}`),
  mediaType: OCI_MANIFEST,
  size: 500,
};

interface Asked {
  readonly sharing: Sharing;
  readonly tags: string[];
  readonly joined: string[];
}

/** Others know what the tag stands for, and nobody has its manifest. */
function asking(found: Descriptor | undefined = FOUND): Asked {
  const tags: string[] = [];
  const joined: string[] = [];
  const sharing: Sharing = {
    join: (key) => {
      joined.push(key);
      return Promise.resolve(undefined);
    },
    resolve: (tag: TagReference) => {
      tags.push(referenceKey(tag));
      return Promise.resolve(found);
    },
    state: () => undefined,
    isQueued: () => false,
  };
  return { sharing, tags, joined };
}

Deno.test("Registry answers HEAD for a tag that nobody has with what upstream said to another node", async () => {
  const { sharing, tags, joined } = asking();
  await using node = await startRegistryNode({ sharing });
  const { status, headers } = await node.request("HEAD", TARGET);
  assert.equal(status, 200);
  assert.equal(headers.get("docker-content-digest"), FOUND.digest);
  assert.equal(headers.get("content-type"), FOUND.mediaType);
  assert.equal(headers.get("content-length"), "500");
  assert.equal(headers.get("x-kagami-source"), "upstream");
  assert.deepEqual(tags, ["registry.test/team/app:v1"]);
  assert.deepEqual(joined, []);
});

Deno.test("Registry goes on by digest when a tag that nobody has is asked for by GET", async () => {
  const { sharing, joined } = asking();
  await using node = await startRegistryNode({ sharing });
  assert.equal((await node.request("GET", TARGET)).status, 404);
  assert.deepEqual(joined, [FOUND.digest]);
});

Deno.test("Registry serves what a tag stands for from its own store, if it is there under its digest", async () => {
  const { bytes, digest } = makeManifest(makeContent(10), [makeContent(20)]);
  const { sharing } = asking({ digest, mediaType: OCI_MANIFEST, size: bytes.length });
  await using node = await startRegistryNode({ sharing });
  node.store.put(bytes);
  const answer = await node.request("GET", TARGET);
  assert.equal(answer.status, 200);
  assert.deepEqual(new Uint8Array(answer.body), new Uint8Array(bytes));
});

Deno.test("Registry says 404 for a tag of which nobody knows what it stands for", async () => {
  const sharing: Sharing = { ...asking().sharing, resolve: () => Promise.resolve(undefined) };
  await using node = await startRegistryNode({ sharing });
  assert.equal((await node.request("HEAD", TARGET)).status, 404);
  assert.equal((await node.request("GET", TARGET)).status, 404);
});

Deno.test("Registry asks others about tags alone, and not on behalf of peers", async () => {
  const { sharing, tags } = asking();
  await using node = await startRegistryNode({ sharing });
  const byDigest = `/v2/team/app/manifests/${FOUND.digest}?ns=registry.test`;
  assert.equal((await node.request("HEAD", byDigest)).status, 404);
  const mirrored = { "X-Spegel-Mirrored": "true" };
  assert.equal((await node.request("HEAD", TARGET, mirrored)).status, 404);
  assert.deepEqual(tags, []);
});

Deno.test("Registry asks nobody about a tag on behalf of somebody with credentials for upstream", async () => {
  const { sharing, tags } = asking();
  await using node = await startRegistryNode({ sharing });
  const Authorization = "Basic c2VjcmV0";
  assert.equal((await node.request("HEAD", TARGET, { Authorization })).status, 404);
  assert.deepEqual(tags, []);
});

Deno.test("Registry takes the credentials of the cluster for nobody's", async () => {
  const { sharing } = asking();
  const credentials: Credentials = { username: "cluster", password: "secret" };
  await using node = await startRegistryNode({ sharing, credentials });
  const Authorization = basicAuthorization(credentials);
  assert.equal((await node.request("HEAD", TARGET, { Authorization })).status, 200);
  assert.equal((await node.request("HEAD", TARGET)).status, 401);
});

Deno.test("Registry asks others about no tag of a private repository", async () => {
  const { sharing, tags } = asking();
  const { access } = guarded("registry.test", () => ({ result: "granted" }));
  await using node = await startRegistryNode({ sharing, access });
  assert.equal((await node.request("HEAD", TARGET)).status, 404);
  assert.deepEqual(tags, []);
});
