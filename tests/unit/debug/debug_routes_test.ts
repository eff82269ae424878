import assert from "node:assert/strict";
import { Activity } from "../../../lib/debug/activity.ts";
import { locate, MAX_LOCATED_PEERS } from "../../../lib/debug/locate.ts";
import { UnavailableError } from "../../../lib/errors.ts";
import { MemoryNetwork, MemoryRouter } from "../../../lib/routing/memory_router.ts";
import { MemoryStore } from "../../../lib/store/memory_store.ts";
import { startDoctorNode } from "../doctor/doctor_node.ts";
import { makeContent } from "../support/content.ts";
import { RawClient } from "../support/raw_client.ts";

const NAME = "docker.io/library/test:v1";
const NEVER = new AbortController().signal;

Deno.test("/debug/status tells identity, parts, peers, counts and settings", async () => {
  const network = new MemoryNetwork();
  const peer = { id: "b", addresses: ["10.0.0.2"], registryPort: 5000, zone: "z", version: "9" };
  new MemoryRouter({ network, self: peer });
  await using node = await startDoctorNode({ network, id: "a" });
  const state = await node.client.state();
  assert.equal(state.kind, "told");
  const { status } = state;
  assert.equal(status.id, "a");
  assert.deepEqual(status.addresses, ["127.0.0.1"]);
  assert.deepEqual(status.store, { name: "memory", ready: true, detail: status.store.detail });
  assert.deepEqual(status.router, { name: "memory", ready: true, detail: "1 peers" });
  assert.deepEqual(status.peers, [peer]);
  assert.deepEqual(status.lost, []);
  assert.deepEqual(status.links, { connections: 0, streams: 0 });
  assert.equal(status.advertised, undefined);
  assert.deepEqual(status.uploads, { active: 1, most: 64, bytesPerSecond: 0 });
  assert.equal(status.settings.registryPort, node.node.port);
  node.activity.setAdvertised({
    tags: new Map([["docker.io", 2]]),
    images: new Map([["docker.io", 1], ["quay.io", 2]]),
    contents: new Map(),
  });
  const later = await node.client.state();
  assert.equal(later.kind, "told");
  assert.deepEqual(later.status.advertised, { tags: 2, images: 3, contents: 0 });
});

Deno.test("/debug/locate finds content here and at peers, by digest and by tag", async () => {
  const network = new MemoryNetwork();
  await using node = await startDoctorNode({ network, id: "a" });
  const { bytes, digest } = makeContent(300);
  const peer = { id: "b", addresses: ["10.0.0.2"], registryPort: 5000 };
  const router = new MemoryRouter({ network, self: peer });
  await router.advertise([digest, NAME]);
  const absent = await node.client.locate(digest);
  assert.deepEqual(absent.local, { present: false });
  assert.deepEqual(absent.peers, [peer]);
  assert.equal(absent.complete, true);
  node.node.store.tag(NAME, node.node.store.put(bytes));
  for (const key of [digest, NAME]) {
    assert.deepEqual((await node.client.locate(key)).local, { present: true, digest, size: 300 });
  }
});

Deno.test("/debug/locate refuses what is no key", async () => {
  await using node = await startDoctorNode();
  using client = await RawClient.connect(node.metricsPort);
  const queries = [
    "",
    "?key=",
    "?key=nginx",
    "?key=sha256:abc",
    `?key=${NAME}@${makeContent(1).digest}`,
  ];
  for (const query of queries) {
    assert.equal((await client.request("GET", `/debug/locate${query}`)).status, 400, query);
  }
});

Deno.test("locate() bounds the number of peers, ends with its signal, and tells a failing store", async () => {
  const network = new MemoryNetwork();
  const router = new MemoryRouter({
    network,
    self: { id: "self", addresses: ["10.0.0.1"], registryPort: 1 },
  });
  for (let number = 0; number < MAX_LOCATED_PEERS + 5; number++) {
    const self = { id: `peer ${number}`, addresses: ["10.0.0.2"], registryPort: 1 };
    await new MemoryRouter({ network, self }).advertise([NAME]);
  }
  const store = new MemoryStore();
  store.resolve = () => Promise.reject(new UnavailableError("containerd is away"));
  const parts = { store, router, now: () => 0 };
  const all = await locate(parts, NAME, NEVER);
  assert.equal(all.peers.length, MAX_LOCATED_PEERS);
  assert.equal(all.complete, false);
  assert.deepEqual(all.local, { present: false, failure: "containerd is away" });
  const ended = await locate(parts, NAME, AbortSignal.abort());
  assert.deepEqual([ended.peers, ended.complete], [[], false]);
});

Deno.test("Activity counts requests without probes, and those of containerd", () => {
  const told: string[] = [];
  const activity = new Activity({
    started: (handler) => told.push(`started ${handler}`),
    finished: ({ path }) => told.push(`finished ${path}`),
    ended: (handler) => told.push(`ended ${handler}`),
  });
  for (const handler of ["/v2/*", "/readyz", "/livez", "/v2/*"]) activity.started(handler);
  assert.equal(activity.requests, 2);
  const answer = { status: 200, headers: {}, body: undefined, facts: { handler: "v2" } } as const;
  const exchange = { method: "GET", path: "/v2/", handler: "/v2/*", status: 200, bytes: 0 };
  for (const agent of [undefined, "kagami", "containerd/1.6.20", "not containerd/1"]) {
    const own = agent === undefined ? {} : { agent };
    activity.finished({ ...exchange, seconds: 0, complete: true, answer, ...own });
  }
  assert.equal(activity.containerdRequests, 1);
  for (const handler of ["/v2/*", "/readyz", "/livez"]) activity.ended(handler);
  assert.equal(activity.requests, 1);
  assert.equal(told.length, 11, "all is passed on");
});

Deno.test("/readyz tells which node answers, ready or not", async () => {
  for (const ready of [true, false]) {
    const router = { status: () => Promise.resolve({ ready, detail: "" }) };
    await using node = await startDoctorNode({ id: "the node", router });
    const { status, headers } = await node.client.registry("/readyz");
    assert.equal(status, ready ? 200 : 503);
    assert.equal(headers.get("x-kagami-node"), "the node");
  }
});
