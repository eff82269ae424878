/**
 * What operators set, as containerd and peers see it: filters, basic authentication, tags; and content and tags that
 * are no longer where they were.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  blobPath,
  type ClusterNode,
  configure,
  type PushedImage,
  TestCluster,
  writeCredentials,
} from "./harness/cluster.ts";
import { eventually } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

/** Address that the first node of a network gets: the upstream registry. */
const UPSTREAM = "10.99.0.1:5000";

/** Status of the mirror's answer to a path. */
async function statusOf({ mirror }: ClusterNode, path: string, ...args: string[]): Promise<number> {
  const format = ["-o", "/dev/null", "-w", "%{http_code}"];
  return Number(await mirror.curl(...format, ...args, `${mirror.url}${path}`));
}

/** Blobs of an image that upstream was asked for. */
async function upstreamBlobs(cluster: TestCluster, image: PushedImage): Promise<string[]> {
  const paths = (await cluster.upstream.blobRequests()).map(({ path }) => path);
  return [...image.layers, image.config].filter((digest) =>
    paths.some((path) => path.includes(`/${image.repository}/blobs/${digest}`))
  );
}

function tagPath({ repository, reference }: PushedImage): string {
  return `/v2/${repository}/manifests/${reference.split(":").at(-1)}?ns=${UPSTREAM}`;
}

Deno.test({
  name: "what filters and mirrored registries leave out is neither advertised nor served",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using cluster = await TestCluster.start({
      nodes: 2,
      env: {
        REGISTRY_FILTERS: "/private/,:latest$",
        MIRRORED_REGISTRIES: `http://${UPSTREAM}`,
      },
    });
    assert.equal(cluster.upstream.host, UPSTREAM);
    const [one, two] = [cluster.node(1), cluster.node(2)];
    const sizes = { layers: [200_000, 1000] };
    const plain = await cluster.push(sizes);
    const latest = await cluster.push(sizes, "latest");
    const hidden = await cluster.push(sizes, "v1", "private/app");
    for (const { reference } of [plain, latest, hidden]) await one.cri.pullImage(reference);
    // The same content under the name of another registry, and content that has only that name.
    const foreign = await cluster.makeImage(sizes);
    const reference = await one.containerd.importImage(foreign, "other.example/team/foreign");
    await one.containerd.ctr("image", "tag", plain.reference, "other.example/team/plain:v1");

    await t.step("only the rest is advertised", async () => {
      // Manifest, config and layers of the plain image, and of the one whose tag alone is left out.
      const contents = 2 * (2 + sizes.layers.length);
      await eventually("all that is to be advertised is", async () => {
        const { mirror } = one;
        return await mirror.metric("spegel_advertised_image_tags") === 1 &&
          await mirror.metric("spegel_advertised_image_digests") === 2 &&
          await mirror.metric("spegel_advertised_content_digests") === contents;
      });
    });

    await t.step("the node that has it does not serve it, either", async () => {
      assert.equal(await statusOf(one, tagPath(plain)), 200);
      assert.equal(await statusOf(one, blobPath(cluster, plain)), 200);
      assert.equal(await statusOf(one, tagPath(latest)), 404);
      assert.equal(await statusOf(one, blobPath(cluster, latest)), 200);
      assert.equal(await statusOf(one, tagPath(hidden)), 404);
      assert.equal(await statusOf(one, blobPath(cluster, hidden)), 404);
      const [tag, layer] = [reference.split(":").at(-1), foreign.layers[0]];
      for (const path of [`manifests/${tag}`, `blobs/${layer}`]) {
        assert.equal(await statusOf(one, `/v2/team/foreign/${path}?ns=other.example`), 404);
      }
    });

    await t.step("another node pulls it from upstream", async () => {
      await two.mirror.answers(200, blobPath(cluster, plain));
      await two.mirror.answers(200, blobPath(cluster, latest));
      await cluster.forget();
      for (const { reference, config } of [plain, latest, hidden]) {
        assert.equal(await two.cri.pullImage(reference), config);
      }
      assert.deepEqual(await upstreamBlobs(cluster, plain), []);
      assert.deepEqual(await upstreamBlobs(cluster, latest), []);
      assert.deepEqual(await upstreamBlobs(cluster, hidden), [...hidden.layers, hidden.config]);
      const byTag = (await cluster.upstream.requests()).filter(({ method }) => method === "HEAD");
      assert.deepEqual(byTag.map(({ path }) => path.split("?")[0]).sort(), [
        `/v2/${hidden.repository}/manifests/v1`,
        `/v2/${latest.repository}/manifests/latest`,
      ]);
    });
  },
});

