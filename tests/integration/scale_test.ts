/**
 * Many images, and a containerd that is restarted while it is used.
 *
 * @module
 */
import assert from "node:assert/strict";
import { makeImage } from "../unit/store/compliance.ts";
import { type ClusterNode, type PushedImage, TestCluster } from "./harness/cluster.ts";
import { ContainerdWriter } from "./harness/containerd_writer.ts";
import { runInside } from "./harness/network.ts";
import { eventually } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

const REGISTRY = "registry.example";
const REPOSITORY = "team/many";
const IMAGES = 2000;

/** Calls to containerd that are under way at the same time. */
const CONCURRENCY = 16;

/** Walks over thousands of images on a busy machine take their time. */
const FOLLOW_MS = 120_000;

/** Most memory of a mirror at any time, in MiB. What it needs is a tenth; the rest is garbage of its many walks. */
const MEMORY_LIMIT_MB = 512;

/** Runs a task for each number, several at a time. */
async function forEach(numbers: Iterable<number>, task: (number: number) => Promise<void>) {
  const open = [...numbers].values();
  const worker = async () => {
    for (const number of open) await task(number);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

function range(from: number, to: number, step = 1): number[] {
  return Array.from({ length: Math.ceil((to - from) / step) }, (_, index) => from + index * step);
}

/** Images of one layer and config, each with a manifest of its own. */
class ManyImages {
  readonly #image = makeImage(1, [1000]);
  readonly #writer: ContainerdWriter;

  constructor(writer: ContainerdWriter) {
    this.#writer = writer;
  }

  #manifest(number: number): Uint8Array {
    const manifest = JSON.parse(new TextDecoder().decode(this.#image.manifest.bytes));
    const annotations = { number: String(number) };
    return new TextEncoder().encode(JSON.stringify({ ...manifest, annotations }));
  }

  async create(numbers: Iterable<number>): Promise<void> {
    const { blobs } = this.#image;
    const labels = Object.fromEntries(
      blobs.map(({ digest }, index) => [`containerd.io/gc.ref.content.${index}`, digest]),
    );
    await this.#writer.leased(async () => {
      for (const { bytes } of blobs) await this.#writer.putContent(bytes);
      await forEach(numbers, async (number) => {
        const bytes = this.#manifest(number);
        await this.#writer.putImage(`${REGISTRY}/${REPOSITORY}:v${number}`, {
          mediaType: "application/vnd.oci.image.manifest.v1+json",
          digest: await this.#writer.putContent(bytes, labels),
          size: bytes.length,
        });
      });
    });
  }

  /** Removes images; the last one when all others are gone, and then their content. */
  async remove(numbers: readonly number[]): Promise<void> {
    const name = (number: number) => `${REGISTRY}/${REPOSITORY}:v${number}`;
    await forEach(numbers.slice(0, -1), (number) => this.#writer.deleteImage(name(number)));
    await this.#writer.deleteImage(name(numbers.at(-1)!), true);
  }
}

/** What a node advertises, as its metrics tell. */
async function advertised({ mirror }: ClusterNode): Promise<Record<string, number>> {
  const [tags, images, contents] = await Promise.all([
    mirror.metric("spegel_advertised_image_tags"),
    mirror.metric("spegel_advertised_image_digests"),
    mirror.metric("spegel_advertised_content_digests"),
  ]);
  return { tags, images, contents };
}

/** Waits until a node advertises exactly so much. */
async function advertises(
  node: ClusterNode,
  expected: () => Promise<Record<string, number>>,
): Promise<void> {
  let last: unknown;
  try {
    await eventually("the advertised state follows", async () => {
      const pair = [await advertised(node), await expected()].map((counts) =>
        JSON.stringify(counts)
      );
      last = pair.join(" instead of ");
      return pair[0] === pair[1];
    }, FOLLOW_MS);
  } catch (cause) {
    throw new Error(`${node.mirror.node.name} advertises ${last}`, { cause });
  }
}

/** Numbers of the images whose manifest a node can get, asked for all of them by their tags. */
async function found({ mirror }: ClusterNode): Promise<number[]> {
  const url = `${mirror.url}/v2/${REPOSITORY}/manifests/v[0-${IMAGES - 1}]?ns=${REGISTRY}`;
  const parallel = ["--parallel", "--parallel-max", String(CONCURRENCY)];
  const format = ["-o", "/dev/null", "-w", "%{http_code} %{url_effective}\n"];
  const { stdout } = await runInside(mirror.node, "curl", "-s", "-I", ...parallel, ...format, url);
  return [...stdout.matchAll(/^200 .*manifests\/v(\d+)\?/gm)]
    .map(([, number]) => Number(number))
    .sort((a, b) => a - b);
}

