/**
 * Other clients than the CRI, and the configuration commands.
 *
 * @module
 */
import assert from "node:assert/strict";
import { configure, TestCluster } from "./harness/cluster.ts";
import { runKagami } from "./harness/mirror_process.ts";
import { inside, runInside } from "./harness/network.ts";
import { run } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

Deno.test({
  name: "skopeo, ctr and curl pull through the mirror",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    // The upstream registry gets the first address of the network.
    const defaultRegistry = "10.99.0.1:5000";
    await using cluster = await TestCluster.start({
      nodes: 2,
      env: { DEFAULT_REGISTRY: defaultRegistry },
    });
    assert.equal(cluster.upstream.host, defaultRegistry);
    const [one, two] = [cluster.node(1), cluster.node(2)];
    const image = await cluster.push({ layers: [700_000, 80_000], platforms: ["amd64", "arm64"] });
    await run(
      "ip",
      ...inside(
        one.mirror.node,
        ...one.containerd.ctrCommand("image", "pull", "--all-platforms", "--plain-http"),
        image.reference,
      ),
    );
    const ns = `ns=${cluster.upstream.host}`;
    const blobPath = `/v2/${image.repository}/blobs/${image.layers[0]}`;
    // The tag is known last.
    await two.mirror.answers(200, `/v2/${image.repository}/manifests/v1?${ns}`);
    await cluster.forget();

    await t.step("skopeo names no registry and means the default one", async () => {
      const target = `${image.path}-copy`;
      await run(
        "ip",
        ...inside(
          two.mirror.node,
          ...["skopeo", "copy", "--all", "--insecure-policy", "--src-tls-verify=false"],
          `docker://${two.mirror.node.ip}:5000/${image.repository}:v1`,
          `oci:${target}:v1`,
        ),
      );
      for (const digest of [...image.layers, image.config]) {
        await Deno.stat(`${target}/blobs/${digest.replace(":", "/")}`);
      }
      assert.deepEqual(await cluster.upstream.requests(), []);
    });

    await t.step("ctr pulls by the configuration of the CRI", async () => {
      await run(
        "ip",
        ...inside(
          two.mirror.node,
          ...two.containerd.ctrCommand("image", "pull", "--hosts-dir", two.containerd.certsDir),
          image.reference,
        ),
      );
      assert.deepEqual(await cluster.upstream.requests(), []);
    });

    await t.step("curl resumes a blob, from the local store and from a peer", async () => {
      const whole = await Deno.readFile(one.containerd.blobPath(image.layers[0]!));
      for (const node of [one.mirror, two.mirror]) {
        const { stdout } = await runInside(
          node.node,
          ...["curl", "-s", "-D", "-", "-o", "/tmp/kagami-part", "-r", "100000-199999"],
          `${node.url}${blobPath}?${ns}`,
        );
        assert.match(stdout, /^HTTP\/1\.1 206 /);
        assert.match(stdout, new RegExp(`Content-Range: bytes 100000-199999/${whole.length}`, "i"));
        const part = await Deno.readFile("/tmp/kagami-part");
        assert.deepEqual(part, whole.slice(100_000, 200_000));
        await Deno.remove("/tmp/kagami-part");
      }
    });
  },
});

Deno.test({
  name: "configuration and cleanup leave certs.d as it was",
  ...REQUIRES_TEST_BED,
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "kagami-certs-" });
    try {
      const certs = `${folder}/certs.d`;
      await Deno.mkdir(`${certs}/docker.io`, { recursive: true });
      await Deno.mkdir(`${certs}/internal.example:5000`);
      await Deno.writeTextFile(
        `${certs}/docker.io/hosts.toml`,
        '# the operator\'s own\nserver = "https://registry-1.docker.io"\n\n[host."https://cache.example"]\n',
      );
      await Deno.chmod(`${certs}/docker.io/hosts.toml`, 0o600);
      await Deno.writeTextFile(`${certs}/internal.example:5000/ca.crt`, "certificate\n");
      await Deno.symlink("/nowhere", `${certs}/broken`);
      const before = `${folder}/before`;
      await run("cp", "-a", certs, before);

      for (const extra of [[], ["--prepend-existing"]]) {
        const { code, stderr } = await runKagami([
          "configuration",
          `--containerd-registry-config-path=${certs}`,
          ...["--mirrored-registries", "https://docker.io", "https://ghcr.io"],
          "--mirror-targets=http://127.0.0.1:5000",
          ...extra,
        ]);
        assert.equal(code, 0, stderr);
        const hosts = await Deno.readTextFile(`${certs}/docker.io/hosts.toml`);
        assert.match(hosts, /\[host\.'http:\/\/127\.0\.0\.1:5000'\]/);
        assert.equal(hosts.includes("cache.example"), extra.length > 0);
      }

      const port = 20_000 + Deno.pid % 20_000;
      const cleanup = new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "-A", "--no-check", new URL("../../main.ts", import.meta.url).href, "cleanup"],
          ...[`--addr=127.0.0.1:${port}`, `--containerd-registry-config-path=${certs}`],
        ],
        stderr: "null",
      }).spawn();
      const wait = await runKagami([
        "cleanup-wait",
        `--probe-endpoint=127.0.0.1:${port}`,
        "--period=100ms",
      ]);
      assert.equal(wait.code, 0, wait.stderr);
      cleanup.kill("SIGTERM");
      assert.equal((await cleanup.status).code, 0);
      await run("diff", "-r", "--no-dereference", before, certs);
      const { mode } = await Deno.stat(`${certs}/docker.io/hosts.toml`);
      assert.equal((mode ?? 0) & 0o777, 0o600);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "pulls work again from upstream after cleanup, with the mirrors gone",
  ...REQUIRES_TEST_BED,
  async fn() {
    await using cluster = await TestCluster.start({ nodes: 1 });
    const { containerd, cri, mirror } = cluster.node(1);
    await mirror.stop();
    const image = await cluster.push({ layers: [50_000] });
    assert.equal(await cri.pullImage(image.reference), image.config);
    // A registry that is not listed goes upstream without asking the mirror.
    await configure(containerd, ["http://other.example"]);
    const second = await cluster.push({ layers: [60_000] });
    await assert.rejects(cri.pullImage(second.reference), /server gave HTTP response/);
  },
});
