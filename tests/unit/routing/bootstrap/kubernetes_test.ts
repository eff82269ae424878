import assert from "node:assert/strict";
import { UnavailableError } from "../../../../lib/errors.ts";
import { MAX_BOOTSTRAP_ADDRESSES } from "../../../../lib/routing/bootstrap/bootstrapper.ts";
import {
  KubernetesBootstrapper,
  LEASE_DURATION_SECONDS,
  OBSERVE_INTERVAL_MS,
} from "../../../../lib/routing/bootstrap/kubernetes.ts";
import {
  createLeaseClient,
  type LeaseClient,
} from "../../../../lib/routing/bootstrap/lease_client.ts";
import { recordingLog } from "../../cli/recording_log.ts";
import { eventually } from "../../support/eventually.ts";
import { type FakeApiServer, startFakeApiServer } from "../../support/fake_api_server.ts";
import { FakeClock } from "../../support/fake_clock.ts";

const NEVER = new AbortController().signal;
const NAME = "kagami-bootstrap";
const FULL_NAME = `default/${NAME}`;

/** Longest time until somebody takes over from a leader that is gone, jitter and one round included. */
const TAKEOVER_MS = LEASE_DURATION_SECONDS * 1000 + 3 * 1.2 * OBSERVE_INTERVAL_MS;

interface Member {
  readonly id: string;
  readonly address: string;
  readonly bootstrapper: KubernetesBootstrapper;
  /** Messages of its log, with their level. */
  messages(): string[];
  /** Stops it in order. */
  stop(): Promise<void>;
  /** Cuts it off from the API server from now on, as a crash would. */
  die(): void;
}

/** Nodes that share a Lease, on one clock that stands still between their rounds. */
class Election implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly members: Member[] = [];
  #running = 0;

  private constructor(readonly server: FakeApiServer) {}

  static async start(): Promise<Election> {
    return new Election(await startFakeApiServer());
  }

  /** Adds a node. Its clock may be off by some time. */
  add(id: string, skewMs = 0): Member {
    const { log, lines } = recordingLog();
    const abort = new AbortController();
    const address = `/ip4/10.0.0.${this.members.length + 1}/tcp/5001/p2p/${id}`;
    let isDead = false;
    const { server, credentials } = this.server;
    const client = createLeaseClient({ name: NAME, namespace: "default", server, credentials });
    const alive = <T>(work: () => Promise<T>) =>
      isDead ? Promise.reject(new UnavailableError("cut off")) : work();
    const bootstrapper = new KubernetesBootstrapper({
      client: {
        read: (signal) => alive(() => client.read(signal)),
        write: (record, version, signal) => alive(() => client.write(record, version, signal)),
        [Symbol.dispose]: () => client[Symbol.dispose](),
      } satisfies LeaseClient,
      log,
      now: () => this.clock.now() + skewMs,
      sleep: this.clock.sleep,
    });
    this.#running += 1;
    const running = bootstrapper.run({ self: () => [address], signal: abort.signal })
      .finally(() => this.#running -= 1);
    const member = {
      id,
      address,
      bootstrapper,
      messages: () => lines.map(({ level, msg }) => `${level} ${msg}`),
      stop: async () => {
        abort.abort();
        await running;
      },
      die: () => void (isDead = true),
    };
    this.members.push(member);
    return member;
  }

  /** Waits until all nodes have done their round and wait for the next. */
  async idle(): Promise<void> {
    await eventually("all rounds are done", () => this.clock.sleepers === this.#running);
  }

  /** Lets time go by, round by round. */
  async pass(ms: number): Promise<void> {
    await this.idle();
    for (let passed = 0; passed < ms; passed += 1000) {
      await this.clock.advance(1000);
      await this.idle();
    }
  }

  /** Who holds the Lease. */
  get holder(): string | undefined {
    return this.server.leases.get(FULL_NAME)?.spec.holderIdentity;
  }

  member(id: string | undefined): Member {
    return this.members.find((member) => member.id === id)!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()));
    await this.server[Symbol.asyncDispose]();
  }
}

Deno.test("of nodes that start at the same time one leads, and all learn its addresses", async () => {
  await using election = await Election.start();
  for (const id of ["a", "b", "c"]) election.add(id);
  await election.idle();
  const leader = election.member(election.holder);
  for (const { bootstrapper } of election.members) {
    assert.deepEqual(await bootstrapper.peers(NEVER), [leader.address]);
  }
  const messages = election.members.flatMap((member) => member.messages());
  assert.deepEqual(messages, ["INFO leads the bootstrap"]);
});

