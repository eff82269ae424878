import assert from "node:assert/strict";
import "../../../../lib/routing/libp2p/monotonic_averages.ts";
import { AdaptiveTimeout, MovingAverage } from "@libp2p/utils";
import { Libp2pCluster } from "../../support/router_cluster.ts";
import { findsExactly } from "../compliance.ts";

const DAY_MS = 24 * 3600_000;

/** The system's clock, which can be stepped. Monotonic time goes on. */
function steppedClock() {
  const original = Date.now;
  let offset = 0;
  Date.now = () => original() + offset;
  return {
    step: (ms: number) => void (offset += ms),
    [Symbol.dispose]: () => void (Date.now = original),
  };
}

Deno.test("a moving average stays a number, however the clock is stepped", () => {
  using clock = steppedClock();
  const average = new MovingAverage(5000);
  for (const step of [0, -DAY_MS, 0, 400 * DAY_MS, -800 * DAY_MS, 0]) {
    clock.step(step);
    average.push(100);
    assert.equal(Math.round(average.movingAverage), 100);
  }
});

Deno.test("an adaptive time limit works on after the clock was set back", () => {
  using clock = steppedClock();
  const limit = new AdaptiveTimeout({ minTimeout: 1000, maxTimeout: 2000 });
  for (let round = 0; round < 4; round++) {
    const signal = limit.getTimeoutSignal();
    assert(signal.timeout >= 1000 && signal.timeout <= 2000);
    limit.cleanUp(signal);
    clock.step(-DAY_MS);
  }
});

Deno.test("nodes whose clock was set back find newcomers, and are found", async () => {
  using clock = steppedClock();
  await using cluster = await Libp2pCluster.create();
  const nodes = [await cluster.join("a"), await cluster.join("b")];
  for (let round = 0; round < 2; round++) {
    clock.step(-DAY_MS);
    const peer = await cluster.join(`newcomer ${round}`);
    await peer.router.advertise([`key ${round}`]);
    for (const node of nodes) await findsExactly(node, `key ${round}`, [peer]);
    nodes.push(peer);
  }
});
