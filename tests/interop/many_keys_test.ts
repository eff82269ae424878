/**
 * Thousands of announcements between the two implementations of the DHT.
 *
 * @module
 */
import assert from "node:assert/strict";
import { eventually } from "../unit/support/eventually.ts";
import { TestCluster } from "../integration/harness/cluster.ts";
import { makeImage } from "../integration/harness/images.ts";
import { type MirrorProcess, PORTS } from "../integration/harness/mirror_process.ts";
import { runInside } from "../integration/harness/network.ts";
import { HTTP_BOOTSTRAP, restart } from "./support/mixed_cluster.ts";
import { REGISTRIES, REQUIRES_SPEGEL } from "./support/programs.ts";

/** `ctr` fetches all layers of an image at the same time, so one image cannot have all of them. */
const IMAGES = 50;
const LAYERS = 40;
const LAYER_COUNT = IMAGES * LAYERS;
/** Layers, and a manifest and a config for each image. */
const CONTENTS = LAYER_COUNT + 2 * IMAGES;

/** The upstream registry, which has the first address of the network, has nothing of it. */
const REGISTRY = "10.99.0.1:5000";
const REPOSITORY = "many/app";

/** Thousands of requests, on a machine that does other things as well. */
const PATIENCE_MS = 180_000;

/** Makes images in one layout, each named by its number. */
async function makeImages(path: string): Promise<string[]> {
  const layers: string[] = [];
  const manifests: object[] = [];
  for (let number = 0; number < IMAGES; number++) {
    const options = { layers: new Array<number>(LAYERS).fill(40), seed: number + 1 };
    layers.push(...(await makeImage(path, options)).layers);
    const index = JSON.parse(await Deno.readTextFile(`${path}/index.json`));
    const annotations = { "org.opencontainers.image.ref.name": tagOf(number) };
    manifests.push({ ...index.manifests[0], annotations });
  }
  const index = JSON.stringify({ schemaVersion: 2, manifests });
  await Deno.writeTextFile(`${path}/index.json`, index);
  return layers;
}

function tagOf(number: number): string {
  return `image-${number}`;
}

Deno.test({
  name: `${CONTENTS} contents announced at once by Kagami are found by Spegel, and the other way`,
  ...REQUIRES_SPEGEL,
  async fn(t) {
    const folder = await Deno.makeTempDir({ prefix: "kagami-many-" });
    try {
      const layers = await makeImages(folder);
      const layoutKagami = [
        ...REGISTRIES.kagami,
        "--store=oci-layout",
        `--oci-layout-path=${folder}`,
        `--oci-layout-repository=${REGISTRY}/${REPOSITORY}`,
      ];
      await using cluster = await TestCluster.start({
        nodes: 3,
        env: { ...HTTP_BOOTSTRAP, DEFAULT_REGISTRY: REGISTRY },
        program: (number) => [layoutKagami, REGISTRIES.spegel, REGISTRIES.kagami][number - 1]!,
      });
      const [one, two, three] = [cluster.node(1), cluster.node(2), cluster.node(3)];
      assert.equal(cluster.upstream.host, REGISTRY);
      const paths = layers.map((digest) => `/v2/${REPOSITORY}/blobs/${digest}?ns=${REGISTRY}`);
      assert.equal(new Set(paths).size, LAYER_COUNT);

      await t.step("Spegel finds each content of Kagami", async () => {
        assert.equal(await one.mirror.metric("spegel_advertised_content_digests"), CONTENTS);
        await answersAll(two.mirror, paths);
      });

      await t.step("Spegel's containerd fetches all of it from Kagami's registry", async () => {
        for (let number = 0; number < IMAGES; number++) {
          const { code, stderr } = await runInside(
            two.mirror.node,
            ...two.containerd.ctrCommand("content", "fetch", "--plain-http"),
            `${one.mirror.node.ip}:${PORTS.registry}/${REPOSITORY}:${tagOf(number)}`,
          );
          assert.equal(code, 0, stderr);
        }
        assert.equal((await two.containerd.contents()).length, CONTENTS);
      });

      await t.step("Kagami finds each content of Spegel", async () => {
        await one.mirror.stop();
        // Spegel announces what is there when it starts.
        await restart(two.mirror, "stop");
        await answersAll(three.mirror, paths);
        assert.equal(await two.mirror.metric("spegel_advertised_content_digests"), CONTENTS);
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** Waits until a mirror finds every one of the contents. */
async function answersAll(mirror: MirrorProcess, paths: readonly string[]): Promise<void> {
  let missing = [...paths];
  await eventually(`${mirror.node.name} finds ${paths.length} contents`, async () => {
    const config = missing.map((path) => `url = "${mirror.url}${path}"\noutput = /dev/null\n`);
    const file = await Deno.makeTempFile({ prefix: "kagami-urls-" });
    await Deno.writeTextFile(file, config.join(""));
    const output = await mirror.curl("-I", "-w", "%{http_code}\\n", "--config", file);
    await Deno.remove(file);
    const statuses = output.trim().split("\n");
    assert.equal(statuses.length, missing.length);
    missing = missing.filter((_, index) => statuses[index] !== "200");
    return missing.length === 0;
  }, PATIENCE_MS);
}