Deno.test("the leader stays while it renews", async () => {
  await using election = await Election.start();
  for (const id of ["a", "b", "c"]) election.add(id);
  await election.idle();
  const leader = election.holder;
  await election.pass(10 * TAKEOVER_MS);
  assert.equal(election.holder, leader);
  assert.equal(election.server.leases.get(FULL_NAME)!.spec.leaseTransitions, 1);
});

Deno.test("another node takes over from a leader that died, and only one", async () => {
  await using election = await Election.start();
  for (const id of ["a", "b", "c"]) election.add(id);
  await election.idle();
  const dead = election.member(election.holder);
  dead.die();
  await election.pass((LEASE_DURATION_SECONDS - 1) * 1000);
  assert.equal(election.holder, dead.id, "not before the Lease has run out");
  await election.pass(TAKEOVER_MS);
  const leader = election.member(election.holder);
  assert.notEqual(leader, dead);
  assert.equal(election.server.leases.get(FULL_NAME)!.spec.leaseTransitions, 2);
  for (const member of election.members.filter((member) => member !== dead)) {
    assert.deepEqual(await member.bootstrapper.peers(NEVER), [leader.address]);
  }
  await election.pass(3 * TAKEOVER_MS);
  assert.equal(election.holder, leader.id);
});

Deno.test("a leader that stops in order leaves the Lease to the next one at once", async () => {
  await using election = await Election.start();
  for (const id of ["a", "b"]) election.add(id);
  await election.idle();
  const leader = election.member(election.holder);
  await leader.stop();
  assert.equal(election.holder, "");
  const left = election.members.find((member) => member !== leader)!;
  assert.deepEqual(
    await left.bootstrapper.peers(NEVER),
    [leader.address],
    "until there is another",
  );
  await election.pass(1.2 * OBSERVE_INTERVAL_MS);
  assert.equal(election.holder, left.id);
  assert.deepEqual(await left.bootstrapper.peers(NEVER), [left.address]);
});

Deno.test("a node that does not lead leaves the Lease alone when it stops", async () => {
  await using election = await Election.start();
  const leader = election.add("a");
  await election.idle();
  const other = election.add("b");
  await election.idle();
  await other.stop();
  assert.equal(election.holder, leader.id);
});

Deno.test("a leader whose Lease was taken while it was cut off follows", async () => {
  await using election = await Election.start();
  const first = election.add("a");
  await election.idle();
  election.add("b");
  await election.idle();
  const lease = election.server.leases.get(FULL_NAME)!;
  election.server.leases.set(FULL_NAME, {
    metadata: { ...lease.metadata, resourceVersion: "9999" },
    spec: { ...lease.spec, holderIdentity: "b" },
  });
  await election.pass(1.2 * OBSERVE_INTERVAL_MS);
  assert.equal(election.holder, "b");
  assert.deepEqual(first.messages(), [
    "INFO leads the bootstrap",
    "INFO no longer leads the bootstrap",
  ]);
});

Deno.test("a write between a node's look and its own is not overwritten", async () => {
  await using election = await Election.start();
  // Somebody else creates the Lease just before this node does.
  election.server.beforeWrite = () => {
    election.server.beforeWrite = undefined;
    election.server.leases.set(FULL_NAME, {
      metadata: { name: NAME, resourceVersion: "1" },
      spec: { holderIdentity: "faster", leaseDurationSeconds: 30 },
    });
  };
  const late = election.add("a");
  await election.idle();
  assert.equal(election.holder, "faster");
  // And somebody else takes it over just before this node does.
  election.server.beforeWrite = () => {
    election.server.beforeWrite = undefined;
    election.server.leases.set(FULL_NAME, {
      metadata: { name: NAME, resourceVersion: "2" },
      spec: { holderIdentity: "faster again", leaseDurationSeconds: 30 },
    });
  };
  await eventually("it has tried", async () => {
    await election.pass(1000);
    return election.server.beforeWrite === undefined;
  });
  assert.equal(election.holder, "faster again");
  assert.deepEqual(late.messages(), []);
});

Deno.test("clocks that differ do not matter, neither nodes' nor the time in the Lease", async () => {
  await using election = await Election.start();
  const hour = 60 * 60 * 1000;
  election.add("behind", -hour);
  await election.idle();
  election.add("ahead", hour);
  election.add("right");
  await election.idle();
  for (const renewTime of ["1970-01-01T00:00:00.000000Z", "2100-01-01T00:00:00.000000Z"]) {
    election.server.leases.get(FULL_NAME)!.spec.renewTime = renewTime;
    await election.pass(2 * TAKEOVER_MS);
    assert.equal(election.holder, "behind");
  }
  election.member("behind").die();
  await election.pass(TAKEOVER_MS);
  assert(["ahead", "right"].includes(election.holder!));
});

