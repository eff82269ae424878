/**
 * Transfers of the real mirror and the real server tell how far they are.
 *
 * @module
 */
import assert from "node:assert/strict";
import { LiveTransfers } from "../../../lib/debug/live_transfers.ts";
import type { FinishedTransfer } from "../../../lib/debug/node_activity.ts";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { createFilter } from "../../../lib/oci/filter.ts";
import { TransferLimits } from "../../../lib/net/transfer_limits.ts";
import { Registry } from "../../../lib/registry/registry.ts";
import { RegistryServer } from "../../../lib/registry/registry_server.ts";
import { makeContent } from "../support/content.ts";
import { drain } from "../support/drain.ts";
import { eventually } from "../support/eventually.ts";
import { blobPath, mirrorOf, type TestMirror } from "../support/mirror_of.ts";
import { RawClient } from "../support/raw_client.ts";
import { type RegistryNode, startRegistryNode } from "../support/registry_node.ts";
import { TrackedStore } from "../support/tracked_store.ts";

/** More than the buffers between two sockets hold. */
const BLOB = makeContent(20_000_000);

/** A peer with the blob, and a mirror that tells of its transfers. */
async function setUp(): Promise<{ peer: RegistryNode; test: TestMirror; live: LiveTransfers }> {
  const peer = await startRegistryNode({ id: "peer" });
  peer.store.put(BLOB.bytes);
  const live = new LiveTransfers(() => performance.now());
  const test = await mirrorOf(BLOB.digest, [peer.peer], {
    events: { receiving: (path, size) => live.receiving(path, size) },
  });
  return { peer, test, live };
}

function outcome({ direction, bytes, size, isComplete }: FinishedTransfer): unknown[] {
  return [direction, bytes, size, isComplete];
}

Deno.test("a download tells its peer and its bytes until it is over", async () => {
  const { peer, test, live } = await setUp();
  await using _peer = peer;
  const { reader } = await test.mirror.blob(blobPath(BLOB.digest), undefined);
  const [begun] = live.list().transfers;
  assert.deepEqual([begun?.direction, begun?.size, begun?.parties], [
    "from-peer",
    20_000_000,
    [`127.0.0.1:${peer.port}`],
  ]);
  assert.equal((await drain(reader, 1_000_000)).error, undefined);
  await reader.close();
  assert.deepEqual(live.list().transfers, []);
  assert.deepEqual(live.finished().map(outcome), [["from-peer", 20_000_000, 20_000_000, true]]);
});

Deno.test("a download that is given up is over, and not complete", async () => {
  const { peer, test, live } = await setUp();
  await using _peer = peer;
  const { reader } = await test.mirror.blob(blobPath(BLOB.digest), "bytes=1000-");
  assert.equal(live.list().transfers[0]?.size, 19_999_000, "what is wanted");
  await reader.read(new Uint8Array(10));
  await reader.close();
  const [finished] = live.finished();
  assert.equal(finished?.isComplete, false);
  assert.ok(finished!.bytes > 0);
});

Deno.test("a body that is sent counts as it goes out, whole or broken off", async () => {
  const { peer, test, live } = await setUp();
  await using _peer = peer;
  const server = new RegistryServer({
    registry: new Registry({
      store: new TrackedStore(),
      router: test.router,
      mirror: test.mirror,
      filter: createFilter({ mirroredRegistries: [], registryFilters: [] }),
      defaultRegistry: "docker.io",
      uploads: new TransferLimits({ maxStreams: 0, bytesPerSecond: 0 }),
      chunkList: () => Promise.resolve(undefined),
      log: silentLogger,
    }),
    log: silentLogger,
    observer: {
      started: () => {},
      finished: () => {},
      ended: () => {},
      sending: (answer, client) => live.sending(answer, client),
    },
  });
  const port = await server.listen({ host: "127.0.0.1", port: 0 });
  try {
    const target = `/v2/library/test/blobs/${BLOB.digest}`;
    const toClient = () => live.finished().filter(({ direction }) => direction === "to-client");
    using client = await RawClient.connect(port);
    assert.equal((await client.request("GET", target)).body.length, 20_000_000);
    await eventually("it is over", () => toClient().length === 1);
    assert.deepEqual(toClient().map(outcome), [["to-client", 20_000_000, 20_000_000, true]]);
    assert.deepEqual(toClient()[0]?.parties, ["127.0.0.1"]);
    using hasty = await RawClient.connect(port);
    await hasty.ask("GET", target);
    await hasty.receiveHead();
    hasty.close();
    await eventually("it is broken off", () => live.list().transfers.length === 0);
    assert.ok(toClient().slice(0, -1).every(({ isComplete }) => !isComplete));
    assert.ok(live.totals.peers >= 20_000_000 && live.totals.peers < 40_000_000);
  } finally {
    await server.close(0);
  }
});
