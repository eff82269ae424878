import assert from "node:assert/strict";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { VerifiedStore } from "../../../lib/store/verified_store.ts";
import { makeContent, makeManifest } from "../support/content.ts";
import { startRegistryNode } from "../support/registry_node.ts";
import { TrackedStore } from "../support/tracked_store.ts";

const MANIFEST = makeManifest(makeContent(10), [makeContent(1000, 2)]);

Deno.test("RegistryServer answers with a manifest from memory, as long as the store has it", async () => {
  const inner = new TrackedStore();
  const digest = inner.put(MANIFEST.bytes);
  const store = new VerifiedStore(inner, { log: silentLogger });
  await using node = await startRegistryNode({ store });
  const target = `/v2/app/manifests/${digest}`;
  assert.deepEqual((await node.request("GET", target)).body, MANIFEST.bytes);
  const { opened } = inner;
  const again = await node.request("GET", target);
  assert.deepEqual(again.body, MANIFEST.bytes);
  assert.equal(again.headers.get("content-type"), "application/vnd.oci.image.manifest.v1+json");
  assert.equal(inner.opened, opened);
  inner.remove(digest);
  assert.equal((await node.request("GET", target)).status, 404);
});
