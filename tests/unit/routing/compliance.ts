/**
 * What every router must do. Runs against all implementations.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { LookupOptions, Peer, Router } from "../../../lib/routing/router.ts";
import { eventually } from "../support/eventually.ts";

/** A node of the cluster that a test makes. */
export interface RouterNode {
  readonly router: Router;
  /** Its identity, as others see it. */
  readonly id: string;
}

/** A cluster without nodes, and a way to start them. Disposing stops them all. */
export interface ClusterFixture extends AsyncDisposable {
  /**
   * Starts a node and waits until it and all others that run know each other.
   *
   * @param name Nodes of the same name have the same identity; they must not run at the same time.
   */
  join(name: string): Promise<RouterNode>;
}

const DIGEST = `sha256:${"a1".repeat(32)}`;
const TAG = "registry.test:5000/team/app:v1.2";

/** All peers that one lookup yields, in order. */
export async function lookupAll(
  router: Router,
  key: string,
  options?: LookupOptions,
): Promise<Peer[]> {
  return await Array.fromAsync(router.lookup(key, options));
}

/** Identities of all peers that one lookup yields, sorted. */
export async function idsOf(router: Router, key: string): Promise<string[]> {
  return (await lookupAll(router, key)).map(({ id }) => id).sort();
}

/** Waits until a lookup yields exactly these nodes: telling the network may go on in the background. */
export async function findsExactly(
  { router }: RouterNode,
  key: string,
  nodes: readonly RouterNode[],
): Promise<void> {
  const wanted = nodes.map(({ id }) => id).sort().join();
  let found = "";
  await eventually(`lookup of ${key}`, async () => {
    found = (await idsOf(router, key)).join();
    return found === wanted;
  }).catch((error) => {
    throw new Error(`${error.message}: found [${found}] instead of [${wanted}]`);
  });
}

/**
 * Registers the tests.
 *
 * @param name Name of the implementation.
 * @param create Makes a cluster without nodes.
 */
