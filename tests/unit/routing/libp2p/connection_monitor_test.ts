import assert from "node:assert/strict";
import { multiaddr } from "@multiformats/multiaddr";
import {
  MONITOR_INTERVAL_MS,
  MONITOR_PAUSE_MS,
  monitorConnections,
  type MonitoredConnection,
  SILENCE_MS,
} from "../../../../lib/routing/libp2p/connection_monitor.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { startBareNode } from "../../support/libp2p_node.ts";

/** One turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** A connection that answers or not, and tells when it was looked at. */
class FakeConnection implements MonitoredConnection {
  status = "open";
  readonly looks: number[] = [];
  readonly #now: () => number;
  readonly #answer: (signal: AbortSignal) => Promise<number>;

  constructor(now: () => number, answer: (signal: AbortSignal) => Promise<number>) {
    this.#now = now;
    this.#answer = answer;
  }

  readonly muxer = {
    ping: ({ signal }: { signal: AbortSignal }) => {
      this.looks.push(this.#now());
      return this.#answer(signal);
    },
  };

  abort(): void {
    this.status = "closed";
  }
}

const answers = () => Promise.resolve(1);

/** Never answers; fails when the signal says so. */
function silent(signal: AbortSignal): Promise<number> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}

function monitorOf(make: (clock: FakeClock) => FakeConnection[]) {
  const clock = new FakeClock();
  const connections = make(clock);
  const abort = new AbortController();
  const running = monitorConnections(
    {
      connections: () => connections.filter(({ status }) => status === "open"),
      sleep: clock.sleep,
    },
    abort.signal,
  );
  return {
    clock,
    connections,
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await running;
    },
  };
}

Deno.test("a connection whose peer answers stays, one whose peer is silent is closed", async () => {
  await using it = monitorOf(({ now }) => [
    new FakeConnection(now, answers),
    new FakeConnection(now, silent),
  ]);
  await it.clock.advance(3 * MONITOR_INTERVAL_MS);
  assert.deepEqual(it.connections.map(({ status }) => status), ["open", "closed"]);
  assert.equal(it.connections[1]!.looks.length, 1);
});

Deno.test("a connection that cannot even be asked is closed", async () => {
  const refuses = () => Promise.reject(new Error("closed by the peer"));
  await using it = monitorOf(({ now }) => [new FakeConnection(now, refuses)]);
  await it.clock.advance(2 * MONITOR_INTERVAL_MS);
  assert.equal(it.connections[0]!.status, "closed");
});

Deno.test("an answer within the time limit is in time", async () => {
  await using it = monitorOf((clock) => [
    new FakeConnection(clock.now, async (signal) => {
      await clock.sleep(SILENCE_MS - 1, signal);
      signal.throwIfAborted();
      return 1;
    }),
  ]);
  await it.clock.advance(5 * MONITOR_INTERVAL_MS);
  assert.equal(it.connections[0]!.status, "open");
  assert(it.connections[0]!.looks.length >= 3);
});

Deno.test("connections are looked at one after the other, each about every ten seconds", async () => {
  await using it = monitorOf(({ now }) =>
    Array.from({ length: 20 }, () => new FakeConnection(now, answers))
  );
  await it.clock.advance(4 * MONITOR_INTERVAL_MS);
  const all = it.connections.flatMap(({ looks }) => looks);
  assert.equal(new Set(all).size, all.length, "no two at the same time");
  for (const { looks } of it.connections) {
    assert(looks.length >= 3 && looks.length <= 4, `${looks.length} looks`);
  }
});

Deno.test("very many connections are looked at less often", async () => {
  await using it = monitorOf(({ now }) =>
    Array.from({ length: 1000 }, () => new FakeConnection(now, answers))
  );
  const span = 10_000;
  await it.clock.advance(span);
  const all = it.connections.flatMap(({ looks }) => looks);
  assert(all.length > 0 && all.length <= span / MONITOR_PAUSE_MS, `${all.length} looks`);
});

Deno.test("time in which this process was held up does not count as the peer's silence", async () => {
  // Each wait ends a second late, and the answer is there after ten seconds in all.
  let time = 0;
  const connection = new FakeConnection(() => time, async (signal) => {
    while (time < 10_000 && !signal.aborted) await turn();
    signal.throwIfAborted();
    return 1;
  });
  const abort = new AbortController();
  const late = async (ms: number) => {
    // As timers of a busy process: late, and what has come meanwhile is read in between.
    await turn();
    time += ms + 1000;
  };
  const running = monitorConnections(
    { connections: () => [connection], sleep: late },
    abort.signal,
  );
  await eventually("it has been looked at twice", () => connection.looks.length >= 2);
  abort.abort();
  await running;
  assert.equal(connection.status, "open");
});

Deno.test("a connection of libp2p can be looked at, and its peer answers", async () => {
  await using here = await startBareNode(() => {});
  await using there = await startBareNode(() => {});
  const [address] = there.node.getMultiaddrs();
  const connection = await here.node.dial(multiaddr(address!.toString()));
  const { muxer } = connection as unknown as MonitoredConnection;
  const ping = muxer?.ping?.bind(muxer);
  assert(ping !== undefined, "else no connection would be looked at");
  assert(await ping({ signal: AbortSignal.timeout(5000) }) >= 0);
});
