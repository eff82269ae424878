/**
 * Kagami and the real Spegel as nodes of one cluster.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  blobPath,
  type ClusterNode,
  type PushedImage,
  type TestCluster,
} from "../integration/harness/cluster.ts";
import type { MirrorProcess } from "../integration/harness/mirror_process.ts";
import type { UpstreamRequest } from "../integration/harness/upstream_registry.ts";
import { metricFamilies } from "./support/metric_families.ts";
import {
  finds,
  finishedPull,
  kindOf,
  pathsOf,
  restart,
  startMixed,
  switchTo,
} from "./support/mixed_cluster.ts";
import { type Kind, otherThan, REQUIRES_SPEGEL } from "./support/programs.ts";

/**
 * Images that are tried until one travels without upstream. Spegel leaves a blob to upstream when its peer has not
 * answered within some 0.1 s, which happens on a busy machine; Kagami is given no second chance.
 */
const TRIES: Readonly<Record<Kind, number>> = { kagami: 1, spegel: 5 };

/** A new image is put on one node, and another one pulls it without any request to the upstream registry. */
async function travels(
  cluster: TestCluster,
  from: ClusterNode,
  to: ClusterNode,
  by: "tag" | "digest" = "tag",
): Promise<PushedImage> {
  let asked: readonly UpstreamRequest[] = [];
  for (let tries = TRIES[kindOf(to.mirror)]; tries > 0; tries--) {
    const image = await cluster.push({ layers: [5_000_000, 90_000, 4_000] });
    await finishedPull(from, image.reference);
    await finds(cluster, to.mirror, image);
    await cluster.forget();
    const reference = by === "tag"
      ? image.reference
      : `${cluster.upstream.host}/${image.repository}@${image.digest}`;
    assert.equal(await to.cri.pullImage(reference), image.config);
    asked = await cluster.upstream.requests();
    if (asked.length === 0) return image;
  }
  assert.deepEqual(asked, []);
  throw new Error("no image was tried");
}

for (const first of ["kagami", "spegel"] as const) {
  const second = otherThan(first);
  Deno.test({
    name: `${second} bootstraps over HTTP from ${first}, and each pulls what only the other has`,
    ...REQUIRES_SPEGEL,
    async fn(t) {
      await using cluster = await startMixed([first, second]);
      const [one, two] = [cluster.node(1), cluster.node(2)];
      for (const by of ["tag", "digest"] as const) {
        await t.step(`${second} from ${first}, by ${by}`, async () => {
          await travels(cluster, one, two, by);
        });
        await t.step(`${first} from ${second}, by ${by}`, async () => {
          await travels(cluster, two, one, by);
        });
      }
    },
  });

  Deno.test({
    name: `${first} that others start from is killed and comes back, and all are found again`,
    ...REQUIRES_SPEGEL,
    async fn(t) {
      await using cluster = await startMixed([first, second]);
      const [one, two] = [cluster.node(1), cluster.node(2)];
      const before = await travels(cluster, one, two);
      for (const [name, node] of [[first, one], [second, two]] as const) {
        await t.step(`after ${name} was killed`, async () => {
          await restart(node.mirror, "kill");
          await travels(cluster, one, two);
          await travels(cluster, two, one);
          await finds(cluster, one.mirror, before);
        });
      }
    },
  });
}

Deno.test({
  name:
    "nodes of both kinds bootstrap from one name in the DNS, with the arguments of Spegel's chart",
  ...REQUIRES_SPEGEL,
  async fn() {
    await using cluster = await startMixed(["spegel", "kagami", "spegel", "kagami"], "dns");
    const [one, two, three, four] = [1, 2, 3, 4].map((number) => cluster.node(number));
    await travels(cluster, one!, two!);
    await travels(cluster, two!, three!);
    await travels(cluster, three!, four!);
    await travels(cluster, four!, one!);
  },
});

for (const kind of ["kagami", "spegel"] as const) {
  Deno.test({
    name: `${kind} pulls a large image that a node of each kind has`,
    ...REQUIRES_SPEGEL,
    async fn() {
      await using cluster = await startMixed(["kagami", "spegel", kind]);
      const [one, two, three] = [cluster.node(1), cluster.node(2), cluster.node(3)];
      const image = await cluster.push({ layers: [80_000_000, 30_000_000] });
      await one.cri.pullImage(image.reference);
      await finishedPull(two, image.reference);
      await finds(cluster, three.mirror, image);
      if (kind === "kagami") {
        await three.mirror.answersFrom([one.mirror, two.mirror], blobPath(cluster, image));
      }
      await cluster.forget();
      assert.equal(await three.cri.pullImage(image.reference), image.config);
      if (kind === "spegel") return; // It may leave something to upstream, see above.
      assert.deepEqual(await cluster.upstream.requests(), []);
      assert.equal(await three.mirror.metric("kagami_verification_failures_total"), 0);
    },
  });
}

