/**
 * The test bed itself, without Kagami: if one of these fails, failures of the other integration tests mean nothing.
 *
 * @module
 */
import assert from "node:assert/strict";
import { ContainerdDaemon } from "./harness/containerd_daemon.ts";
import { CriClient } from "./harness/cri_client.ts";
import { LAYOUT_TAG, makeImage, PLATFORM } from "./harness/images.ts";
import { inside, type NetworkNode, runInside, TestNetwork } from "./harness/network.ts";
import { eventually, run } from "./harness/process.ts";
import { namespacesBeside, processesWith, remainsOf } from "./harness/remains.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";
import { UpstreamRegistry } from "./harness/upstream_registry.ts";

const LAYER_SIZE = 100_000;

interface Bed {
  readonly folder: string;
  readonly nodes: readonly NetworkNode[];
  readonly containerds: readonly ContainerdDaemon[];
  readonly upstream: UpstreamRegistry;
}

/** Starts a registry and two nodes with a containerd each; the stack ends all of it. */
async function startBed(stack: AsyncDisposableStack): Promise<Bed> {
  const folder = await Deno.makeTempDir({ prefix: "kagami-bed-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const network = stack.use(await TestNetwork.create());
  const upstreamNode = await network.addNode("upstream");
  const upstream = stack.use(await UpstreamRegistry.start(upstreamNode, `${folder}/upstream`));
  const nodes = [await network.addNode("a"), await network.addNode("b")];
  const containerds = [];
  for (const node of nodes) {
    await Deno.mkdir(`${folder}/${node.name}`);
    const containerd = stack.use(await ContainerdDaemon.start(node, `${folder}/${node.name}`));
    await writeHosts(containerd, upstream);
    containerds.push(containerd);
  }
  return { folder, nodes, containerds, upstream };
}

/** Without it, containerd would speak TLS to a registry that is not on localhost. */
async function writeHosts(containerd: ContainerdDaemon, upstream: UpstreamRegistry): Promise<void> {
  const folder = `${containerd.certsDir}/${upstream.host}`;
  await Deno.mkdir(folder, { recursive: true });
  const url = `http://${upstream.host}`;
  // With a server line alone, containerd 1.6 still speaks TLS.
  const text = `server = "${url}"\n[host."${url}"]\ncapabilities = ["pull", "resolve"]\n`;
  await Deno.writeTextFile(`${folder}/hosts.toml`, text);
}

/** Makes an image and pushes it as it is. */
async function push({ folder, upstream }: Bed, name: string, platforms: readonly string[]) {
  const layers = [LAYER_SIZE, LAYER_SIZE];
  const image = await makeImage(`${folder}/image-${name}`, { layers, seed: 7, platforms });
  const reference = `${upstream.host}/test/${name}:v1`;
  const skopeo = ["skopeo", "copy", "--all", "--insecure-policy", "--dest-tls-verify=false"];
  const from = `oci:${image.path}:${LAYOUT_TAG}`;
  await run("ip", ...inside(upstream.node, ...skopeo, from, `docker://${reference}`));
  return { ...image, reference };
}

const NOTHING = { namespaces: [], processes: [], mounts: [] };

Deno.test({
  name: "nodes reach one another over IPv4 and IPv6, and the machine's own network stays as it is",
  ...REQUIRES_TEST_BED,
  fn: async () => {
    const before = await run("ip", "-brief", "link");
    await using network = await TestNetwork.create();
    const first = await network.addNode("first");
    const second = await network.addNode("second");
    for (const [host, url] of [[second.ip, second.ip], [second.ipv6, `[${second.ipv6}]`]]) {
      const { code, stderr } = await runInside(first, "curl", "-s", "-g", `http://${url}:9/`);
      // 7: nobody listens, so the refusal has come from the other node; 28 or 6 would be silence.
      assert.equal(code, 7, `${host}: ${stderr}`);
    }
    assert.equal(await run("ip", "-brief", "link"), before);
  },
});

Deno.test({
  name: "the CRI pulls an image of two layers from the registry, ctr sees it, the log tells it",
  ...REQUIRES_TEST_BED,
  fn: async () => {
    await using stack = new AsyncDisposableStack();
    const bed = await startBed(stack);
    const image = await push(bed, "single", [PLATFORM]);
    await bed.upstream.forget();
    for (const containerd of bed.containerds) {
      using cri = new CriClient(containerd.sock);
      assert.equal(await cri.pullImage(image.reference), image.config);
      assert.ok((await containerd.images()).includes(image.reference));
      const contents = await containerd.contents();
      for (const digest of [image.digest, image.config, ...image.layers]) {
        assert.ok(contents.includes(digest), `${containerd.node.name} lacks ${digest}`);
      }
    }
    const pulls = bed.nodes.flatMap(({ ip }) =>
      image.layers.map((digest) => `${ip} GET /v2/test/single/blobs/${digest}`)
    );
    await eventually("the registry's log names each layer for each node", async () => {
      const requests = await bed.upstream.blobRequests();
      const lines = requests.map(({ from, method, path }) => {
        return `${from} ${method} ${path.split("?")[0]}`;
      });
      return pulls.every((line) => lines.some((other) => other === line));
    });
  },
});

Deno.test({
  name: "a multi-architecture image brings only the layers of this machine",
  ...REQUIRES_TEST_BED,
  fn: async () => {
    await using stack = new AsyncDisposableStack();
    const bed = await startBed(stack);
    const other = PLATFORM === "amd64" ? "arm64" : "amd64";
    const image = await push(bed, "multi", [PLATFORM, other]);
    const [containerd] = bed.containerds;
    assert.ok(containerd);
    using cri = new CriClient(containerd.sock);
    assert.equal(await cri.pullImage(image.reference), image.config);
    const contents = await containerd.contents();
    assert.deepEqual(
      contents.toSorted(),
      [...contents.filter((digest) => !image.layers.includes(digest)), ...image.layers].toSorted(),
    );
    // The index, one manifest, its config and two layers.
    assert.equal(contents.length, 5);
  },
});

Deno.test({
  name: "a failed pull tells containerd's own reason",
  ...REQUIRES_TEST_BED,
  fn: async () => {
    await using stack = new AsyncDisposableStack();
    const bed = await startBed(stack);
    const [containerd] = bed.containerds;
    assert.ok(containerd);
    using cri = new CriClient(containerd.sock);
    await assert.rejects(cri.pullImage(`${bed.upstream.host}/test/none:v1`), /not found/);
  },
});

Deno.test({
  name: "a killed containerd and a stopped registry start again with what they hold",
  ...REQUIRES_TEST_BED,
  fn: async () => {
    await using stack = new AsyncDisposableStack();
    const bed = await startBed(stack);
    const image = await push(bed, "kept", [PLATFORM]);
    const [first, second] = bed.containerds;
    assert.ok(first !== undefined && second !== undefined);
    using cri = new CriClient(first.sock);
    await cri.pullImage(image.reference);
    await first.kill();
    await assert.rejects(cri.pullImage(image.reference), /UNAVAILABLE/);
    await first.startAgain();
    assert.ok((await first.images()).includes(image.reference));

    await bed.upstream.stop();
    using secondCri = new CriClient(second.sock);
    await assert.rejects(secondCri.pullImage(image.reference), /connection refused/);
    await bed.upstream.startAgain();
    assert.equal(await secondCri.pullImage(image.reference), image.config);
  },
});

Deno.test({
  name: "removeEverything() empties the store, so that the next pull fetches every layer again",
  ...REQUIRES_TEST_BED,
  fn: async () => {
    await using stack = new AsyncDisposableStack();
    const bed = await startBed(stack);
    const image = await push(bed, "again", [PLATFORM]);
    const [containerd] = bed.containerds;
    assert.ok(containerd);
    using cri = new CriClient(containerd.sock);
    await cri.pullImage(image.reference);
    await containerd.removeEverything();
    assert.deepEqual([await containerd.images(), await containerd.contents()], [[], []]);
    await cri.pullImage(image.reference);
    const contents = await containerd.contents();
    assert.deepEqual(image.layers.filter((digest) => !contents.includes(digest)), []);
  },
});

Deno.test({
  name: "nothing is left of a bed: no namespaces, processes, mounts",
  ...REQUIRES_TEST_BED,
  fn: async () => {
    const stack = new AsyncDisposableStack();
    let bed: Bed;
    try {
      bed = await startBed(stack);
      const image = await push(bed, "gone", [PLATFORM]);
      using cri = new CriClient(bed.containerds[0]!.sock);
      await cri.pullImage(image.reference);
      // The look itself has to find what runs, or finding nothing would say nothing.
      assert.equal((await namespacesBeside(bed.upstream.node)).length, 4);
      assert.ok((await processesWith(bed.folder)).length >= 3);
    } finally {
      await stack.disposeAsync();
    }
    assert.deepEqual(await remainsOf(bed.folder, bed.upstream.node), NOTHING);
    await assert.rejects(Deno.stat(bed.folder), Deno.errors.NotFound);
  },
});

Deno.test({
  name: "nothing is left of a bed whose set-up fails in the middle",
  ...REQUIRES_TEST_BED,
  fn: async () => {
    let node: NetworkNode | undefined;
    let folder = "";
    await assert.rejects(async () => {
      await using stack = new AsyncDisposableStack();
      const bed = await startBed(stack);
      node = bed.upstream.node;
      folder = bed.folder;
      // A folder that cannot be: a file is in its place.
      await Deno.writeTextFile(`${folder}/file`, "");
      stack.use(await ContainerdDaemon.start(node, `${folder}/file`));
    });
    assert.ok(node !== undefined && folder !== "");
    assert.deepEqual(await remainsOf(folder, node), NOTHING);
  },
});
