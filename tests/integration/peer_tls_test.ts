/**
 * Content travels between nodes over TLS, and with a secret to members of the cluster alone.
 *
 * @module
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { blobPath, type ClusterNode, type PushedImage, TestCluster } from "./harness/cluster.ts";
import { KAGAMI_REGISTRY, MirrorProcess, PORTS } from "./harness/mirror_process.ts";
import { inside, runInside } from "./harness/network.ts";
import { eventually, ManagedProcess } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";
import type { WireSetup } from "./harness/wire_program.ts";

const WIRE = fileURLToPath(new URL("./harness/wire_program.ts", import.meta.url));

const LAYERS = [3_000_000, 40_000];

/** The mirror of the first node listens for peers where only somebody on its node can pass them on. */
function firstBehindWire(number: number): readonly string[] {
  return number === 1
    ? ["env", `PEER_TLS_ADDR=127.0.0.1:${PORTS.peers}`, ...KAGAMI_REGISTRY]
    : KAGAMI_REGISTRY;
}

async function startWire(
  { mirror: { node } }: ClusterNode,
  folder: string,
  recording?: string,
): Promise<ManagedProcess> {
  const setup: WireSetup = {
    hostname: node.ip,
    port: PORTS.peers,
    ...(recording === undefined ? {} : { recording }),
  };
  const wire = await ManagedProcess.start(
    `wire of ${node.name}`,
    `${folder}/wire.log`,
    "ip",
    inside(node, Deno.execPath(), "run", "-A", "--no-check", WIRE, JSON.stringify(setup)),
  );
  await eventually("the wire listens", async () => (await wire.output()).includes("listening"));
  return wire;
}

async function transfers(mirror: MirrorProcess, direction: "sent" | "received", transport: string) {
  const labels = `direction="${direction}",transport="${transport}"`;
  return await mirror.metric("kagami_peer_requests_total", labels);
}

/** Node 1 has an image, and another node knows. */
async function imageAt(cluster: TestCluster, from: number, to: number): Promise<PushedImage> {
  const image = await cluster.push({ layers: LAYERS });
  await cluster.node(from).cri.pullImage(image.reference);
  await cluster.node(to).mirror.answers(200, blobPath(cluster, image));
  await cluster.node(to).mirror.answers(
    200,
    `/v2/${image.repository}/manifests/v1?ns=${cluster.upstream.host}`,
  );
  await cluster.forget();
  return image;
}

Deno.test({
  name: "an image travels over TLS, and nobody on the way can read it",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await TestCluster.start({ nodes: 2, program: firstBehindWire });
    const folder = cluster.node(1).containerd.folder;
    const recording = `${folder}/recording`;
    await using _wire = await startWire(cluster.node(1), folder, recording);
    const image = await imageAt(cluster, 1, 2);
    assert.equal(await cluster.node(2).cri.pullImage(image.reference), image.config);
    assert.deepEqual(await cluster.upstream.requests(), []);

    const passed = await Deno.readFile(recording);
    const layer = await Deno.readFile(
      `${image.path}/blobs/${image.layers[0]!.replace(":", "/")}`,
    );
    assert(passed.length > layer.length, `${passed.length} bytes passed`);
    // Tokens, names of repositories and digests are not told to the one on the way either.
    const text = new TextDecoder("latin1").decode(passed);
    for (let at = 0; at + 64 <= layer.length; at += 100_000) {
      const piece = new TextDecoder("latin1").decode(layer.subarray(at, at + 64));
      assert(!text.includes(piece), `byte ${at} can be read`);
    }
    for (const word of ["HTTP/1.1", "sha256:", image.repository, "Kagami"]) {
      assert(!text.includes(word), `${word} can be read`);
    }
    const [one, two] = cluster.nodes.map(({ mirror }) => mirror);
    assert(await transfers(two!, "sent", "tls") > 0);
    assert(await transfers(one!, "received", "tls") > 0);
    assert.equal(await transfers(two!, "sent", "plain"), 0);
    assert.equal(await transfers(one!, "received", "plain"), 0);
  },
});

Deno.test({
  name: "somebody who poses as a node gets no request, and pulls go to another node",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await TestCluster.start({ nodes: 3, program: firstBehindWire });
    const folder = cluster.node(1).containerd.folder;
    await using wire = await startWire(cluster.node(1), folder);
    const image = await cluster.push({ layers: LAYERS });
    // Nobody can get it from node 1, so that node 3 gets it upstream.
    for (const number of [1, 3]) await cluster.node(number).cri.pullImage(image.reference);
    const { mirror, cri } = cluster.node(2);
    await mirror.answersFrom([cluster.node(3).mirror], blobPath(cluster, image));
    await cluster.forget();
    assert.equal(await cri.pullImage(image.reference), image.config);
    assert.deepEqual(await cluster.upstream.blobRequests(), []);
    const lines = (await wire.output()).split("\n");
    assert(lines.includes("connection"), "it was tried");
    assert.deepEqual(lines.filter((line) => line.startsWith("request")), []);
    assert.equal(await transfers(cluster.node(1).mirror, "received", "tls"), 0);
  },
});

