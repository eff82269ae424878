import assert from "node:assert/strict";
import type { NodeStatus } from "../../../lib/debug/node_status.ts";
import { FINDINGS } from "../../../lib/doctor/finding.ts";
import { problemsOf } from "../../../lib/doctor/problems.ts";

const PEERS = ["b", "c"].map((id) => ({ id, addresses: ["10.0.0.2"], registryPort: 5000 }));
const SILENT = { state: "silent", failure: "10.0.0.2:5000 does not answer", agoMs: 0 } as const;
const READY = { state: "ready", latencyMs: 1, agoMs: 0 } as const;

const GOOD: NodeStatus = {
  version: "1",
  id: "a",
  addresses: ["10.0.0.1"],
  uptimeSeconds: 1,
  store: { name: "containerd", ready: true, detail: "" },
  router: { name: "libp2p", ready: true, detail: "2 peers" },
  peers: PEERS,
  lost: [],
  links: { connections: 1, streams: 0 },
  requests: 0,
  uploads: { active: 0, most: 0, bytesPerSecond: 0 },
  downloads: { active: 0, most: 0, bytesPerSecond: 0 },
  containerdRequests: 0,
  settings: {
    store: "containerd",
    registryPort: 5000,
    mirroredRegistries: [],
    registryFilters: [],
    defaultRegistry: "docker.io",
  },
};

function remediesOf(
  changes: Partial<NodeStatus>,
  probes: Parameters<typeof problemsOf>[1] = {},
): unknown[] {
  return problemsOf({ ...GOOD, ...changes }, probes).map(({ remedy }) => remedy);
}

Deno.test("problemsOf() finds nothing where all is well, and waits for answers", () => {
  assert.deepEqual(remediesOf({}), []);
  assert.deepEqual(remediesOf({}, { b: READY, c: READY }), []);
});

Deno.test("problemsOf() names each problem with its remedy", () => {
  const away = { name: "containerd", ready: false, detail: "no socket" };
  assert.deepEqual(remediesOf({ store: away }), [FINDINGS["containerd-silent"].remedy]);
  const layout = { ...GOOD.settings, store: "oci-layout" } as const;
  assert.deepEqual(remediesOf({ store: away, settings: layout }), [
    FINDINGS["layout-unreadable"].remedy,
  ]);
  const alone = { peers: [], router: { name: "libp2p", ready: true, detail: "no other nodes" } };
  assert.deepEqual(remediesOf(alone), [FINDINGS["peers-alone"].remedy]);
  const lost = [{ id: "d", addresses: ["10.0.0.4"], agoMs: 5000 }];
  assert.deepEqual(remediesOf({ ...alone, lost }), [
    FINDINGS["peers-none"].remedy,
    FINDINGS["peer-lost"].remedy,
  ]);
  assert.deepEqual(remediesOf({}, { b: SILENT, c: READY }), [FINDINGS["peer-silent"].remedy]);
  assert.deepEqual(remediesOf({}, { b: SILENT, c: SILENT }), [FINDINGS["peers-silent"].remedy]);
  const [problem] = problemsOf({ ...GOOD, lost }, {});
  assert.equal(problem?.what, "d at 10.0.0.4 was lost 5 s ago");
});