Deno.test({
  name: "containerd and peers send the credentials, and who has others gets nothing",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    const credentials = { username: "kagami", password: "pass: word" };
    await using cluster = await TestCluster.start({ nodes: 3, credentials });
    const [one, two, three] = [cluster.node(1), cluster.node(2), cluster.node(3)];
    const right = ["-u", `${credentials.username}:${credentials.password}`];
    const image = await cluster.push({ layers: [300_000, 1000] });
    await one.cri.pullImage(image.reference);

    await t.step("a client without them is refused, and told so", async () => {
      const path = blobPath(cluster, image);
      assert.equal(await statusOf(one, path), 401);
      assert.equal(await statusOf(one, path, "-u", "kagami:wrong"), 401);
      assert.match(
        await one.mirror.curl("-i", `${one.mirror.url}/v2/`),
        /^WWW-Authenticate: Basic/im,
      );
      assert.equal(await statusOf(one, path, ...right), 200);
      assert.equal(await statusOf(one, "/readyz"), 200);
    });

    await t.step("a pull goes through its mirror to a peer", async () => {
      await eventually(
        "the other node finds it",
        // By its tag, which is known last.
        async () => await statusOf(two, tagPath(image), ...right) === 200,
      );
      await cluster.forget();
      assert.equal(await two.cri.pullImage(image.reference), image.config);
      assert.deepEqual(await cluster.upstream.requests(), []);
      const statuses = new Set((await two.mirror.requests()).map(({ status }) => status));
      assert.deepEqual([...statuses], [200]);
    });

    await t.step("a node with another password pulls from upstream", async () => {
      await three.mirror.stop();
      await writeCredentials(three.containerd.folder, { ...credentials, password: "other" });
      await three.mirror.startAgain();
      await three.mirror.ready();
      await configure(three.containerd, [`http://${cluster.upstream.host}`]);
      await cluster.forget();
      assert.equal(await three.cri.pullImage(image.reference), image.config);
      assert.deepEqual(await upstreamBlobs(cluster, image), [...image.layers, image.config]);
      const refused = [...await one.mirror.requests(), ...await two.mirror.requests()];
      assert(refused.length > 0, "peers were asked");
      assert(refused.every(({ status }) => status === 401));
    });
  },
});

Deno.test({
  name: "without resolved tags upstream tells the digest, and peers deliver the rest",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await TestCluster.start({ nodes: 2 });
    const two = cluster.node(2);
    await configure(two.containerd, [`http://${cluster.upstream.host}`], ["--resolve-tags=false"]);
    const image = await cluster.share({ layers: [300_000, 1000] });
    await cluster.forget();
    assert.equal(await two.cri.pullImage(image.reference), image.config);
    const upstream = (await cluster.upstream.requests()).map(({ method, path }) =>
      `${method} ${path.split("?")[0]}`
    );
    assert.deepEqual(upstream, [`HEAD /v2/${image.repository}/manifests/v1`]);
    // A set: the line of the request above may come late.
    const asked = new Set((await two.mirror.requests()).map(({ path }) => path.split("/").at(-1)));
    assert.deepEqual(asked, new Set([image.digest, image.config, ...image.layers]));
  },
});

Deno.test({
  name:
    "a tag that moved upstream is the old one with peers, and the new one without resolved tags or by a filter",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using cluster = await TestCluster.start({
      nodes: 3,
      env: { REGISTRY_FILTERS: ":latest$" },
    });
    const [one, two, three] = [cluster.node(1), cluster.node(2), cluster.node(3)];
    const sizes = { layers: [100_000] };
    const old = await cluster.push(sizes);
    const oldLatest = await cluster.push(sizes, "latest");
    for (const { reference } of [old, oldLatest]) await one.cri.pullImage(reference);
    const moved = await cluster.push(sizes, "v1", old.repository);
    const movedLatest = await cluster.push(sizes, "latest", oldLatest.repository);
    assert.equal(moved.reference, old.reference);
    await two.mirror.answers(200, tagPath(old));

    await t.step("peers tell what they have", async () => {
      assert.equal(await two.cri.pullImage(old.reference), old.config);
      assert.equal(await one.cri.pullImage(old.reference), old.config);
    });

    await t.step("a filtered tag is upstream's", async () => {
      assert.equal(await two.cri.pullImage(movedLatest.reference), movedLatest.config);
      assert.equal(await one.cri.pullImage(movedLatest.reference), movedLatest.config);
    });

    await t.step("without resolved tags all are", async () => {
      const options = ["--resolve-tags=false"];
      await configure(three.containerd, [`http://${cluster.upstream.host}`], options);
      assert.equal(await three.cri.pullImage(moved.reference), moved.config);
    });
  },
});

Deno.test({
  name:
    "content that a peer advertised and no longer has comes from the next peer, then from upstream",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using cluster = await TestCluster.start({ nodes: 3 });
    const [one, two, three] = [cluster.node(1), cluster.node(2), cluster.node(3)];
    const sizes = { layers: [300_000, 200_000, 100_000, 50_000] };
    const both = await cluster.push(sizes);
    const single = await cluster.push(sizes);
    for (const { reference } of [both, single]) await one.cri.pullImage(reference);
    await two.mirror.answers(200, tagPath(both));
    await two.cri.pullImage(both.reference);
    await three.mirror.answersFrom([one.mirror, two.mirror], blobPath(cluster, both));
    await three.mirror.answersFrom([one.mirror, two.mirror], tagPath(both));
    await three.mirror.answersFrom([one.mirror], blobPath(cluster, single));
    // Others are not told: a record stays where it is until it expires.
    await one.containerd.removeEverything();
    await cluster.forget();

    await t.step("the next peer has it", async () => {
      assert.equal(await three.cri.pullImage(both.reference), both.config);
      assert.deepEqual(await cluster.upstream.requests(), []);
    });

    await t.step("no peer has it", async () => {
      assert.equal(await three.cri.pullImage(single.reference), single.config);
      assert.deepEqual(await upstreamBlobs(cluster, single), [...single.layers, single.config]);
      const asked = (await one.mirror.requests()).filter(({ status }) => status === 404);
      assert(asked.length > 0, "the peer was asked and said that it does not have it");
    });
  },
});
