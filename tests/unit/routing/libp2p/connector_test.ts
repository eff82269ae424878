import assert from "node:assert/strict";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { UnavailableError } from "../../../../lib/errors.ts";
import type { Bootstrapper } from "../../../../lib/routing/bootstrap/bootstrapper.ts";
import {
  Connector,
  endpointOf,
  MISSED_RECHECK_MS,
  RECHECK_MS,
  RETRY_MS,
} from "../../../../lib/routing/libp2p/connector.ts";
import { recordingLog } from "../../cli/recording_log.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { makePeerId } from "../../support/peer_ids.ts";

const OWN_ID = `${await makePeerId(0)}`;
const OTHER_ID = `${await makePeerId(1)}`;
const OWN_ADDRESS = "/ip4/10.0.0.1/tcp/5001";

/** A connector of a node, a bootstrapper and names that a test controls. */
function connectorOf(told: string[]) {
  const clock = new FakeClock();
  const { log, lines } = recordingLog();
  const abort = new AbortController();
  const world = {
    told,
    /** What the bootstrapper fails with. */
    failure: undefined as string | undefined,
    names: {} as Record<string, string[]>,
    peerCount: 0,
    missed: [] as string[],
    connected: new Set<string>(),
    /** What dialling does: true for a connection, false for the node itself. */
    dial: (_address: string): Promise<boolean> => Promise.resolve(true),
  };
  const dialed: { address: string; at: number }[] = [];
  const bootstrapper: Bootstrapper = {
    kind: "fake",
    run: () => Promise.resolve(),
    peers: () =>
      world.failure === undefined
        ? Promise.resolve([...world.told])
        : Promise.reject(new UnavailableError(world.failure)),
  };
  const connector = new Connector({
    node: {
      id: OWN_ID,
      addresses: () => [multiaddr(`${OWN_ADDRESS}/p2p/${OWN_ID}`)],
      isConnected: (address: Multiaddr) => world.connected.has(address.toString()),
      dial: (address: Multiaddr) => {
        dialed.push({ address: address.toString(), at: clock.now() });
        return world.dial(address.toString());
      },
      peerCount: () => world.peerCount,
      missed: () => world.missed.map((text) => multiaddr(text)),
    },
    bootstrapper,
    routerPort: 5001,
    log,
    sleep: clock.sleep,
    resolve: (name) => {
      const found = world.names[name];
      return found === undefined ? Promise.reject(new Error("ENOTFOUND")) : Promise.resolve(found);
    },
  });
  // Begins after the test has prepared the world.
  const running = Promise.resolve().then(() => connector.run(abort.signal));
  return {
    clock,
    lines,
    world,
    dialed,
    connector,
    /** Addresses dialled so far. */
    addresses: () => dialed.map(({ address }) => address),
    /** Messages logged so far, with their level. */
    messages: () => lines.map(({ level, msg }) => `${level} ${msg}`),
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await running;
    },
  };
}

Deno.test("Connector dials what the bootstrapper tells, with the router's port where there is none", async () => {
  await using it = connectorOf([
    "/ip4/10.0.0.2",
    "/ip6/fd00::2",
    "/ip4/10.0.0.3/tcp/7001",
    `/ip4/10.0.0.4/tcp/80/ws/p2p/${OTHER_ID}`,
  ]);
  await settle();
  assert.deepEqual(it.addresses(), [
    "/ip4/10.0.0.2/tcp/5001",
    "/ip6/fd00::2/tcp/5001",
    "/ip4/10.0.0.3/tcp/7001",
    `/ip4/10.0.0.4/tcp/80/ws/p2p/${OTHER_ID}`,
  ]);
  assert.deepEqual(it.connector.state, { answered: true, others: 4, failure: undefined });
});

Deno.test("Connector dials all addresses of a name, with what stands behind the name", async () => {
  await using it = connectorOf([
    `/dns/node-2/tcp/7001/p2p/${OTHER_ID}`,
    "/dns/node-3",
    "/dns/gone",
  ]);
  it.world.names = { "node-2": ["10.0.0.2", "fd00::2"], "node-3": ["10.0.0.3"] };
  await settle();
  assert.deepEqual(it.addresses(), [
    `/ip4/10.0.0.2/tcp/7001/p2p/${OTHER_ID}`,
    `/ip6/fd00::2/tcp/7001/p2p/${OTHER_ID}`,
    "/ip4/10.0.0.3/tcp/5001",
  ]);
});

Deno.test("Connector leaves out what it cannot use, and takes the rest", async () => {
  await using it = connectorOf(["nonsense", "/ip4/999.0.0.1", "/ip4/10.0.0.2"]);
  await settle();
  assert.deepEqual(it.addresses(), ["/ip4/10.0.0.2/tcp/5001"]);
});

Deno.test("Connector does not dial the node itself, neither by its ID nor by its address", async () => {
  await using it = connectorOf([
    "/ip4/10.0.0.1",
    OWN_ADDRESS,
    `/ip4/192.168.0.1/tcp/5001/p2p/${OWN_ID}`,
  ]);
  await settle();
  assert.deepEqual(it.addresses(), []);
  assert.deepEqual(it.connector.state, { answered: true, others: 0, failure: undefined });
  assert.deepEqual(it.messages(), ["INFO no other nodes yet"]);
});