Deno.test("nodes go on when the API server is back after a while, and log its absence once", async () => {
  await using election = await Election.start();
  for (const id of ["a", "b"]) election.add(id);
  await election.idle();
  for (const fault of ["reset", 500] as const) {
    election.server.fault = fault;
    await election.pass(3 * TAKEOVER_MS);
    for (const { bootstrapper } of election.members) {
      await assert.rejects(bootstrapper.peers(NEVER), UnavailableError);
    }
    election.server.fault = undefined;
    await election.pass(TAKEOVER_MS);
    const { address } = election.member(election.holder);
    for (const { bootstrapper } of election.members) {
      assert.deepEqual(await bootstrapper.peers(NEVER), [address]);
    }
  }
  for (const member of election.members) {
    const errors = member.messages().filter((message) => message.startsWith("ERROR"));
    assert.equal(errors.length, 2, member.messages().join());
    assert.equal(
      member.messages().filter((message) => message.endsWith("takes part in the election again"))
        .length,
      2,
    );
  }
});

Deno.test("an API server that hangs holds up a round only as long as a request may take", async () => {
  await using election = await Election.start();
  const node = election.add("a");
  await election.idle();
  election.server.fault = "hang";
  await election.pass(1.2 * OBSERVE_INTERVAL_MS);
  assert.deepEqual(
    node.messages().at(-1),
    "ERROR cannot take part in the election of the bootstrap leader",
  );
  election.server.fault = undefined;
  await election.pass(1.2 * OBSERVE_INTERVAL_MS);
  assert.deepEqual(node.messages().at(-1), "INFO takes part in the election again");
});

Deno.test("a role that does not allow it is told, with what to check", async () => {
  await using election = await Election.start();
  election.server.fault = 403;
  const node = election.add("a");
  await election.pass(2 * TAKEOVER_MS);
  assert.deepEqual(node.messages(), [
    "ERROR cannot take part in the election of the bootstrap leader",
  ]);
  await assert.rejects(
    node.bootstrapper.peers(NEVER),
    (error: Error) =>
      error instanceof UnavailableError &&
      /answers 403.*service account's role/.test(error.message),
  );
});

Deno.test("a rotated token is taken up with the next round", async () => {
  await using election = await Election.start();
  const node = election.add("a");
  await election.idle();
  election.server.tokens = new Set(["fresh"]);
  await Deno.writeTextFile(`${election.server.credentials}/token`, "fresh");
  await election.pass(3 * OBSERVE_INTERVAL_MS);
  const last = election.server.requests.at(-1)!;
  assert.equal(last.token, "fresh");
  assert.equal(last.status, 200);
  assert.deepEqual(await node.bootstrapper.peers(NEVER), [node.address]);
});

Deno.test("a deleted Lease is made anew", async () => {
  await using election = await Election.start();
  for (const id of ["a", "b"]) election.add(id);
  await election.idle();
  election.server.leases.clear();
  await election.pass(1.2 * OBSERVE_INTERVAL_MS);
  assert(["a", "b"].includes(election.holder!));
  assert.deepEqual(
    election.members.flatMap((member) => member.messages()).filter((text) =>
      !text.startsWith("INFO")
    ),
    [],
  );
});

Deno.test("addresses that nobody can dial are left out, and their number is bounded", async () => {
  await using election = await Election.start();
  const { bootstrapper } = election.add("a");
  await election.idle();
  assert.equal((await bootstrapper.peers(NEVER)).length, 1);
  const good = Array.from({ length: 50 }, (_, index) => `/ip4/10.1.0.${index}/tcp/5001`);
  const lease = election.server.leases.get(FULL_NAME)!;
  const addresses = ["nonsense", "", "/tcp/1", ...good].join(",");
  lease.metadata.annotations = { "kagami.dev/addresses": addresses };
  assert.deepEqual(await bootstrapper.peers(NEVER), good.slice(0, MAX_BOOTSTRAP_ADDRESSES));
  delete lease.metadata.annotations;
  assert.deepEqual(await bootstrapper.peers(NEVER), []);
});

Deno.test("a node without addresses does not lead", async () => {
  await using election = await Election.start();
  const { server, credentials } = election.server;
  const abort = new AbortController();
  const bootstrapper = new KubernetesBootstrapper({
    client: createLeaseClient({ name: NAME, namespace: "default", server, credentials }),
    log: recordingLog().log,
    sleep: election.clock.sleep,
  });
  const running = bootstrapper.run({ self: () => [], signal: abort.signal });
  await eventually("its round is done", () => election.clock.sleepers === 1);
  assert.equal(election.holder, undefined);
  abort.abort();
  await running;
});

Deno.test("a node stops although the API server does not answer", async () => {
  await using election = await Election.start();
  const node = election.add("a");
  await election.idle();
  election.server.fault = "hang";
  await node.stop();
  assert.equal(election.holder, "a", "it runs out by itself");
});
