import assert from "node:assert/strict";
import {
  ConnectionPool,
  IDLE_CONNECTION_MS,
  MAX_IDLE_CONNECTIONS,
  MAX_IDLE_PER_PEER,
} from "../../../lib/transfer/connection_pool.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { fakeTimers } from "../support/fake_timers.ts";

/** A listener, and connections to it, all of which must be closed in the end. */
class Connections implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #accepted: Deno.Conn[] = [];

  async open(): Promise<Deno.TcpConn> {
    const { port } = this.#listener.addr;
    const [connection, accepted] = await Promise.all([
      Deno.connect({ hostname: "127.0.0.1", port }),
      this.#listener.accept(),
    ]);
    this.#accepted.push(accepted);
    return connection;
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const connection of this.#accepted) connection.close();
  }
}

function isOpen(connection: Deno.TcpConn): boolean {
  try {
    connection.setNoDelay(true);
    return true;
  } catch {
    return false;
  }
}

/** A test with a clock, after which no connection or timer may be left: the sanitizers see to that. */
function test(
  name: string,
  run: (pool: ConnectionPool, connections: Connections, clock: FakeClock) => Promise<void>,
): void {
  Deno.test(`ConnectionPool ${name}`, async () => {
    const clock = new FakeClock();
    using _timers = fakeTimers(clock);
    using connections = new Connections();
    {
      using pool = new ConnectionPool();
      await run(pool, connections, clock);
    }
    await clock.advance(0);
    assert.equal(clock.sleepers, 0, "no timer is left");
  });
}

test("hands out the connection that was used last, by address", async (pool, connections) => {
  const [first, second, other] = [
    await connections.open(),
    await connections.open(),
    await connections.open(),
  ];
  assert.equal(pool.take("a"), undefined);
  pool.give("a", first);
  pool.give("a", second);
  pool.give("b", other);
  assert.equal(pool.size, 3);
  assert.equal(pool.take("a"), second);
  assert.equal(pool.take("a"), first);
  assert.equal(pool.take("a"), undefined);
  assert.equal(pool.size, 1);
  first.close();
  second.close();
});

test("closes a connection that nobody wants for a while", async (pool, connections, clock) => {
  const [first, second] = [await connections.open(), await connections.open()];
  pool.give("a", first);
  await clock.advance(IDLE_CONNECTION_MS / 2);
  pool.give("a", second);
  await clock.advance(IDLE_CONNECTION_MS / 2);
  assert.deepEqual([first, second].map(isOpen), [false, true]);
  assert.equal(pool.size, 1);
  await clock.advance(IDLE_CONNECTION_MS / 2);
  assert.equal(isOpen(second), false);
  assert.equal(pool.size, 0);
});

test(
  "lets the time of a connection begin anew when it is given back",
  async (pool, connections, clock) => {
    const connection = await connections.open();
    for (let round = 0; round < 3; round++) {
      pool.give("a", connection);
      await clock.advance(IDLE_CONNECTION_MS - 1);
      assert.equal(pool.take("a"), connection);
      await clock.advance(IDLE_CONNECTION_MS);
      assert.ok(isOpen(connection), "while it is used it does not expire");
    }
    connection.close();
  },
);

test("keeps only so many connections to one peer", async (pool, connections) => {
  const all: Deno.TcpConn[] = [];
  for (let count = 0; count <= MAX_IDLE_PER_PEER; count++) all.push(await connections.open());
  for (const connection of all) pool.give("a", connection);
  assert.equal(pool.size, MAX_IDLE_PER_PEER);
  assert.equal(isOpen(all.at(-1)!), false);
});

test("keeps only so many connections in all, and closes the oldest", async (pool, connections) => {
  const all: Deno.TcpConn[] = [];
  for (let count = 0; count <= MAX_IDLE_CONNECTIONS; count++) {
    const connection = await connections.open();
    all.push(connection);
    pool.give(`peer${Math.floor(count / 2)}`, connection);
  }
  assert.equal(pool.size, MAX_IDLE_CONNECTIONS);
  assert.deepEqual(all.map(isOpen).indexOf(true), 1);
});

test(
  "closes all connections in the end, and those that come back later",
  async (pool, connections) => {
    const [first, late] = [await connections.open(), await connections.open()];
    pool.give("a", first);
    pool[Symbol.dispose]();
    assert.equal(isOpen(first), false);
    pool.give("a", late);
    assert.equal(isOpen(late), false);
    assert.equal(pool.take("a"), undefined);
  },
);