const SECRETS = ["first", "second"].map((name) => name.repeat(10));

/** What a node without a place in the cluster gets for a request. */
async function statusFor(
  mirror: MirrorProcess,
  url: string,
  ...headers: string[]
): Promise<string> {
  const format = ["-k", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20"];
  const options = headers.flatMap((header) => ["-H", header]);
  return (await runInside(mirror.node, "curl", ...format, ...options, url)).stdout;
}

Deno.test({
  name: "with a secret members pull from one another, and others get nothing by DHT or HTTP",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    const folder = await Deno.makeTempDir({ prefix: "kagami-test-" });
    const secret = `${folder}/secret`;
    await Deno.writeTextFile(secret, SECRETS[0]!);
    try {
      const env = { CLUSTER_SECRET_PATH: secret };
      await using cluster = await TestCluster.start({ nodes: 2, env });
      const one = cluster.node(1).mirror;
      const image = await imageAt(cluster, 1, 2);
      await t.step("a member pulls over TLS", async () => {
        assert.equal(await cluster.node(2).cri.pullImage(image.reference), image.config);
        assert.deepEqual(await cluster.upstream.requests(), []);
        assert(await transfers(one, "received", "tls") > 0);
        assert.equal(await transfers(one, "received", "plain"), 0);
      });

      const node = await cluster.network.addNode("foreign");
      for (const [kind, secrets] of [["another secret", SECRETS[1]!], ["no secret", undefined]]) {
        await t.step(`a node with ${kind} finds nobody and gets nothing`, async () => {
          const own = `${folder}/foreign-${kind!.replace(" ", "-")}`;
          await Deno.mkdir(own);
          const layout = (await cluster.makeImage({ layers: [1000] })).path;
          if (secrets !== undefined) await Deno.writeTextFile(`${own}/secret`, secrets);
          await using foreign = await MirrorProcess.start(node, own, {
            bootstrap: [one.node],
            env: {
              STORE: "oci-layout",
              OCI_LAYOUT_PATH: layout,
              OCI_LAYOUT_REPOSITORY: "registry.example/seed",
              ...(secrets === undefined ? {} : { CLUSTER_SECRET_PATH: `${own}/secret` }),
            },
          });
          await eventually("it says that it has no peers", async () => {
            const text = await foreign.curl(`${foreign.url}/readyz`);
            return /no peers: (?!waiting)/.test(text);
          });
          await foreign.answers(404, blobPath(cluster, image));
          const path = blobPath(cluster, image);
          const [plain, tls] = [one.url, `https://${one.node.ip}:${PORTS.peers}`];
          for (const headers of [[], ["X-Spegel-Mirrored: true"]]) {
            assert.equal(await statusFor(foreign, `${plain}${path}`, ...headers), "403");
            assert.equal(await statusFor(foreign, `${tls}${path}`, ...headers), "403");
          }
          const forged = "X-Kagami-Token: 12D3KooWA.0." + "A".repeat(43) + "=";
          assert.equal(await statusFor(foreign, `${tls}${path}`, forged), "403");
          assert.match(await one.curl(`${one.url}/readyz`), /libp2p: ready: 1 peers/);
        });
      }
      await t.step("refusals are counted", async () => {
        for (const reason of ["secret", "token", "plain"]) {
          const count = await one.metric("kagami_peer_refusals_total", `reason="${reason}"`);
          assert(count > 0, `refused for ${reason}`);
        }
      });

      await t.step(
        "the secret is rotated node by node, and content goes on travelling",
        async () => {
          await Deno.writeTextFile(secret, `${SECRETS[1]}\n${SECRETS[0]}\n`);
          const [, two] = cluster.nodes.map(({ mirror }) => mirror);
          await two!.stop();
          await two!.startAgain();
          await two!.ready();
          await imageAt(cluster, 1, 2);
          await one.stop();
          await one.startAgain();
          await one.ready();
          await Deno.writeTextFile(secret, `${SECRETS[1]}\n`);
          await two!.stop();
          await two!.startAgain();
          await two!.ready();
          await imageAt(cluster, 2, 1);
        },
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
