/**
 * Bootstrap by a Lease of a real Kubernetes API server. Skipped unless `KUBE_APISERVER_BIN` and `ETCD_BIN` name the
 * binaries.
 *
 * @module
 */
import assert from "node:assert/strict";
import { LAYOUT_TAG, makeImage } from "./harness/images.ts";
import { KubeApiServer, MISSING_API_SERVER } from "./harness/kube_api_server.ts";
import { LEASE, MirrorAccounts } from "./harness/mirror_accounts.ts";
import { MirrorProcess } from "./harness/mirror_process.ts";
import { eventually } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";
import { SEED_REGISTRY, SeedCluster, type SeedNode } from "./harness/seed_nodes.ts";

const BOOTSTRAP = { BOOTSTRAP_KIND: "kubernetes", KUBERNETES_BOOTSTRAP_LEASE: LEASE };

/** Longest wait for another leader: the Lease runs out after 30 s, and is looked at every 18 s at most. */
const TAKEOVER_MS = 180_000;

/** Waits until one of the nodes leads. */
async function leaderOf(accounts: MirrorAccounts, nodes: readonly SeedNode[]): Promise<SeedNode> {
  return await eventually("one of them leads", async () => {
    const lease = await accounts.lease();
    const leads = ({ node }: SeedNode) =>
      lease?.addresses.some((address) => address.startsWith(`/ip4/${node.ip}/tcp/5001/p2p/`));
    return lease?.holder !== "" && nodes.find(leads);
  }, TAKEOVER_MS);
}

Deno.test({
  name: "nodes join by a Lease of a real API server",
  ignore: MISSING_API_SERVER.length > 0 || REQUIRES_TEST_BED.ignore,
  async fn(t) {
    await using cluster = await SeedCluster.create(3);
    const control = await cluster.network.addNode("control");
    await using api = await KubeApiServer.start(`${cluster.folder}/control`, control);
    const accounts = await MirrorAccounts.create(api, `${cluster.folder}/accounts`);
    const pod = await accounts.account("mirror", true);
    const { nodes } = cluster;

    await t.step("one leads, all learn its addresses, and share the peers", async () => {
      await Promise.all(nodes.map((node) => node.start(BOOTSTRAP, pod)));
      await cluster.isJoined();
      await leaderOf(accounts, nodes);
      assert.equal((await accounts.lease())!.transitions, 1);
    });

    let leader = await leaderOf(accounts, nodes);
    let others = nodes.filter((node) => node !== leader);

    await t.step("another takes over from a leader that is killed", async () => {
      await leader.mirror.kill();
      const next = await leaderOf(accounts, others);
      assert.equal((await accounts.lease())!.transitions, 2);
      for (const node of others) await node.mirror.ready();
      leader = next;
    });

    await t.step("a node that comes late joins through the new leader", async () => {
      const node = await cluster.network.addNode("late");
      const folder = `${cluster.folder}/late`;
      await Deno.mkdir(folder);
      const image = await makeImage(`${folder}/image`, { layers: [20_000], seed: 99 });
      await using late = await MirrorProcess.start(node, folder, {
        pod,
        env: {
          ...BOOTSTRAP,
          STORE: "oci-layout",
          OCI_LAYOUT_PATH: image.path,
          OCI_LAYOUT_REPOSITORY: `${SEED_REGISTRY}/seed/late`,
        },
      });
      await late.ready();
      for (const { mirror, blobPath } of others) await late.answersFrom([mirror], blobPath);
      const tag = `/v2/seed/late/manifests/${LAYOUT_TAG}?ns=${SEED_REGISTRY}`;
      for (const { mirror } of others) await mirror.answersFrom([late], tag);
    });

    await t.step("nodes go on while the API server is away, and the leader stays", async () => {
      await api.stop();
      for (const { mirror } of others) assert.equal(await mirror.readiness(), 200);
      const [asking, asked] = others as [SeedNode, SeedNode];
      await asking.mirror.answersFrom([asked.mirror], asked.blobPath);
      await api.startAgain();
      assert.equal(await leaderOf(accounts, others), leader);
    });

    await t.step("the killed node comes back and follows", async () => {
      const dead = nodes.find((node) => !others.includes(node))!;
      await dead.mirror.startAgain();
      await cluster.isJoined();
      assert.equal(await leaderOf(accounts, nodes), leader);
      others = nodes.filter((node) => node !== leader);
    });

    await t.step("a leader that stops in order hands over at once", async () => {
      const { transitions } = (await accounts.lease())!;
      await leader.mirror.stop();
      const next = await leaderOf(accounts, others);
      assert.notEqual(next, leader);
      assert.equal((await accounts.lease())!.transitions, transitions + 1);
    });
  },
});

Deno.test({
  name: "a node whose account may not use Leases is not ready, and says what to check",
  ignore: MISSING_API_SERVER.length > 0 || REQUIRES_TEST_BED.ignore,
  async fn() {
    await using cluster = await SeedCluster.create(1);
    const control = await cluster.network.addNode("control");
    await using api = await KubeApiServer.start(`${cluster.folder}/control`, control);
    const accounts = await MirrorAccounts.create(api, `${cluster.folder}/accounts`);
    const pod = await accounts.account("stranger", false);
    const node = cluster.node(1);
    await node.start(BOOTSTRAP, pod);
    await cluster.isNotReady(
      node,
      /no peers: cannot read the bootstrap Lease: the Kubernetes API answers 403: .*cannot get resource "leases".*check the service account's role/,
    );
    const errors = (await node.mirror.logLines()).filter(({ level }) => level === "ERROR");
    assert.equal(errors.length, 1, "it is told once");
    assert.match(
      String(errors[0]!["error"]),
      /403: leases\.coordination\.k8s\.io "kagami-bootstrap" is forbidden/,
    );
  },
});