export function testRouterCompliance(name: string, create: () => Promise<ClusterFixture>): void {
  const test = (behaviour: string, run: (cluster: ClusterFixture) => Promise<void>) =>
    Deno.test(`${name} ${behaviour}`, async () => {
      await using cluster = await create();
      await run(cluster);
    });

  test("finds the node that advertises a key, be it a digest or a tag", async (cluster) => {
    const [a, b] = [await cluster.join("a"), await cluster.join("b")];
    await a.router.advertise([DIGEST, TAG]);
    for (const key of [DIGEST, TAG]) {
      await findsExactly(b, key, [a]);
      const [peer] = await lookupAll(b.router, key);
      assert(peer!.addresses.length > 0);
      assert(peer!.addresses.every((address) => /^[0-9a-f.:]+$/.test(address)), "IP literals");
      assert(peer!.registryPort > 0);
    }
  });

  test("finds nobody for a key that nobody advertises", async (cluster) => {
    const [a, b] = [await cluster.join("a"), await cluster.join("b")];
    await a.router.advertise([TAG]);
    await findsExactly(b, TAG, [a]);
    assert.deepEqual(await lookupAll(b.router, `${TAG}3`), []);
    assert.deepEqual(await lookupAll(b.router, ""), []);
  });

  test("finds nobody while the node is alone", async (cluster) => {
    const a = await cluster.join("a");
    assert.deepEqual(await lookupAll(a.router, DIGEST), []);
  });

  test("never yields the node itself", async (cluster) => {
    const a = await cluster.join("a");
    await a.router.advertise([DIGEST]);
    assert.deepEqual(await lookupAll(a.router, DIGEST), []);
    const b = await cluster.join("b");
    await b.router.advertise([DIGEST]);
    await findsExactly(a, DIGEST, [b]);
    await findsExactly(b, DIGEST, [a]);
  });

  test("yields each of several providers once", async (cluster) => {
    const [a, b, c] = [await cluster.join("a"), await cluster.join("b"), await cluster.join("c")];
    for (const { router } of [a, b]) {
      await router.advertise([DIGEST]);
      await router.advertise([DIGEST, TAG]);
    }
    await findsExactly(c, DIGEST, [a, b]);
    await findsExactly(b, DIGEST, [a]);
  });

  test("stops after the wanted number of peers", async (cluster) => {
    const nodes = [await cluster.join("a"), await cluster.join("b")];
    const c = await cluster.join("c");
    for (const { router } of nodes) await router.advertise([DIGEST]);
    await findsExactly(c, DIGEST, nodes);
    for (const [count, found] of [[1, 1], [2, 2], [3, 2], [0, 2]] as const) {
      assert.equal((await lookupAll(c.router, DIGEST, { count })).length, found, `count ${count}`);
    }
  });

  test("ends a lookup without an error when its signal is aborted", async (cluster) => {
    const nodes = [await cluster.join("a"), await cluster.join("b")];
    const c = await cluster.join("c");
    for (const { router } of nodes) await router.advertise([DIGEST]);
    await findsExactly(c, DIGEST, nodes);
    const signal = AbortSignal.abort();
    assert.deepEqual(await lookupAll(c.router, DIGEST, { signal }), []);
    const abort = new AbortController();
    const found: string[] = [];
    for await (const { id } of c.router.lookup(DIGEST, { signal: abort.signal })) {
      found.push(id);
      abort.abort();
    }
    assert.equal(found.length, 1);
  });

  test("can be left in the middle of a lookup, again and again", async (cluster) => {
    const nodes = [await cluster.join("a"), await cluster.join("b")];
    const c = await cluster.join("c");
    for (const { router } of nodes) await router.advertise([DIGEST]);
    await findsExactly(c, DIGEST, nodes);
    for (let i = 0; i < 300; i++) {
      let found = 0;
      for await (const _peer of c.router.lookup(DIGEST)) {
        found += 1;
        break;
      }
      assert.equal(found, 1);
    }
    await findsExactly(c, DIGEST, nodes);
  });

  test("answers many lookups at the same time", async (cluster) => {
    const [a, b] = [await cluster.join("a"), await cluster.join("b")];
    const keys = Array.from({ length: 100 }, (_, index) => `${TAG}-${index}`);
    await a.router.advertise(keys.filter((_, index) => index % 2 === 0));
    await findsExactly(b, keys.at(-2)!, [a]);
    const found = await Promise.all(keys.map((key) => idsOf(b.router, key)));
    assert.deepEqual(found, keys.map((_, index) => index % 2 === 0 ? [a.id] : []));
  });

  test("finds what was advertised before anybody was there", async (cluster) => {
    const a = await cluster.join("a");
    await a.router.advertise([DIGEST]);
    const b = await cluster.join("b");
    await findsExactly(b, DIGEST, [a]);
    const c = await cluster.join("c");
    await findsExactly(c, DIGEST, [a]);
  });

  test("finds thousands of keys that one node advertises", async (cluster) => {
    const [a, b] = [await cluster.join("a"), await cluster.join("b")];
    const keys = Array.from({ length: 3000 }, (_, index) => `${TAG}-${index}`);
    await a.router.advertise(keys);
    for (let first = 0; first < keys.length; first += 100) {
      await Promise.all(
        keys.slice(first, first + 100).map((key) => findsExactly(b, key, [a])),
      );
    }
  });

  test("announces a withdrawn key to nobody who comes later", async (cluster) => {
    const a = await cluster.join("a");
    await a.router.advertise([DIGEST, TAG]);
    await a.router.withdraw([DIGEST, "never advertised"]);
    const b = await cluster.join("b");
    await findsExactly(b, TAG, [a]);
    assert.deepEqual(await lookupAll(b.router, DIGEST), []);
  });

  test("does not offer a forgotten peer for that key again, but for others", async (cluster) => {
    const nodes = [await cluster.join("a"), await cluster.join("b")];
    const [a, b] = nodes as [RouterNode, RouterNode];
    const c = await cluster.join("c");
    for (const { router } of nodes) await router.advertise([DIGEST, TAG]);
    for (const key of [DIGEST, TAG]) await findsExactly(c, key, nodes);
    const peers = await lookupAll(c.router, DIGEST);
    await a.router.withdraw([DIGEST]);
    c.router.forget(DIGEST, peers.find(({ id }) => id === a.id)!);
    for (let i = 0; i < 3; i++) assert.deepEqual(await idsOf(c.router, DIGEST), [b.id]);
    await findsExactly(c, TAG, nodes);
  });

  test("offers a forgotten peer again that announces the key anew", async (cluster) => {
    const [a, b] = [await cluster.join("a"), await cluster.join("b")];
    for (let i = 0; i < 3; i++) {
      await a.router.advertise([DIGEST]);
      await findsExactly(b, DIGEST, [a]);
      const [peer] = await lookupAll(b.router, DIGEST);
      await a.router.withdraw([DIGEST]);
      b.router.forget(DIGEST, peer!);
      assert.deepEqual(await lookupAll(b.router, DIGEST), []);
    }
  });

  test("offers a forgotten peer again that comes back and announces the key", async (cluster) => {
    const b = await cluster.join("b");
    let a = await cluster.join("a");
    for (let i = 0; i < 2; i++) {
      await a.router.advertise([DIGEST]);
      await findsExactly(b, DIGEST, [a]);
      b.router.forget(DIGEST, (await lookupAll(b.router, DIGEST))[0]!);
      assert.deepEqual(await lookupAll(b.router, DIGEST), []);
      await a.router.stop();
      a = await cluster.join("a");
    }
    await a.router.advertise([DIGEST]);
    await findsExactly(b, DIGEST, [a]);
  });

  test("tells a node that comes back what the others have", async (cluster) => {
    const a = await cluster.join("a");
    await a.router.advertise([DIGEST]);
    for (let i = 0; i < 3; i++) {
      const b = await cluster.join("b");
      await findsExactly(b, DIGEST, [a]);
      await b.router.stop();
    }
  });

  test("does not yield a node that has left", async (cluster) => {
    const [a, b, c] = [await cluster.join("a"), await cluster.join("b"), await cluster.join("c")];
    for (const { router } of [a, b]) await router.advertise([DIGEST]);
    await findsExactly(c, DIGEST, [a, b]);
    await a.router.stop();
    await findsExactly(c, DIGEST, [b]);
    await eventually("it is no peer any more", async () => (await c.router.peers()).length === 1);
  });

  test("knows the other nodes as peers", async (cluster) => {
    const a = await cluster.join("a");
    assert.deepEqual(await a.router.peers(), []);
    const [b, c] = [await cluster.join("b"), await cluster.join("c")];
    for (const [node, others] of [[a, [b, c]], [b, [a, c]], [c, [a, b]]] as const) {
      const peers = await node.router.peers();
      assert.deepEqual(peers.map(({ id }) => id).sort(), others.map(({ id }) => id).sort());
      assert(
        peers.every(({ addresses, registryPort }) => addresses.length > 0 && registryPort > 0),
      );
      assert.equal(node.router.self().id, node.id);
      assert(node.router.self().addresses.length > 0);
      assert.deepEqual(node.router.lost(), []);
    }
  });

  test("is ready, alone and with peers, and not after it was stopped", async (cluster) => {
    const a = await cluster.join("a");
    await eventually("alone it is ready", async () => (await a.router.status()).ready);
    const b = await cluster.join("b");
    for (const { router } of [a, b]) {
      const status = await router.status();
      assert(status.ready);
      assert.match(status.detail, /^1 peers$/);
    }
    await a.router.stop();
    const { ready, detail } = await a.router.status();
    assert(!ready);
    assert.match(detail, /stopped/);
  });

  test("can be stopped twice, also at the same time", async (cluster) => {
    const [a, b] = [await cluster.join("a"), await cluster.join("b")];
    await Promise.all([a.router.stop(), a.router.stop()]);
    await a.router.stop();
    await b.router.stop();
  });

  test("ends lookups when it is stopped, and later ones at once", async (cluster) => {
    const nodes = [await cluster.join("a"), await cluster.join("b")];
    const c = await cluster.join("c");
    for (const { router } of nodes) await router.advertise([DIGEST]);
    await findsExactly(c, DIGEST, nodes);
    const found: string[] = [];
    let stopping: Promise<void> | undefined;
    for await (const { id } of c.router.lookup(DIGEST)) {
      found.push(id);
      stopping = c.router.stop();
    }
    await stopping;
    assert.equal(found.length, 1);
    assert.deepEqual(await lookupAll(c.router, DIGEST), []);
    await c.router.advertise([TAG]);
    await c.router.withdraw([TAG]);
    assert.deepEqual(await c.router.peers(), []);
  });
}
