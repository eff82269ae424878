/**
 * `kagami doctor` on real nodes: nothing is found where all is well, and each planted fault is found by its name.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { FindingCode } from "../../lib/doctor/finding.ts";
import { type ClusterNode, type PushedImage, TestCluster } from "./harness/cluster.ts";
import { CONTAINERD_MAJOR } from "./harness/containerd_program.ts";
import { codesOf, type Diagnosis, doctorOn, kagamiOn } from "./harness/doctor.ts";
import { MirrorProcess } from "./harness/mirror_process.ts";
import { eventually } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

/** The upstream registry of the first cluster that a test starts. */
const UPSTREAM = "10.99.0.1:5000";

const ENV = { MIRRORED_REGISTRIES: `http://${UPSTREAM}` };

/** Three nodes, of which the first two have an image, and know it of each other. */
async function startCluster(): Promise<{ cluster: TestCluster; image: PushedImage }> {
  const cluster = await TestCluster.start({ nodes: 3, env: ENV });
  assert.equal(cluster.upstream.host, UPSTREAM);
  const image = await cluster.push({ layers: [40_000, 20_000] });
  for (const number of [1, 2]) await cluster.node(number).cri.pullImage(image.reference);
  const [one, two, three] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  const keys = [image.reference, image.digest, image.config, ...image.layers];
  for (const [node, count] of [[one, 1], [two, 1], [three, 2]] as const) {
    for (const key of keys) {
      await eventually(`${node.mirror.node.name} knows who has ${key}`, async () => {
        const url = `http://127.0.0.1:9090/debug/locate?key=${encodeURIComponent(key)}`;
        return JSON.parse(await node.mirror.curl(url)).peers.length === count;
      });
    }
  }
  return { cluster, image };
}

function assertFound(diagnosis: Diagnosis, ...codes: FindingCode[]): void {
  const shown = JSON.stringify(diagnosis.findings, null, 2);
  for (const code of codes) assert.ok(codesOf(diagnosis).includes(code), `${code} in ${shown}`);
  for (const { level, remedy } of diagnosis.findings) {
    assert.equal(remedy === undefined, level === "ok", shown);
  }
  const isFailure = diagnosis.findings.some(({ level }) => level === "failure");
  assert.equal(diagnosis.code, isFailure ? 1 : 0);
  assert.equal(diagnosis.healthy, !isFailure);
}

/** Waits until a node knows so many peers, with their versions. */
async function knowsPeers(node: ClusterNode, count: number): Promise<void> {
  await eventually(`${node.mirror.node.name} knows ${count} peers`, async () => {
    const text = await node.mirror.curl("http://127.0.0.1:9090/debug/status");
    const peers: { version?: string }[] = JSON.parse(text).peers;
    return peers.filter(({ version }) => version !== undefined).length === count;
  });
}

/** Changes containerd's configuration while something is looked at. */
async function withConfig(
  { containerd, mirror }: ClusterNode,
  change: (text: string) => string,
  look: () => Promise<void>,
): Promise<void> {
  const path = `${containerd.folder}/config.toml`;
  const before = await Deno.readTextFile(path);
  const after = change(before);
  assert.notEqual(after, before);
  const restart = async (text: string) => {
    await containerd.stop();
    await Deno.writeTextFile(path, text);
    await containerd.startAgain();
    // It counts from its start what containerd asks.
    await mirror.stop();
    await mirror.startAgain();
    await mirror.ready();
  };
  await restart(after);
  await look();
  await restart(before);
}

/** Replaces a file, or removes it, while something is looked at. */
async function withFile(
  path: string,
  text: string | undefined,
  look: () => Promise<void>,
): Promise<void> {
  const before = await Deno.readTextFile(path);
  if (text === undefined) await Deno.remove(path);
  else await Deno.writeTextFile(path, text);
  await look();
  await Deno.writeTextFile(path, before);
}

