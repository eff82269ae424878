/**
 * Private images: a node gets them from peers only with credentials that the upstream registry accepts.
 *
 * @module
 */
import assert from "node:assert/strict";
import { basicAuthorization } from "../../lib/registry/basic_auth.ts";
import { blobPath, type ClusterNode, type PushedImage, TestCluster } from "./harness/cluster.ts";
import type { PullCredentials } from "./harness/cri_client.ts";
import { eventually } from "./harness/process.ts";
import { OWNER, passwordGuard, tokenGuard, writeUsers } from "./harness/registry_guards.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

const ALICE: PullCredentials = { username: "alice", password: OWNER.password };
const WRONG: PullCredentials = { username: OWNER.username, password: "through the looking glass" };

/** The upstream registry's host: its node is the first of the network. */
const UPSTREAM = "10.99.0.1:5000";

/** A proof holds for two seconds here. */
const ENV = { PRIVATE_REGISTRIES: `http://${UPSTREAM}`, PRIVATE_PROOF_TTL: "2s" };

/** Bytes that upstream's layers have; enough to be told from a manifest. */
const LAYERS = [1_500_000, 200_000];

/** Pulls an image, and says what became of it. */
async function pull(
  { cri }: ClusterNode,
  image: PushedImage,
  credentials?: PullCredentials,
): Promise<string> {
  try {
    return await cri.pullImage(image.reference, credentials);
  } catch (error) {
    return String(error);
  }
}

/** Pulls an image with its owner's credentials, and waits until other nodes can find all of it there. */
async function seed(cluster: TestCluster, image: PushedImage): Promise<void> {
  const [first, ...others] = cluster.nodes;
  assert.equal(await pull(first!, image, OWNER), image.config);
  for (const { mirror } of others) {
    for (const key of [...image.layers, image.config, image.reference]) {
      const url = `http://127.0.0.1:9090/debug/locate?key=${encodeURIComponent(key)}`;
      await eventually(`${mirror.node.name} finds ${key}`, async () => {
        const text = await mirror.curl(url);
        return text !== "" && JSON.parse(text).peers.length > 0;
      });
    }
  }
  await cluster.forget();
}

/** Status of the mirror's answer to whoever asks it from its own node, as a pod may. */
async function statusOf({ mirror }: ClusterNode, path: string, ...args: string[]): Promise<number> {
  const format = ["-o", "/dev/null", "-w", "%{http_code}"];
  return Number(await mirror.curl(...format, ...args, `${mirror.url}${path}`));
}

/** Sources of the blobs that a mirror handed out. */
async function blobSources({ mirror }: ClusterNode): Promise<string[]> {
  const requests = await mirror.requests();
  return requests.filter(({ path, status }) => path.includes("/blobs/") && status < 300)
    .map(({ source }) => source ?? "none");
}

/** Nothing of the image came to the node or through its mirror. */
async function assertNothingCame(node: ClusterNode): Promise<void> {
  assert.deepEqual(await node.containerd.contents(), []);
  const requests = await node.mirror.requests();
  assert(requests.length > 0, "the mirror was asked");
  assert.deepEqual(requests.filter(({ status }) => status < 400), []);
}

/** What containerd says of a pull without any mirror. */
async function errorWithoutMirror(
  cluster: TestCluster,
  image: PushedImage,
  credentials?: PullCredentials,
): Promise<string> {
  const node = cluster.nodes.at(-1)!;
  const path = `${node.containerd.certsDir}/${UPSTREAM}/hosts.toml`;
  const text = await Deno.readTextFile(path);
  await Deno.writeTextFile(path, `[host."http://${UPSTREAM}"]\n`);
  try {
    return await pull(node, image, credentials);
  } finally {
    await Deno.writeTextFile(path, text);
  }
}

