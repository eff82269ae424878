/**
 * A containerd that keeps no layers has none to share.
 *
 * @module
 */
import assert from "node:assert/strict";
import { TestCluster } from "./harness/cluster.ts";
import { eventually } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

Deno.test({
  name: "a mirror warns of layers that containerd discards, and of none where it keeps them",
  ...REQUIRES_TEST_BED,
  async fn() {
    for (const discardUnpackedLayers of [true, false]) {
      await using cluster = await TestCluster.start({
        nodes: 1,
        containerd: { discardUnpackedLayers },
      });
      const { containerd, cri, mirror } = cluster.node(1);
      const image = await cluster.push({ layers: [50_000] });
      await cri.pullImage(image.reference);
      await mirror.stop();
      await mirror.forget();
      await mirror.startAgain();
      await mirror.ready();
      // The mirror looks when it connects, before it advertises anything.
      await eventually("the image is advertised", async () => {
        return await mirror.metric("spegel_advertised_image_tags") === 1;
      });
      const warnings = (await mirror.logLines()).filter(({ level }) => level === "WARN");
      const about = warnings.filter(({ remedy }) =>
        String(remedy).includes("discard_unpacked_layers = false")
      );
      assert.equal(about.length, discardUnpackedLayers ? 1 : 0, JSON.stringify(warnings));
      const contents = await containerd.contents();
      assert.equal(contents.includes(image.layers[0]!), !discardUnpackedLayers);
    }
  },
});
