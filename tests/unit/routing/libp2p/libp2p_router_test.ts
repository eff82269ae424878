import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { generateKeyPair } from "@libp2p/crypto/keys";
import { peerIdFromString } from "@libp2p/peer-id";
import { lpStream } from "@libp2p/utils";
import { multiaddr } from "@multiformats/multiaddr";
import { concatenate } from "../../../../lib/concatenate.ts";
import { ConfigError, UnavailableError } from "../../../../lib/errors.ts";
import { StaticBootstrapper } from "../../../../lib/routing/bootstrap/static.ts";
import { DHT_PROTOCOL } from "../../../../lib/routing/libp2p/dht.ts";
import { withoutPeerId } from "../../../../lib/routing/libp2p/peer_addresses.ts";
import { providerKey } from "../../../../lib/routing/libp2p/provider_key.ts";
import {
  encodeAddProvider,
  encodeFormerProvider,
  encodePing,
  encodeProvider,
} from "../../../../lib/routing/libp2p/provider_message.ts";
import { markKey } from "../../../../lib/routing/libp2p/telling.ts";
import { eventually } from "../../support/eventually.ts";
import { freePort } from "../../support/free_port.ts";
import { type BareNode, startBareNode } from "../../support/libp2p_node.ts";
import { Libp2pCluster, type Libp2pNode, startNode } from "../../support/router_cluster.ts";
import { findsExactly, idsOf, lookupAll, testRouterCompliance } from "../compliance.ts";

testRouterCompliance("Libp2pRouter", () => Libp2pCluster.create());

const KEY = "registry.test/team/app:v1";
const NOBODY = new StaticBootstrapper([]);

async function connect(from: BareNode, to: Libp2pNode): Promise<void> {
  await from.node.dial(to.addresses.map((address) => multiaddr(address)));
}

/** Waits until a node of another make holds the record that a router provides a key. */
async function isTold({ records }: BareNode, provider: Libp2pNode, key: string): Promise<void> {
  const { recordName } = providerKey(key);
  await eventually(
    `${key} is told`,
    () => records.providersOf(recordName).some(({ peer }) => peer === provider.id),
  );
}

Deno.test("a node that was restarted at once is told again what the others have", async () => {
  await using cluster = await Libp2pCluster.create();
  const node = await cluster.start("a", []);
  await node.router.advertise([KEY]);
  const identity = await generateKeyPair("Ed25519");
  for (let start = 0; start < 3; start++) {
    await using peer = await startBareNode(undefined, identity);
    await connect(peer, node);
    await isTold(peer, node, KEY);
  }
});

Deno.test("a peer that came from another address is told with the one that it announces", async () => {
  await using cluster = await Libp2pCluster.create();
  const node = await cluster.start("a", []);
  await using peer = await startBareNode(undefined, undefined, "127.0.0.9");
  await connect(peer, node);
  const found = await eventually("it is a peer", async () => (await node.router.peers())[0]);
  assert.equal(found.id, peer.id);
  assert.equal(found.addresses[0], "127.0.0.9");
});

Deno.test("a plain node of kad-dht finds what a router provides, and is found", async () => {
  await using cluster = await Libp2pCluster.create();
  const node = await cluster.start("a", []);
  await node.router.advertise([KEY]);
  await using plain = await startBareNode();
  await connect(plain, node);
  await isTold(plain, node, KEY);
  await using late = await startBareNode();
  await connect(late, node);
  await eventually("the plain node finds the router by asking", async () => {
    const { cid } = providerKey(KEY);
    for await (const { id } of late.node.contentRouting.findProviders(cid)) {
      if (id.toString() === node.id) return true;
    }
    return false;
  });
  await eventually("the router finds the plain node", async () => {
    const { cid } = providerKey("of the plain node");
    await plain.node.contentRouting.provide(cid);
    return (await idsOf(node.router, "of the plain node")).includes(plain.id);
  });
});

Deno.test("a withdrawn key is not answered to others", async () => {
  await using cluster = await Libp2pCluster.create();
  const node = await cluster.start("a", []);
  await node.router.advertise([KEY, "other"]);
  await node.router.withdraw([KEY]);
  await using plain = await startBareNode();
  await connect(plain, node);
  await isTold(plain, node, "other");
  const found = await Array.fromAsync(
    plain.node.contentRouting.findProviders(providerKey(KEY).cid),
  );
  assert.deepEqual(found.map(({ id }) => id.toString()), []);
});

