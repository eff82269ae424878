import assert from "node:assert/strict";
import {
  MAX_PROBED_PEERS,
  PeerProbes,
  PROBE_INTERVAL_MS,
  PROBES_AT_ONCE,
} from "../../../lib/debug/peer_probes.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

function peerAt(number: number): { id: string; addresses: string[]; registryPort: number } {
  return { id: `peer ${number}`, addresses: [`10.0.0.${number}`], registryPort: 5000 };
}

Deno.test("PeerProbes tells latency and state of each peer, some time after the first look", async () => {
  const clock = new FakeClock();
  const probes = new PeerProbes((url) => {
    if (url === "http://10.0.0.1:5000/readyz") {
      return Promise.resolve({ status: 200, milliseconds: 1.5 });
    }
    if (url === "http://[fd00::2]:5000/readyz") {
      return Promise.resolve({ status: 503, milliseconds: 2 });
    }
    return Promise.reject(new Error(`${url} does not answer`));
  }, clock.now);
  const peers = [
    peerAt(1),
    { id: "peer 2", addresses: ["10.9.9.9", "fd00::2"], registryPort: 5000 },
    peerAt(3),
    { id: "peer 4", addresses: [], registryPort: 5000 },
  ];
  assert.deepEqual(probes.look(peers), {});
  await settle();
  await clock.advance(400);
  assert.deepEqual(probes.look(peers), {
    "peer 1": { state: "ready", latencyMs: 1.5, agoMs: 400 },
    "peer 2": { state: "not-ready", latencyMs: 2, agoMs: 400 },
    "peer 3": {
      state: "silent",
      failure: "http://10.0.0.3:5000/readyz does not answer",
      agoMs: 400,
    },
    "peer 4": { state: "silent", failure: "has no address", agoMs: 400 },
  });
  assert.deepEqual(Object.keys(probes.look([peerAt(1)])), ["peer 1"], "only of peers there are");
});

Deno.test("PeerProbes asks no more often than it should, and only while somebody looks", async () => {
  const clock = new FakeClock();
  let asked = 0;
  const probes = new PeerProbes(() => {
    asked += 1;
    return Promise.resolve({ status: 200, milliseconds: 1 });
  }, clock.now);
  for (let looks = 0; looks < 5; looks++) {
    probes.look([peerAt(1)]);
    await settle();
  }
  assert.equal(asked, 1);
  await clock.advance(PROBE_INTERVAL_MS * 3);
  assert.equal(asked, 1);
  probes.look([peerAt(1)]);
  await settle();
  assert.equal(asked, 2);
});

Deno.test("PeerProbes asks a bounded number of peers, some at a time, and never twice at once", async () => {
  const clock = new FakeClock();
  const waiting: (() => void)[] = [];
  let asked = 0;
  const probes = new PeerProbes(() => {
    asked += 1;
    const { promise, resolve } = Promise.withResolvers<{ status: number; milliseconds: number }>();
    waiting.push(() => resolve({ status: 200, milliseconds: 1 }));
    return promise;
  }, clock.now);
  const peers = Array.from({ length: MAX_PROBED_PEERS + 10 }, (_, number) => peerAt(number));
  probes.look(peers);
  assert.equal(asked, PROBES_AT_ONCE);
  await clock.advance(PROBE_INTERVAL_MS * 2);
  probes.look(peers);
  assert.equal(asked, PROBES_AT_ONCE, "the round is not over");
  while (waiting.length > 0) {
    waiting.splice(0).forEach((answer) => answer());
    await settle();
  }
  assert.equal(asked, MAX_PROBED_PEERS);
});
