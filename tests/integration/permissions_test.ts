/**
 * A mirror in front of a real containerd, with no more permissions than it is said to need.
 *
 * @module
 */
import assert from "node:assert/strict";
import { permissionFlags } from "../../lib/cli/permissions.ts";
import { blobPath, TestCluster } from "./harness/cluster.ts";
import { KAGAMI, MAIN } from "./harness/mirror_process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

Deno.test({
  name: "the registry works beside containerd with no more than its permissions",
  ...REQUIRES_TEST_BED,
  async fn() {
    const own = { DATA_DIR: "", BASIC_AUTH_DIR: "/etc/secrets/basic-auth" };
    await using cluster = await TestCluster.start({ nodes: 2, env: own });
    const [deno] = KAGAMI;
    for (const { mirror, containerd } of cluster.nodes) {
      const flags = permissionFlags("registry", {
        "containerd-sock": containerd.sock,
        "containerd-content-path": containerd.contentPath,
        "containerd-registry-config-path": containerd.certsDir,
        "oci-layout-path": "",
      });
      await mirror.stop();
      await mirror.startAgain([deno!, "run", "--no-check", ...flags, MAIN, "registry"]);
      await mirror.ready();
    }
    const image = await cluster.push({ layers: [2_000_000] });
    const [one, two] = [cluster.node(1), cluster.node(2)];
    assert.equal(await one.cri.pullImage(image.reference), image.config);
    await two.mirror.answersFrom(
      [one.mirror],
      blobPath(cluster, image),
    );
    // It may connect to the socket again.
    await one.containerd.stop();
    await one.mirror.answers(503, "/readyz");
    await one.containerd.startAgain();
    await one.mirror.ready();
    for (const { mirror } of cluster.nodes) {
      const log = (await mirror.logLines()).map((line) => JSON.stringify(line)).join("\n");
      assert.doesNotMatch(log, /Requires \w+ access|NotCapable/);
    }
  },
});