Deno.test({
  name: "the doctor finds nothing on healthy nodes, and each of the planted faults",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    const { cluster, image } = await startCluster();
    await using _ = cluster;
    const [one, two, three] = [cluster.node(1), cluster.node(2), cluster.node(3)];
    const hostsPath = `${one.containerd.certsDir}/${UPSTREAM}/hosts.toml`;
    const folder = one.containerd.folder;

    await t.step("healthy", async () => {
      await knowsPeers(one, 2);
      const diagnosis = await doctorOn(one);
      assertFound(diagnosis);
      assert.deepEqual(codesOf(diagnosis), [], JSON.stringify(diagnosis.findings, null, 2));
      const texts = diagnosis.findings.map(({ check, what }) => `${check}: ${what}`);
      const peers = texts.filter((text) =>
        /^peers: \S+:5000 answers in [\d.]+ ms, Kagami/.test(text)
      );
      assert.equal(peers.length, 2);
      assert.ok(
        texts.some((text) => /^round-trip: \S+:5000 delivers \d+ bytes of sha256/.test(text)),
      );
      assert.ok(texts.some((text) => text.startsWith("hosts: ") && text.includes(hostsPath)));
      assert.ok(texts.some((text) => text.startsWith("identity: 12D3Koo")));
    });

    await t.step("healthy, as text without colours", async () => {
      const { code, stdout } = await kagamiOn(one, ["doctor"], {
        CONTAINERD_REGISTRY_CONFIG_PATH: one.containerd.certsDir,
      });
      assert.equal(code, 0);
      assert.match(stdout, /^ok {2}registry +http:\/\/127\.0\.0\.1:5000 is ready/m);
      assert.match(stdout, /^0 failures, 0 warnings, \d+ ok$/m);
      assert.ok(!stdout.includes("\x1b"));
    });

    await t.step("status shows the node", async () => {
      const { code, stdout } = await kagamiOn(one, ["status"]);
      assert.equal(code, 0);
      assert.match(stdout, /^store +containerd, ready: containerd /m);
      assert.match(stdout, /^announced +1 tags, 1 images, 4 contents$/m);
      assert.match(stdout, /^2 peers$/m);
      const json = JSON.parse((await kagamiOn(one, ["status", "--json"])).stdout);
      assert.equal(json.peers.length, 2);
    });

    await t.step("an image: on the node, at peers, nowhere, and filtered", async () => {
      const reference = image.reference;
      const local = await doctorOn(one, [reference]);
      assertFound(local);
      assert.deepEqual(
        local.image?.parts.map(({ kind, from, peers }) => [kind, from, peers]),
        ["tag", "manifest", "config", "layer", "layer"].map((
          kind,
        ) => [kind, "local", [`${two.mirror.node.ip}:5000`]]),
      );
      const remote = await doctorOn(three, [reference]);
      assert.equal(remote.image?.parts.length, 5);
      for (const { from, peers, why } of remote.image?.parts ?? []) {
        assert.equal(from, "peers");
        assert.equal(peers.length, 2);
        assert.match(why, /^now from peer \S+:5000; 2 peers have it$/);
      }
      const nowhere = await doctorOn(three, [`${UPSTREAM}/team/none:v1`]);
      assert.deepEqual(nowhere.image?.parts.map(({ kind, from }) => [kind, from]), [
        ["tag", "upstream"],
      ]);
      assert.match(nowhere.image?.parts[0]?.why ?? "", /^nobody announces it/);
      const other = await doctorOn(three, ["nginx"]);
      assert.equal(other.image?.image, "docker.io/library/nginx:latest");
      assert.match(other.image?.parts[0]?.why ?? "", /--mirrored-registries does not name docker/);
      const filtered = await doctorOn(three, [reference], { REGISTRY_FILTERS: "/team/" });
      assert.match(filtered.image?.parts[0]?.why ?? "", /--registry-filters has .*team/);
    });

    await t.step("containerd stopped", async () => {
      await one.containerd.kill();
      const diagnosis = await doctorOn(one);
      assertFound(diagnosis, "containerd-silent", "registry-not-ready");
      await one.containerd.startAgain();
      await one.mirror.ready();
    });

    await t.step("wrong socket", async () => {
      await one.mirror.stop();
      await using wrong = await MirrorProcess.start(one.mirror.node, folder, {
        containerd: one.containerd,
        bootstrap: [two.mirror.node],
        env: { ...ENV, CONTAINERD_SOCK: `${folder}/other.sock` },
      });
      await eventually("it answers", async () => await wrong.readiness() === 503);
      assertFound(await doctorOn(one), "containerd-no-socket", "registry-not-ready");
      // The doctor that is told the right one says where the mirror differs.
      const told = await doctorOn(one, [], { CONTAINERD_SOCK: one.containerd.sock });
      assertFound(told, "settings-differ", "registry-not-ready");
      assert.ok(!codesOf(told).includes("containerd-no-socket"));
    });

    await t.step("wrong content path", async () => {
      await Deno.mkdir(`${folder}/other/blobs/sha256`, { recursive: true });
      for (
        const [path, code] of [
          [`${folder}/none`, "content-path-missing"],
          [`${folder}/other`, "content-path-elsewhere"],
        ] as const
      ) {
        await using wrong = await MirrorProcess.start(one.mirror.node, folder, {
          containerd: one.containerd,
          bootstrap: [two.mirror.node],
          env: { ...ENV, CONTAINERD_CONTENT_PATH: path },
        });
        await wrong.ready();
        assertFound(await doctorOn(one), code);
      }
    });

    await t.step("mirror stopped", async () => {
      const env = { ...ENV, CONTAINERD_SOCK: one.containerd.sock };
      const diagnosis = await doctorOn(one, [], env);
      assertFound(diagnosis, "registry-silent", "metrics-silent", "hosts-unproven");
      await one.mirror.startAgain();
      await one.mirror.ready();
    });

    await t.step("hosts.toml missing", async () => {
      await withFile(hostsPath, undefined, async () => {
        assertFound(await doctorOn(one), "hosts-missing");
      });
    });

    await t.step("hosts.toml pointing to another node", async () => {
      const text = await Deno.readTextFile(hostsPath);
      const elsewhere = text.replaceAll(one.mirror.node.ip, two.mirror.node.ip);
      await withFile(hostsPath, elsewhere, async () => {
        assertFound(await doctorOn(one), "hosts-elsewhere");
      });
    });

    await t.step("hosts.toml damaged", async () => {
      await withFile(hostsPath, "[host.'http://", async () => {
        assertFound(await doctorOn(one), "hosts-invalid");
      });
    });

    await t.step("no folder for the mirror configuration", async () => {
      const env = { CONTAINERD_REGISTRY_CONFIG_PATH: `${folder}/none` };
      assertFound(await doctorOn(one, [], env), "certs-dir-missing");
      const pod = { ...env, KUBERNETES_SERVICE_HOST: "10.96.0.1" };
      assertFound(await doctorOn(one, [], pod), "certs-dir-not-visible");
    });

    await t.step("no identity, and none that can be read", async () => {
      const key = `${folder}/data/private.key`;
      await withFile(key, "no key", async () => {
        assertFound(await doctorOn(one), "identity-invalid");
      });
      await withFile(key, undefined, async () => {
        assertFound(await doctorOn(one), "identity-missing");
      });
    });

    await t.step("no config_path", async () => {
      const change = (text: string) => text.replace(/config_path = .*/, 'config_path = ""');
      await withConfig(one, change, async () => {
        // containerd 2 does not tell it; that nobody asks the mirror is all that can be seen.
        const code = CONTAINERD_MAJOR < 2 ? "config-path-unset" : "config-path-untold";
        assertFound(await doctorOn(one), code);
      });
    });

    await t.step("another config_path", async () => {
      const change = (text: string) =>
        text.replace(/config_path = .*/, 'config_path = "/etc/none"');
      await withConfig(one, change, async () => {
        const code = CONTAINERD_MAJOR < 2 ? "config-path-elsewhere" : "config-path-untold";
        assertFound(await doctorOn(one), code);
      });
    });

    await t.step("layers discarded", async () => {
      const change = (text: string) =>
        text.replace("discard_unpacked_layers = false", "discard_unpacked_layers = true");
      await withConfig(one, change, async () => {
        const other = await cluster.push({ layers: [30_000] });
        await one.cri.pullImage(other.reference);
        const code = CONTAINERD_MAJOR < 2 ? "layers-discarded" : "layers-missing";
        assertFound(await doctorOn(one), code);
      });
    });

    await t.step("a peer that hangs", async () => {
      await knowsPeers(one, 2);
      three.mirror.signal("SIGSTOP");
      try {
        assertFound(await doctorOn(one), "peer-silent");
      } finally {
        three.mirror.signal("SIGCONT");
      }
      await eventually(
        "it is back",
        async () => !codesOf(await doctorOn(one)).includes("peer-silent"),
      );
    });

    await t.step("a peer that died", async () => {
      await knowsPeers(one, 2);
      await three.mirror.kill();
      await eventually("it is lost", async () => {
        const { stdout } = await kagamiOn(one, ["status"]);
        return /^1 lost$/m.test(stdout);
      });
      assertFound(await doctorOn(one), "peer-lost");
    });

    await t.step("no peer can be reached", async () => {
      await cluster.network.setLink(one.mirror.node, "down");
      const diagnosis = await doctorOn(one);
      const codes = codesOf(diagnosis);
      assert.ok(codes.includes("peers-silent") || codes.includes("peers-none"), codes.join());
      assert.equal(diagnosis.code, 1);
      await eventually("the peers are lost", async () => {
        return codesOf(await doctorOn(one)).includes("peers-none");
      });
    });
  },
});
