/**
 * The mirror with no more rights than the Helm chart gives it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { TestCluster } from "./harness/cluster.ts";
import { KAGAMI } from "./harness/mirror_process.ts";
import { confine, identityOf, podRegistry } from "./harness/pod.ts";
import { eventually, ManagedProcess, run } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

Deno.test({
  name: "a mirror without root and capabilities does all of its work",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    const program = await podRegistry();
    await using cluster = await TestCluster.start({ nodes: 2, program: () => program });
    const [one, two] = [cluster.node(1), cluster.node(2)];
    const { user, group } = await identityOf("registry");
    assert.notEqual(user, 0);

    await t.step("it shares what its containerd pulls", async () => {
      const image = await cluster.push({ layers: [3_000_000, 20_000] });
      await one.cri.pullImage(image.reference);
      await two.mirror.answers(
        200,
        `/v2/${image.repository}/manifests/v1?ns=${cluster.upstream.host}`,
      );
      await cluster.forget();
      assert.equal(await two.cri.pullImage(image.reference), image.config);
      assert.deepEqual(await cluster.upstream.requests(), []);
    });

    await t.step("it keeps its identity in a directory that root made", async () => {
      const folder = `${one.containerd.folder}/data`;
      const key = await Deno.stat(`${folder}/private.key`);
      assert.deepEqual([key.uid, key.gid, key.mode! & 0o777], [user, group, 0o600]);
      const first = await Deno.readTextFile(`${folder}/private.key`);
      await one.mirror.stop();
      await one.mirror.startAgain();
      await one.mirror.ready();
      assert.equal(await Deno.readTextFile(`${folder}/private.key`), first);
    });

    await t.step(
      "it says that it must be restarted when containerd has made another socket",
      async () => {
        await one.mirror.answers(200, "/livez");
        await one.containerd.kill();
        await one.containerd.startAgain();
        await one.mirror.answers(503, "/livez");
        assert.match(
          await one.mirror.curl(`${one.mirror.url}/livez`),
          /its socket was replaced, .*: restart this container/,
        );
        await one.mirror.stop();
        await one.mirror.startAgain();
        await one.mirror.ready();
        await one.mirror.answers(200, "/livez");
      },
    );
  },
});

Deno.test({
  name: "root without capabilities configures containerd, and puts back what was there",
  ...REQUIRES_TEST_BED,
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "kagami-test-" });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const certs = `${folder}/certs.d`;
    await Deno.mkdir(`${certs}/example.com`, { recursive: true });
    await Deno.writeTextFile(`${certs}/example.com/ca.crt`, "certificate");
    // What others own can be read, but not given to them again.
    await Deno.chown(`${certs}/example.com/ca.crt`, 1000, 1000);
    const rootOnly = confine(await identityOf("configuration"));
    const [command = "", ...args] = [...rootOnly, ...KAGAMI];
    const path = `--containerd-registry-config-path=${certs}`;
    await run(command, ...args, "configuration", path, "--mirror-targets=http://192.0.2.1:30021");
    assert.match(await Deno.readTextFile(`${certs}/_default/hosts.toml`), /192\.0\.2\.1:30021/);

    const cleanup = ["cleanup", path, "--addr=127.0.0.1:0"];
    stack.use(
      await ManagedProcess.start("cleanup", `${folder}/log`, command, [...args, ...cleanup]),
    );
    await eventually("what was there is back", async () => {
      const names = await Array.fromAsync(Deno.readDir(certs), ({ name }) => name);
      return names.join() === "example.com";
    });
    assert.equal(await Deno.readTextFile(`${certs}/example.com/ca.crt`), "certificate");
  },
});