/** Waits until a node finds exactly these images. */
async function finds(node: ClusterNode, expected: readonly number[]): Promise<void> {
  let last: number[] = [];
  const isExact = async () => {
    last = await found(node);
    return JSON.stringify(last) === JSON.stringify(expected);
  };
  try {
    await eventually("all are found, and no others", isExact, FOLLOW_MS);
  } catch {
    assert.deepEqual(last, expected);
  }
}

Deno.test({
  name: "thousands of images that come and go quickly are followed exactly, in bounded memory",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    // The CRI gives names back that are deleted quickly in its own namespace.
    const namespace = "team";
    await using cluster = await TestCluster.start({
      nodes: 2,
      env: { CONTAINERD_NAMESPACE: namespace },
    });
    const [one, two] = [cluster.node(1), cluster.node(2)];
    using writer = new ContainerdWriter(one.containerd.sock, namespace);
    const images = new ManyImages(writer);
    const shared = 2; // Config and layer.
    const counts = (images: number) =>
      Promise.resolve({ tags: images, images, contents: images === 0 ? 0 : images + shared });

    await t.step("all are advertised, and found by the other node", async () => {
      await images.create(range(0, IMAGES));
      await advertises(one, () => counts(IMAGES));
      await finds(two, range(0, IMAGES));
    });

    await t.step("most go, and some come anew", async () => {
      await images.remove(range(0, IMAGES));
      const left = range(3, IMAGES, 4);
      await images.create(left);
      await advertises(one, () => counts(left.length));
      await finds(two, left);
    });

    await t.step("none is left", async () => {
      await images.remove(range(3, IMAGES, 4));
      await advertises(one, () => counts(0));
    });

    for (const { mirror } of [one, two]) {
      const peak = await mirror.peakMemory();
      assert(peak < MEMORY_LIMIT_MB, `the mirror of ${mirror.node.name} took ${peak} MiB`);
    }
  },
});

/** What a node has, as containerd tells. */
async function stored({ containerd }: ClusterNode): Promise<Record<string, number>> {
  // After the header: name, media type and digest.
  const lines = (await containerd.ctr("image", "ls")).trim().split("\n").slice(1);
  const images = lines.map((line) => line.split(/\s+/));
  const contents = await containerd.contents();
  return {
    // The CRI also keeps names with a digest, and such that are nothing but one.
    tags: images.filter(([name]) => /^[^@]+\/[^@]+$/.test(name!)).length,
    images: new Set(images.map(([_name, _type, digest]) => digest)).size,
    contents: contents.length,
  };
}

Deno.test({
  name:
    "pulls survive the restart of another node's containerd, and work again after that of their own",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await TestCluster.start({ nodes: 3 });
    const [source, restarted, other] = [cluster.node(1), cluster.node(2), cluster.node(3)];
    const images: PushedImage[] = [];
    for (let number = 0; number < 12; number++) {
      const image = await cluster.push({ layers: [2_000_000, 3_000_000, 20_000] });
      await source.cri.pullImage(image.reference);
      images.push(image);
    }
    let pulled = 0;
    const pullAll = async ({ cri }: ClusterNode, again: boolean) => {
      const open = images.values();
      const worker = async () => {
        for (const image of open) {
          const pull = async () => await cri.pullImage(image.reference) === image.config;
          if (again) await eventually(`${image.reference} is pulled`, pull, FOLLOW_MS);
          else assert(await pull());
          pulled += 1;
        }
      };
      await Promise.all([worker(), worker(), worker()]);
    };
    const pulling = Promise.all([pullAll(restarted, true), pullAll(other, false)]);
    await eventually("pulls are under way", () => Promise.resolve(pulled > 1));
    for (const node of [restarted, source]) {
      await node.containerd.kill();
      await node.containerd.startAgain();
    }
    await pulling;

    for (const node of [source, restarted, other]) {
      const ownTags = (await stored(node))["tags"];
      assert.equal(ownTags, images.length, `${node.mirror.node.name} has all images`);
      await advertises(node, () => stored(node));
    }
    await cluster.forget();
    for (const { repository, layers } of images) {
      const path = `/v2/${repository}/blobs/${layers[0]}?ns=${cluster.upstream.host}`;
      for (const { mirror } of [source, restarted, other]) await mirror.answers(200, path);
    }
    assert.deepEqual(await cluster.upstream.requests(), []);
  },
});