Deno.test({
  name: "a node is switched from Spegel to Kagami and back, and stays the same peer",
  ...REQUIRES_SPEGEL,
  async fn(t) {
    await using cluster = await startMixed(["spegel", "spegel"], "dns");
    const [one, two] = [cluster.node(1), cluster.node(2)];
    const image = await travels(cluster, one, two);
    await one.containerd.removeEverything();
    await restart(one.mirror, "stop");
    await switchTo(two.mirror, "spegel");
    const id = await peerId(two.mirror);
    assert.match(id, /^12D3Koo/);

    const keyFile = `${two.containerd.folder}/data/private.key`;
    const key = await Deno.readTextFile(keyFile);
    for (const kind of ["kagami", "spegel", "kagami"] as const) {
      await t.step(`to ${kind}`, async () => {
        await switchTo(two.mirror, kind);
        assert.equal(await peerId(two.mirror), id);
        // Nobody else has it.
        await finds(cluster, one.mirror, image);
      });
    }

    await t.step("an identity that Kagami made is read by Spegel", async () => {
      await two.mirror.stop();
      await Deno.remove(keyFile);
      await switchTo(two.mirror, "kagami");
      const made = await peerId(two.mirror);
      assert.notEqual(made, id);
      assert.notEqual(await Deno.readTextFile(keyFile), key);
      await switchTo(two.mirror, "spegel");
      assert.equal(await peerId(two.mirror), made);
    });
  },
});

/** The peer ID that a mirror of either kind tells in its log. */
async function peerId(mirror: MirrorProcess): Promise<string> {
  const line = (await mirror.logLines()).find(({ id, msg }) =>
    id !== undefined && (msg === "starting p2p router" || msg === "router listens")
  );
  return String(line?.["id"]);
}

Deno.test({
  name: "Kagami has every metric of Spegel's own, with the same type and labels",
  ...REQUIRES_SPEGEL,
  async fn() {
    await using cluster = await startMixed(["kagami", "spegel"]);
    const [one, two] = [cluster.node(1), cluster.node(2)];
    await travels(cluster, one, two);
    await travels(cluster, two, one);
    // A request that nobody can answer, for metrics that only then come into being.
    const path = pathsOf(cluster, await cluster.push({ layers: [2_000] }))[0]!;
    for (const { mirror } of [one, two]) await mirror.answers(404, path);
    const [ours, theirs] = await Promise.all(
      [one, two].map(async ({ mirror }) => metricFamilies(await mirror.metrics())),
    );
    const wanted = [...theirs!].filter(([name]) => /^(spegel|http)_/.test(name));
    assert.deepEqual(wanted.map(([name]) => name).sort(), [
      "http_request_duration_seconds",
      "http_requests_inflight",
      "http_response_size_bytes",
      "spegel_advertised_content_digests",
      "spegel_advertised_image_digests",
      "spegel_advertised_image_tags",
      "spegel_mirror_last_success_timestamp_seconds",
      "spegel_mirror_requests_total",
      "spegel_resolve_duration_seconds",
    ]);
    for (const [name, family] of wanted) assert.deepEqual(ours!.get(name), family, name);
  },
});

Deno.test({
  name: "Kagami nodes use TLS among themselves and plain HTTP with a Spegel beside them",
  ...REQUIRES_SPEGEL,
  async fn(t) {
    await using cluster = await startMixed(["kagami", "kagami", "spegel"]);
    const [one, two, spegel] = [cluster.node(1), cluster.node(2), cluster.node(3)];
    const sent = (transport: string) =>
      two.mirror.metric(
        "kagami_peer_requests_total",
        `direction="sent",transport="${transport}"`,
      );
    await t.step("from Kagami over TLS", async () => {
      await travels(cluster, one, two);
      assert(await sent("tls") > 0);
      assert.equal(await sent("plain"), 0);
    });
    await t.step("from Spegel plainly", async () => {
      await travels(cluster, spegel, two);
      assert(await sent("plain") > 0);
    });
    await t.step("to Spegel plainly", async () => {
      await travels(cluster, two, spegel);
      const labels = 'direction="received",transport="plain"';
      assert(await two.mirror.metric("kagami_peer_requests_total", labels) > 0);
    });
  },
});