Deno.test("a key that is withdrawn is found by nobody any more, and found again when it is advertised anew", async () => {
  await using cluster = await Libp2pCluster.create();
  const node = await cluster.join("a");
  const others = [await cluster.join("b"), await cluster.join("c")];
  await node.router.advertise([KEY, "other"]);
  for (const other of others) await findsExactly(other, KEY, [node]);
  await node.router.withdraw([KEY]);
  for (const other of others) await findsExactly(other, KEY, []);
  await node.router.advertise([KEY]);
  for (const other of others) {
    await findsExactly(other, KEY, [node]);
    await findsExactly(other, "other", [node]);
  }
});

Deno.test("what a peer sent before and what arrives late, on another stream, changes nothing", async () => {
  await using cluster = await Libp2pCluster.create();
  const node = await cluster.start("a", []);
  await using peer = await startBareNode();
  await connect(peer, node);
  const id = peer.node.peerId.toMultihash().bytes;
  const addresses = peer.node.getMultiaddrs().map((address) => withoutPeerId(address).bytes);
  const announced = encodeAddProvider(providerKey(KEY).multihash, encodeProvider(id, addresses));
  const former = encodeFormerProvider(id);
  const withdrawn = encodeAddProvider(providerKey(KEY).multihash, former);
  const mark = (sequence: number) =>
    encodeAddProvider(markKey({ kind: "goes on", epoch: "00".repeat(8), sequence }), former);
  const openStream = async () => {
    const stream = await peer.node.dialProtocol(peerIdFromString(node.id), DHT_PROTOCOL);
    const messages = lpStream(stream);
    return async (...bytes: Uint8Array<ArrayBuffer>[]) => {
      stream.send(concatenate([...bytes, encodePing()]));
      await messages.read(); // The answer to the ping: all before it was handled.
    };
  };
  const [first, second] = [await openStream(), await openStream()];
  await first(mark(1));
  await second(mark(2), announced);
  await first(withdrawn);
  await findsExactly(node, KEY, [{ id: peer.id, router: node.router }]);
  await second(mark(3), withdrawn);
  await findsExactly(node, KEY, []);
});

Deno.test("a router tells its connections, and streams that are gone when nobody uses them", async () => {
  await using cluster = await Libp2pCluster.create();
  const [a, b] = [await cluster.join("a"), await cluster.join("b")];
  await a.router.advertise([KEY]);
  await findsExactly(b, KEY, [a]);
  for (const { router } of [a, b]) {
    assert(router.links().connections >= 1);
    await eventually("no stream is left", () => router.links().streams === 0);
  }
  await b.router.stop();
  await eventually("its connection is gone", () => a.router.links().connections === 0);
});

Deno.test("what a node had before it was restarted is found no more, unless it has it still", async () => {
  await using cluster = await Libp2pCluster.create();
  const other = await cluster.join("b");
  const before = await cluster.join("a");
  await before.router.advertise([KEY, "gone"]);
  await findsExactly(other, "gone", [before]);
  await before.router.stop();
  const after = await cluster.join("a");
  await after.router.advertise([KEY]);
  await findsExactly(other, "gone", []);
  await findsExactly(other, KEY, [after]);
});

Deno.test("a single node is ready and quiet, whatever its own address in the bootstrap looks like", async () => {
  await using cluster = await Libp2pCluster.create();
  const port = freePort();
  const listenAddr = { host: undefined, port };
  // An address that leads to the node, but that it does not know as its own.
  for (const bootstrap of [[], ["/ip4/127.0.0.2"], [`/ip4/127.0.0.2/tcp/${port}`]]) {
    const node = await cluster.start("a", bootstrap, { listenAddr });
    await eventually("it is ready", async () => (await node.router.status()).ready);
    assert.deepEqual(await node.router.status(), { ready: true, detail: "no other nodes" });
    await node.router.stop();
    const levels = new Set(node.messages().map((message) => message.split(" ")[0]));
    assert.deepEqual([...levels], ["INFO"]);
    assert(node.messages().length <= 4, node.messages().join());
  }
});

