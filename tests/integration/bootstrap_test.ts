/**
 * How nodes find one another, in every way that there is.
 *
 * @module
 */
import assert from "node:assert/strict";
import { DnsServer } from "./harness/dns_server.ts";
import { PORTS } from "./harness/mirror_process.ts";
import type { NetworkNode } from "./harness/network.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";
import { SeedCluster, type SeedNode } from "./harness/seed_nodes.ts";

const DOMAIN = "kagami-bootstrap.kagami.svc.cluster.test";
const HTTP_BOOTSTRAP_PORT = 5002;
const WEBSOCKET_PORT = 5004;

function staticPeers(...peers: readonly string[]): Record<string, string> {
  return { BOOTSTRAP_KIND: "static", STATIC_BOOTSTRAP_PEERS: peers.join(",") };
}

function routerOf({ ip }: NetworkNode): string {
  return `${ip}:${PORTS.router}`;
}

function startAll(nodes: readonly SeedNode[], env: Record<string, string>): Promise<void[]> {
  return Promise.all(nodes.map((node) => node.start(env)));
}

Deno.test({
  name: "nodes join by the DNS name of a headless service that is filled after their start",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using cluster = await SeedCluster.create(3);
    const dnsNode = await cluster.network.addNode("dns");
    await using dns = await DnsServer.start(dnsNode, cluster.folder, DOMAIN);
    for (const { node } of cluster.nodes) await dns.serve(cluster.network, node);
    await startAll(cluster.nodes, { BOOTSTRAP_KIND: "dns", DNS_BOOTSTRAP_DOMAIN: DOMAIN });

    await t.step("without an address they are not ready, and say why", async () => {
      for (const node of cluster.nodes) {
        await cluster.isNotReady(node, new RegExp(`no peers: cannot resolve ${DOMAIN}`));
      }
    });

    await t.step("a node that is told only itself is ready", async () => {
      await dns.publish([cluster.node(1).node.ip]);
      await cluster.node(1).mirror.ready();
    });

    await t.step("with all addresses they join", async () => {
      await dns.publish(cluster.nodes.map(({ node }) => node.ip));
      await cluster.isJoined();
    });

    await t.step("they stay joined while the DNS server is away", async () => {
      await dns.publish([]);
      await cluster.node(2).mirror.kill();
      await cluster.node(1).mirror.answers(404, cluster.node(2).blobPath);
      await cluster.node(3).mirror.answersFrom([cluster.node(1).mirror], cluster.node(1).blobPath);
      await dns.publish([cluster.node(1).node.ip]);
      await cluster.node(2).mirror.startAgain();
      await cluster.isJoined();
    });
  },
});

Deno.test({
  name: "nodes join by HTTP, from the node that tells its identity at /id",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await SeedCluster.create(3);
    const [one] = cluster.nodes;
    await startAll(cluster.nodes, {
      BOOTSTRAP_KIND: "http",
      HTTP_BOOTSTRAP_ADDR: `:${HTTP_BOOTSTRAP_PORT}`,
      HTTP_BOOTSTRAP_PEER: `http://${one!.node.ip}:${HTTP_BOOTSTRAP_PORT}`,
    });
    await cluster.isJoined();
    const url = `http://${one!.node.ip}:${HTTP_BOOTSTRAP_PORT}/id`;
    const { ID, Addrs } = JSON.parse(await cluster.node(2).mirror.curl(url));
    assert.match(ID, /^12D3KooW/);
    assert(Addrs.includes(`/ip4/${one!.node.ip}/tcp/${PORTS.router}`), Addrs.join(" "));
  },
});

Deno.test({
  name: "nodes join by a static list, of which one entry that answers is enough",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await SeedCluster.create(3);
    const [one, two] = cluster.nodes;
    // An address that nobody has, a closed port, a name without an address, and one of each form that is right.
    const wrong = ["10.99.0.250", `/ip4/${one!.node.ip}/tcp/4`, "nowhere.invalid:5001"];
    await startAll(
      cluster.nodes,
      staticPeers(...wrong, `/ip4/${one!.node.ip}/tcp/${PORTS.router}`, two!.node.ip),
    );
    await cluster.isJoined();
  },
});

Deno.test({
  name: "nodes with addresses of both families join by those of IPv6",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await SeedCluster.create(3);
    const [one] = cluster.nodes;
    await startAll(cluster.nodes, staticPeers(`[${one!.node.ipv6}]:${PORTS.router}`));
    await cluster.isJoined();
  },
});

Deno.test({
  name: "nodes join where there is no IPv4",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using cluster = await SeedCluster.create(3, { ipv6Only: true });
    const [one] = cluster.nodes;

    await t.step("by a static list", async () => {
      await startAll(cluster.nodes, staticPeers(routerOf(one!.node)));
      await cluster.isJoined();
    });

    await t.step("by DNS", async () => {
      for (const { mirror } of cluster.nodes) await mirror.stop();
      const dnsNode = await cluster.network.addNode("dns");
      await using dns = await DnsServer.start(dnsNode, cluster.folder, DOMAIN);
      for (const { node } of cluster.nodes) await dns.serve(cluster.network, node);
      await dns.publish(cluster.nodes.map(({ node }) => node.ipv6));
      await startAll(cluster.nodes, { BOOTSTRAP_KIND: "dns", DNS_BOOTSTRAP_DOMAIN: DOMAIN });
      await cluster.isJoined();
    });
  },
});

Deno.test({
  name: "a node whose router port is blocked joins by WebSocket",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await SeedCluster.create(3);
    const [one, two, three] = [cluster.node(1), cluster.node(2), cluster.node(3)];
    await cluster.network.blockPort(three.node, PORTS.router);
    const websocket = { ROUTER_WEBSOCKET_ADDR: `:${WEBSOCKET_PORT}` };
    await startAll([one, two], { ...websocket, ...staticPeers(routerOf(one.node)) });
    await three.start({ ...websocket, ...staticPeers(routerOf(one.node)) });
    await cluster.isNotReady(three, /no peers/);
    await three.mirror.stop();
    await three.start({
      ...websocket,
      ...staticPeers(`/ip4/${one.node.ip}/tcp/${WEBSOCKET_PORT}/ws`),
    });
    await cluster.isJoined();
  },
});

Deno.test({
  name: "a node that comes back at another address with its identity is found there",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await SeedCluster.create(3);
    const [one, two] = [cluster.node(1), cluster.node(2)];
    const env = staticPeers(routerOf(one.node));
    await startAll(cluster.nodes, env);
    await cluster.isJoined();
    const before = two.node.ip;
    await two.move(cluster.network, env);
    assert.notEqual(two.node.ip, before);
    await cluster.isJoined();
    const starts = (await two.mirror.logLines()).filter(({ msg }) => msg === "router listens");
    assert.equal(starts.length, 2);
    assert.equal(starts[0]!["id"], starts[1]!["id"]);
  },
});

Deno.test({
  name: "nodes that all start at once join when the one they start from comes last",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await SeedCluster.create(5);
    const [one, ...others] = cluster.nodes;
    const env = staticPeers(routerOf(one!.node));
    await startAll(others, env);
    for (const node of others) await cluster.isNotReady(node, /no peers/);
    await one!.start(env);
    await cluster.isJoined();
  },
});