Deno.test("an address that turns out to be the node's own counts as none", async () => {
  await using it = connectorOf(["/ip4/192.168.0.1"]);
  it.world.dial = () => Promise.resolve(false);
  await settle();
  assert.deepEqual(it.connector.state, { answered: true, others: 0, failure: undefined });
  assert.deepEqual(it.messages(), ["INFO no other nodes yet"]);
});

Deno.test("Connector tries again with growing pauses while it is alone", async () => {
  await using it = connectorOf(["/ip4/10.0.0.2"]);
  it.world.dial = () => Promise.reject(new Error("refused"));
  await it.clock.advance(20_000);
  const times = it.dialed.map(({ at }) => at);
  assert.deepEqual(times.slice(0, 5), [0, 500, 1500, 3500, 7500]);
  const pauses = times.slice(1).map((at, index) => at - times[index]!);
  assert.equal(Math.max(...pauses), RETRY_MS.most);
  assert.match(it.connector.state.failure ?? "", /10\.0\.0\.2.*refused/);
});

Deno.test("Connector looks now and then while it has peers, and dials only who is not connected", async () => {
  await using it = connectorOf(["/ip4/10.0.0.2", "/ip4/10.0.0.3"]);
  it.world.peerCount = 2;
  it.world.connected.add("/ip4/10.0.0.2/tcp/5001");
  await it.clock.advance(2 * RECHECK_MS);
  assert.deepEqual(
    it.dialed,
    [0, RECHECK_MS, 2 * RECHECK_MS].map((at) => ({ address: "/ip4/10.0.0.3/tcp/5001", at })),
  );
});

Deno.test("the pauses grow from the start again after peers were lost", async () => {
  await using it = connectorOf(["/ip4/10.0.0.2"]);
  it.world.dial = () => Promise.reject(new Error("refused"));
  await it.clock.advance(20_000);
  it.world.peerCount = 1;
  await it.clock.advance(RECHECK_MS);
  it.world.peerCount = 0;
  await it.clock.advance(RECHECK_MS);
  it.dialed.length = 0;
  const before = it.clock.now();
  await it.clock.advance(RETRY_MS.most);
  assert(it.dialed.length >= 1, `dialled again within ${it.clock.now() - before} ms`);
});

Deno.test("Connector looks for missed peers soon and where they were, whatever the bootstrapper tells", async () => {
  await using it = connectorOf([]);
  it.world.failure = "no answer";
  it.world.peerCount = 1;
  it.world.missed = ["/ip4/10.0.0.9/tcp/5001"];
  it.world.dial = () => Promise.reject(new Error("refused"));
  await it.clock.advance(2 * MISSED_RECHECK_MS);
  assert.deepEqual(
    it.dialed,
    [0, 1, 2].map((turn) => ({ address: "/ip4/10.0.0.9/tcp/5001", at: turn * MISSED_RECHECK_MS })),
  );
  it.world.missed = [];
  it.dialed.length = 0;
  await it.clock.advance(RECHECK_MS);
  assert.deepEqual(it.dialed, []);
});

Deno.test("Connector logs changes only", async () => {
  await using it = connectorOf([]);
  it.world.failure = "no such name";
  await it.clock.advance(60_000);
  it.world.failure = undefined;
  await it.clock.advance(60_000);
  it.world.told = ["/ip4/10.0.0.2"];
  it.world.dial = () => Promise.reject(new Error("refused"));
  await it.clock.advance(60_000);
  it.world.dial = () => Promise.resolve(true);
  it.world.peerCount = 1;
  await it.clock.advance(300_000);
  assert.deepEqual(it.messages(), [
    "WARN bootstrap failed, trying again",
    "INFO no other nodes yet",
    "WARN no bootstrap peer can be reached, trying again",
    "INFO connected to peers",
  ]);
  assert.equal(it.lines[0]!["failure"], "no such name");
});

Deno.test("Connector is quiet between a connection and the peer's entry into the routing table", async () => {
  await using it = connectorOf(["/ip4/10.0.0.2"]);
  await it.clock.advance(RETRY_MS.first);
  assert.deepEqual(it.messages(), []);
  it.world.peerCount = 1;
  await it.clock.advance(RETRY_MS.most);
  assert.deepEqual(it.messages(), ["INFO connected to peers"]);
});

Deno.test("Connector.state says that the bootstrapper has not answered, and why", async () => {
  await using it = connectorOf([]);
  assert.deepEqual(it.connector.state, {
    answered: false,
    others: 0,
    failure: "bootstrap has not begun",
  });
  it.world.failure = "no such name";
  await it.clock.advance(10_000);
  assert.deepEqual(it.connector.state, { answered: false, others: 0, failure: "no such name" });
});

Deno.test("Connector.run() ends at once with its signal, also while it waits", async () => {
  const it = connectorOf([]);
  it.world.peerCount = 1;
  await settle();
  assert.equal(it.clock.sleepers, 1);
  await it[Symbol.asyncDispose]();
  assert.equal(it.clock.sleepers, 0);
});

Deno.test("endpointOf() is the same for the same endpoint", () => {
  const same = [
    "/ip4/10.0.0.2/tcp/5001",
    "/ip6/::ffff:10.0.0.2/tcp/5001",
    `/ip4/10.0.0.2/tcp/5001/ws/p2p/${OTHER_ID}`,
  ].map((text) => endpointOf(multiaddr(text)));
  assert.equal(new Set(same).size, 1);
  assert.notEqual(same[0], endpointOf(multiaddr("/ip4/10.0.0.2/tcp/5002")));
});