Deno.test("a node whose bootstrap peer cannot be reached is not ready, and says why", async () => {
  await using cluster = await Libp2pCluster.create();
  const port = freePort();
  const node = await cluster.start("a", [`/ip4/127.0.0.1/tcp/${port}`]);
  await eventually("it says why", async () => {
    const { ready, detail } = await node.router.status();
    assert(!ready);
    return detail.includes(`/ip4/127.0.0.1/tcp/${port}`);
  });
  assert.deepEqual(await lookupAll(node.router, KEY), []);
  // The peer comes.
  const peer = await cluster.start("b", [], { listenAddr: { host: "127.0.0.1", port } });
  await eventually("it is ready", async () => (await node.router.status()).ready);
  await peer.router.advertise([KEY]);
  await findsExactly(node, KEY, [peer]);
  const warnings = node.messages().filter((message) => !message.startsWith("INFO"));
  assert.deepEqual(warnings, ["WARN no bootstrap peer can be reached, trying again"]);
});

Deno.test("a node without an answer from its bootstrapper is not ready, and says why", async () => {
  const node = await startNode({
    bootstrapper: {
      kind: "fake",
      run: () => Promise.reject(new Error("cannot publish")),
      peers: () => Promise.reject(new UnavailableError("no such name")),
    },
  });
  await eventually("it says why", async () => {
    const { ready, detail } = await node.router.status();
    assert(!ready);
    return detail === "no peers: no such name";
  });
  assert(node.messages().includes("ERROR the bootstrapper failed"));
  await node.router.stop();
});

Deno.test("ten nodes that start at the same time find one another and everything", async () => {
  await using cluster = await Libp2pCluster.create();
  const first = await cluster.start("node 0", []);
  const others = await Promise.all(
    Array.from({ length: 9 }, (_, index) => cluster.start(`node ${index + 1}`, first.addresses)),
  );
  const nodes = [first, ...others];
  for (const [index, { router }] of nodes.entries()) await router.advertise([KEY, `key ${index}`]);
  await eventually("all know all", async () => {
    const peers = await Promise.all(nodes.map(({ router }) => router.peers()));
    return peers.every(({ length }) => length === 9);
  });
  for (const [index, node] of nodes.entries()) {
    const asking = nodes[(index + 1) % nodes.length]!;
    await findsExactly(asking, `key ${index}`, [node]);
    await findsExactly(node, KEY, nodes.filter((other) => other !== node));
  }
});

Deno.test("nodes reach one another over WebSocket, too", async () => {
  await using cluster = await Libp2pCluster.create();
  const node = await cluster.start("a", [], { websocketAddr: { host: "127.0.0.1", port: 0 } });
  const websocket = node.addresses.filter((address) => address.includes("/ws"));
  assert.equal(websocket.length, 1);
  const other = await cluster.start("b", websocket);
  await node.router.advertise([KEY]);
  await findsExactly(other, KEY, [node]);
});

Deno.test("a node keeps its identity in its data folder", async () => {
  await using cluster = await Libp2pCluster.create();
  const first = await cluster.start("a", []);
  await first.router.stop();
  const second = await cluster.start("a", []);
  assert.equal(second.id, first.id);
});

Deno.test("createLibp2pRouter() says where it cannot listen", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  await assert.rejects(
    startNode({ listenAddr: { host: "127.0.0.1", port }, bootstrapper: NOBODY }),
    (error: Error) => error instanceof UnavailableError && error.message.includes(`/tcp/${port}`),
  );
  await assert.rejects(
    startNode({ listenAddr: { host: "localhost", port: 0 }, bootstrapper: NOBODY }),
    ConfigError,
  );
});

Deno.test("a program whose router has stopped ends by itself", async () => {
  await using cluster = await Libp2pCluster.create();
  const node = await cluster.start("a", []);
  await node.router.advertise([KEY]);
  const script = fileURLToPath(new URL("../../support/router_program.ts", import.meta.url));
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script, KEY, ...node.addresses],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  // What libp2p's time limits hold up is at most ten seconds; anything that holds it for good is a leak.
  const timer = setTimeout(() => child.kill("SIGKILL"), 120_000);
  const { success, signal, stdout } = await child.output();
  clearTimeout(timer);
  assert.equal(signal, null, "it had to be killed");
  assert(success);
  assert.equal(new TextDecoder().decode(stdout), node.id, "it has found what it looked for");
  await eventually("it is no peer any more", async () => (await node.router.peers()).length === 0);
  const [lost] = await eventually("it is told as lost", () => {
    const all = node.router.lost();
    return all.length === 1 && all;
  });
  assert((lost?.addresses.length ?? 0) > 0);
  assert((lost?.agoMs ?? -1) >= 0);
});