for (const kind of ["passwords", "tokens"] as const) {
  Deno.test({
    name: `a private image of a registry with ${kind} goes only to nodes that may have it`,
    ...REQUIRES_TEST_BED,
    async fn(t) {
      let folder = "";
      await using cluster = await TestCluster.start({
        nodes: 3,
        env: ENV,
        guard: async (node, upstream, stack) => {
          folder = upstream;
          if (kind === "passwords") return await passwordGuard(upstream, ["alice"]);
          return await tokenGuard(node, upstream, stack, { alice: ["team/secret"] });
        },
      });
      const image = await cluster.push({ layers: LAYERS }, "v1", "team/secret");
      await seed(cluster, image);
      const [, node, other] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];

      for (const [what, credentials] of [["no", undefined], ["wrong", WRONG]] as const) {
        await t.step(
          `${what} credentials: nothing comes from peers, and the pull fails`,
          async () => {
            const plain = await errorWithoutMirror(cluster, image, credentials);
            assert.match(plain, /40[13]|authoriz|credentials|not found/);
            await cluster.forget();
            const failure = await pull(other, image, credentials);
            assert.match(failure, /40[13]|authoriz|credentials|not found/);
            await assertNothingCame(other);
          },
        );
      }

      await t.step(
        "right credentials: all of it comes from a peer, nothing from upstream",
        async () => {
          await cluster.forget();
          assert.equal(await pull(node, image, ALICE), image.config);
          assert.deepEqual(
            await cluster.upstream.blobRequests().then((all) =>
              all.filter(({ method }) => method === "GET")
            ),
            [],
          );
          const sources = await blobSources(node);
          assert.equal(sources.length, LAYERS.length + 1);
          assert(sources.every((source) => source.startsWith("peer ")), sources.join());
          assert(await node.mirror.metric("kagami_access_proofs_total", 'result="granted"') > 0);
        },
      );

      await t.step("what the node has itself it hands out to nobody without proof", async () => {
        const manifest = `/v2/team/secret/manifests/v1?ns=${UPSTREAM}`;
        for (const path of [blobPath(cluster, image), manifest]) {
          assert.equal(await statusOf(node, path), 401);
        }
        const tags = `/v2/team/secret/tags/list?ns=${UPSTREAM}`;
        assert.equal(await statusOf(node, tags), 401);
      });

      await t.step("nor under the name of another registry or repository", async () => {
        const [layer] = image.layers;
        for (const who of [node, other]) {
          assert.equal(await statusOf(who, `/v2/team/secret/blobs/${layer}?ns=docker.io`), 404);
        }
        if (kind === "tokens") return;
        const own = await cluster.push({ layers: [1000] }, "v1", "team/other");
        const path = `/v2/${own.repository}/blobs/${layer}?ns=${UPSTREAM}`;
        const header = ["-H", `Authorization: ${basicAuthorization(ALICE)}`];
        // The registry itself has no such blob there.
        assert.equal(await statusOf(node, path, ...header), 404);
        const manifest = `/v2/${own.repository}/manifests/v1?ns=${UPSTREAM}`;
        assert.equal(await statusOf(node, manifest, ...header), 404, "proven, and not there");
        assert.equal(await statusOf(node, path, ...header), 404, "proven, under another name");
      });

      await t.step("no mirror writes credentials into its log", async () => {
        const secrets = [OWNER, ALICE, WRONG].map((one) =>
          basicAuthorization(one).slice("Basic ".length)
        );
        for (const { mirror, containerd } of cluster.nodes) {
          const text = await Deno.readTextFile(`${containerd.folder}/mirror.log`);
          assert(text.includes("team/secret"), "it logs requests");
          for (const secret of [...secrets, OWNER.password, "Bearer ey"]) {
            assert(!text.includes(secret), `${mirror.node.name} logged ${secret}`);
          }
        }
      });

      if (kind === "tokens") return;

      await t.step(
        "credentials that were revoked are of no use once the proof has expired",
        async () => {
          await other.containerd.removeEverything();
          assert.equal(await pull(other, image, ALICE), image.config);
          const header = ["-H", `Authorization: ${basicAuthorization(ALICE)}`];
          assert.equal(await statusOf(other, blobPath(cluster, image), ...header), 200);
          await writeUsers(folder, []);
          await eventually("the mirror refuses", async () => {
            return await statusOf(other, blobPath(cluster, image), ...header) === 404;
          });
        },
      );

      await t.step("while the registry is away nobody gets it", async () => {
        await other.containerd.removeEverything();
        await cluster.upstream.stop();
        await cluster.forget();
        assert.match(await pull(other, image, OWNER), /Error/);
        await assertNothingCame(other);
        await eventually("that is told", async () => {
          return await other.mirror.metric(
            "kagami_access_proofs_total",
            'result="unreachable"',
          ) > 0;
        });
      });
    },
  });
}

Deno.test({
  name: "a public image of a guarded registry needs no credentials, and others are not asked about",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using cluster = await TestCluster.start({
      nodes: 2,
      env: ENV,
      guard: (node, folder, stack) =>
        tokenGuard(node, folder, stack, { anybody: ["library/open"] }),
    });
    const image = await cluster.push({ layers: LAYERS }, "v1", "library/open");
    await seed(cluster, image);
    const [, node] = cluster.nodes as [ClusterNode, ClusterNode];

    await t.step("containerd gets a token for nobody, and all of it from a peer", async () => {
      assert.equal(await pull(node, image), image.config);
      const sources = await blobSources(node);
      assert.equal(sources.length, LAYERS.length + 1);
      assert(sources.every((source) => source.startsWith("peer ")), sources.join());
    });

    await t.step("a registry that is not listed is never asked", async () => {
      await cluster.forget();
      const path = `/v2/team/app/manifests/v1?ns=${cluster.upstream.node.ip}:5001`;
      assert.equal(await statusOf(node, path), 404);
      assert.deepEqual(await cluster.upstream.requests(), []);
    });
  },
});

Deno.test({
  name: "private content is handed out while its registry is away, where that is allowed",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await TestCluster.start({
      nodes: 2,
      env: { ...ENV, PRIVATE_WHEN_UNREACHABLE: "allow" },
      guard: (_node, folder) => passwordGuard(folder),
    });
    const image = await cluster.push({ layers: LAYERS }, "v1", "team/secret");
    await seed(cluster, image);
    await cluster.upstream.stop();
    const [, node] = cluster.nodes as [ClusterNode, ClusterNode];
    assert.equal(await pull(node, image), image.config);
  },
});

Deno.test({
  name: "upstream credentials pass where mirrors want credentials of their own",
  ...REQUIRES_TEST_BED,
  async fn() {
    const credentials = { username: "cluster", password: "secret" };
    await using cluster = await TestCluster.start({
      nodes: 2,
      env: ENV,
      credentials,
      guard: (_node, folder) => passwordGuard(folder),
    });
    const image = await cluster.push({ layers: LAYERS }, "v1", "team/secret");
    await seed(cluster, image);
    const [, node] = cluster.nodes as [ClusterNode, ClusterNode];
    const claim = ["-H", "X-Spegel-Mirrored: true"];
    assert.equal(await statusOf(cluster.node(1), blobPath(cluster, image), ...claim), 401);
    assert.equal(await pull(node, image, OWNER), image.config);
    const sources = await blobSources(node);
    assert(sources.length > LAYERS.length && sources.every((one) => one.startsWith("peer ")));
  },
});
