/**
 * Nodes that pull one tag at the same time, where one mirror asks upstream for all of them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type ClusterOptions, type PushedImage, TestCluster } from "./harness/cluster.ts";
import type { PullCredentials } from "./harness/cri_client.ts";
import { OWNER, passwordGuard, tokenGuard } from "./harness/registry_guards.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

/** The upstream registry's host: its node is the first of the network. */
const UPSTREAM = "10.99.0.1:5000";

const REPOSITORY = "team/app";

const NODES = 4;

/** Starts the nodes; with tags resolved together unless the environment says otherwise. */
async function start(
  guard?: ClusterOptions["guard"],
  env: ClusterOptions["env"] = { SHARE_TAG_RESOLUTION: "true" },
): Promise<TestCluster> {
  return await TestCluster.start({
    nodes: NODES,
    env: {
      ...env,
      MIRRORED_REGISTRIES: `http://${UPSTREAM}`,
      MIRROR_RESOLVE_TIMEOUT: "50ms",
    },
    ...(guard === undefined ? {} : { guard }),
  });
}

/** Pulls an image on all nodes at once. */
async function pullAll(
  cluster: TestCluster,
  image: PushedImage,
  credentials?: PullCredentials,
): Promise<void> {
  await cluster.forget();
  const pulls = cluster.nodes.map(({ cri }) => cri.pullImage(image.reference, credentials));
  assert.deepEqual(await Promise.all(pulls), Array(NODES).fill(image.config));
}

/** What the registry answered to questions about the tag. */
async function tagAnswers(cluster: TestCluster): Promise<{ method: string; status: number }[]> {
  return (await cluster.upstream.requests())
    .filter(({ path }) => path === `/v2/${REPOSITORY}/manifests/v1`)
    .map(({ method, status }) => ({ method, status }));
}

/** How often upstream handed a manifest out. */
async function manifestsSent(cluster: TestCluster): Promise<number> {
  const start = `/v2/${REPOSITORY}/manifests/`;
  const sent = (await cluster.upstream.requests()).filter(({ method, path, status }) =>
    method === "GET" && path.startsWith(start) && status === 200
  );
  return sent.length;
}

async function sum(cluster: TestCluster, metric: string): Promise<number> {
  const counts = await Promise.all(cluster.nodes.map(({ mirror }) => mirror.metric(metric)));
  return counts.reduce((total, count) => total + count, 0);
}

Deno.test({
  name: "four nodes that pull one tag at once cost upstream one question about it",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using cluster = await start();
    const image = await cluster.push({ layers: [1_500_000] }, "v1", REPOSITORY);
    await t.step("the first pulls", async () => {
      await pullAll(cluster, image);
      assert.deepEqual(await tagAnswers(cluster), [{ method: "HEAD", status: 200 }]);
      assert.equal(await manifestsSent(cluster), 1);
      assert.equal(await sum(cluster, "kagami_share_tag_questions_total"), 1);
      assert.equal(await sum(cluster, "kagami_share_tag_answers_total"), NODES);
    });
    await t.step("a tag that upstream does not have", async () => {
      await cluster.forget();
      const reference = image.reference.replace(/v1$/, "v2");
      const pulls = cluster.nodes.map(({ cri }) => cri.pullImage(reference));
      for (const { status } of await Promise.allSettled(pulls)) assert.equal(status, "rejected");
    });
  },
});

Deno.test({
  name: "four nodes ask upstream about a tag each for itself if nobody says otherwise",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await start(undefined, {});
    const image = await cluster.push({ layers: [1_500_000] }, "v1", REPOSITORY);
    await pullAll(cluster, image);
    const each = Array(NODES).fill({ method: "HEAD", status: 200 });
    assert.deepEqual(await tagAnswers(cluster), each);
    assert.equal(await sum(cluster, "kagami_share_tag_questions_total"), 0);
  },
});

Deno.test({
  name: "four nodes cost one question with an answer where the registry wants a token of anybody",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await start((node, folder, stack) =>
      tokenGuard(node, folder, stack, { anybody: [REPOSITORY] })
    );
    const image = await cluster.push({ layers: [1_500_000] }, "v1", REPOSITORY);
    await pullAll(cluster, image);
    assert.deepEqual(await tagAnswers(cluster), [
      { method: "HEAD", status: 401 },
      { method: "HEAD", status: 200 },
    ]);
  },
});

Deno.test({
  name: "pulls with credentials succeed as ever where the registry tells nobody else",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await start((_node, folder) => passwordGuard(folder));
    const image = await cluster.push({ layers: [1_500_000] }, "v1", REPOSITORY);
    await pullAll(cluster, image, OWNER);
    assert.equal(await sum(cluster, "kagami_share_tag_answers_total"), 0);
    const answered = (await tagAnswers(cluster)).filter(({ status }) => status === 200);
    assert(answered.length > 0, "containerd asks upstream itself");
  },
});
