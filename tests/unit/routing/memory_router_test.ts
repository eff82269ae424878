import assert from "node:assert/strict";
import { FORGET_MILLISECONDS } from "../../../lib/routing/forgotten.ts";
import { MemoryNetwork, MemoryRouter } from "../../../lib/routing/memory_router.ts";
import { type ClusterFixture, idsOf, testRouterCompliance } from "./compliance.ts";

function peerOf(name: string) {
  return { id: `id of ${name}`, addresses: ["10.0.0.1"], registryPort: 5000 };
}

function createCluster(): Promise<ClusterFixture> {
  const network = new MemoryNetwork();
  const routers: MemoryRouter[] = [];
  return Promise.resolve({
    join(name) {
      const self = peerOf(name);
      const router = new MemoryRouter({ network, self });
      routers.push(router);
      return Promise.resolve({ router, id: self.id });
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(routers.map((router) => router.stop()));
    },
  });
}

testRouterCompliance("MemoryRouter", createCluster);

Deno.test("MemoryRouter offers a forgotten peer again after a while", async () => {
  const network = new MemoryNetwork();
  let time = 0;
  const now = () => time;
  const a = new MemoryRouter({ network, self: peerOf("a"), now });
  const b = new MemoryRouter({ network, self: peerOf("b"), now });
  await a.advertise(["key"]);
  b.forget("key", peerOf("a"));
  assert.deepEqual(await idsOf(b, "key"), []);
  time += FORGET_MILLISECONDS;
  assert.deepEqual(await idsOf(b, "key"), ["id of a"]);
});
