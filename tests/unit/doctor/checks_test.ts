import assert from "node:assert/strict";
import type { CheckContext } from "../../../lib/doctor/check.ts";
import { certsDirCheck } from "../../../lib/doctor/checks/certs_dir.ts";
import {
  configPathCheck,
  containerdCheck,
  layersCheck,
} from "../../../lib/doctor/checks/containerd.ts";
import { contentCheck } from "../../../lib/doctor/checks/content.ts";
import type { NodeStatus, PeerTransferStatus } from "../../../lib/debug/node_status.ts";
import { hostsCheck } from "../../../lib/doctor/checks/hosts.ts";
import { identityCheck } from "../../../lib/doctor/checks/identity.ts";
import { metricsCheck, registryCheck, settingsCheck } from "../../../lib/doctor/checks/mirror.ts";
import { peersCheck } from "../../../lib/doctor/checks/peers.ts";
import { secretCheck, transferCheck } from "../../../lib/doctor/checks/transfer.ts";
import { roundTripCheck } from "../../../lib/doctor/checks/round_trip.ts";
import { UnavailableError } from "../../../lib/errors.ts";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { KEY_FILE, loadIdentity } from "../../../lib/routing/libp2p/identity.ts";
import { MemoryRouter } from "../../../lib/routing/memory_router.ts";
import { withFolder } from "../cli/configuration_folder.ts";
import { makeContent } from "../support/content.ts";
import { startFaultPeer } from "../support/fault_peer.ts";
import { freePort } from "../support/free_port.ts";
import { codesOf, GOOD_CONTAINERD, NEVER, startDoctorNode } from "./doctor_node.ts";

function withSettings(
  context: CheckContext,
  changes: Partial<CheckContext["settings"]>,
): CheckContext {
  return { ...context, settings: { ...context.settings, ...changes } };
}

Deno.test("registry: ready, not ready with the reason, and silent", async () => {
  await using ready = await startDoctorNode();
  const [finding] = await registryCheck.run(await ready.context(), NEVER);
  assert.equal(finding?.level, "ok");
  await using waiting = await startDoctorNode({
    router: { status: () => Promise.resolve({ ready: false, detail: "no peers: none answers" }) },
  });
  const [other] = await registryCheck.run(await waiting.context(), NEVER);
  assert.equal(other?.code, "registry-not-ready");
  assert.match(other?.what ?? "", /no peers: none answers/);
  const silent = await ready.context({ readiness: new UnavailableError("nobody there") });
  assert.deepEqual(await codesOf(registryCheck, silent), ["registry-silent"]);
});

Deno.test("metrics: with and without the debug endpoints, and silent", async () => {
  await using told = await startDoctorNode();
  assert.deepEqual(await codesOf(metricsCheck, await told.context()), ["ok"]);
  await using untold = await startDoctorNode({ hasDebug: false });
  assert.deepEqual(await codesOf(metricsCheck, await untold.context()), ["debug-disabled"]);
  const ask = () => Promise.reject(new UnavailableError("connection refused"));
  assert.deepEqual(await codesOf(metricsCheck, await told.context({ ask })), ["metrics-silent"]);
});

Deno.test("settings: differences are told", async () => {
  await using node = await startDoctorNode();
  assert.deepEqual(await codesOf(settingsCheck, await node.context()), ["ok"]);
  const context = await node.context({ differences: ["--store is a, the mirror has b"] });
  assert.deepEqual(await codesOf(settingsCheck, context), ["settings-differ"]);
});

Deno.test("containerd: there, without a socket, with a file in its place, and silent", async () => {
  await using node = await startDoctorNode();
  const context = await node.context();
  assert.deepEqual(await codesOf(containerdCheck, context), ["ok"]);
  await withFolder(async (folder) => {
    const failed = { ...context, containerd: new UnavailableError("connection refused") };
    const at = (name: string) => withSettings(failed, { containerdSock: `${folder}/${name}` });
    assert.deepEqual(await codesOf(containerdCheck, at("none")), ["containerd-no-socket"]);
    await Deno.writeTextFile(`${folder}/file`, "");
    assert.deepEqual(await codesOf(containerdCheck, at("file")), ["containerd-no-socket"]);
    using _ = Deno.listen({ transport: "unix", path: `${folder}/socket` });
    assert.deepEqual(await codesOf(containerdCheck, at("socket")), ["containerd-silent"]);
    const denied = { ...at("socket"), containerd: new UnavailableError("connect EACCES socket") };
    assert.deepEqual(await codesOf(containerdCheck, denied), ["containerd-denied"]);
  });
});

for (
  const [told, code] of [
    [{}, "ok"],
    [{ configPath: "/certs.d/" }, "ok"],
    [{ configPath: "/etc/other:/certs.d" }, "ok"],
    [{ configPath: "/etc/other" }, "config-path-elsewhere"],
    [{ configPath: "", lacksConfigPath: true }, "config-path-unset"],
    [{ configPath: "/a:/b", hasConfigPathList: true }, "config-path-list"],
  ] as const
) {
  Deno.test(`config-path: ${JSON.stringify(told)} is ${code}`, async () => {
    await using node = await startDoctorNode();
    const settings = { ...GOOD_CONTAINERD.settings, ...told };
    const context = await node.context({ containerd: { ...GOOD_CONTAINERD, settings } });
    assert.deepEqual(await codesOf(configPathCheck, context), [code]);
  });
}

Deno.test("config-path: untold, it shows in what containerd has asked", async () => {
  await using node = await startDoctorNode();
  const { configPath: _, ...settings } = GOOD_CONTAINERD.settings;
  const containerd = { ...GOOD_CONTAINERD, settings };
  assert.deepEqual(await codesOf(configPathCheck, await node.context({ containerd })), [
    "config-path-untold",
  ]);
  const answered = { handler: "mirror" } as const;
  const answer = { status: 404, headers: {}, body: undefined, facts: answered };
  const exchange = { method: "GET", path: "/v2/", handler: "/v2/*", status: 404, bytes: 0 };
  const rest = { seconds: 0, complete: true, answer };
  node.activity.finished({ ...exchange, ...rest, agent: "curl/8" });
  assert.deepEqual(await codesOf(configPathCheck, await node.context({ containerd })), [
    "config-path-untold",
  ]);
  node.activity.finished({ ...exchange, ...rest, agent: "containerd/v2.1.0" });
  assert.deepEqual(await codesOf(configPathCheck, await node.context({ containerd })), ["ok"]);
});

for (
  const [changes, code] of [
    [{}, "ok"],
    [{ discardsLayers: true }, "layers-discarded"],
    [{ discardsLayers: undefined }, "ok"],
    [{ discardsLayers: undefined, lacksLayers: true }, "layers-missing"],
  ] as const
) {
  Deno.test(`layers: ${JSON.stringify(Object.entries(changes))} is ${code}`, async () => {
    await using node = await startDoctorNode();
    const settings = { ...GOOD_CONTAINERD.settings, ...changes };
    const context = await node.context({ containerd: { ...GOOD_CONTAINERD, settings } });
    assert.deepEqual(await codesOf(layersCheck, context), [code]);
  });
}

Deno.test("containerd's settings are not looked at while it is away, or not the store", async () => {
  await using node = await startDoctorNode();
  const away = await node.context({ containerd: new UnavailableError("away") });
  const layout = withSettings(await node.context(), { store: "oci-layout" });
  for (const context of [away, layout]) {
    for (const check of [configPathCheck, layersCheck]) {
      assert.deepEqual(await codesOf(check, context), []);
    }
  }
  assert.deepEqual(await codesOf(containerdCheck, layout), []);
  assert.deepEqual(await codesOf(certsDirCheck, layout), []);
  assert.deepEqual(await codesOf(hostsCheck, layout), []);
});

Deno.test("content: there, missing, another containerd's, and an OCI layout", async () => {
  await using node = await startDoctorNode();
  const { bytes, digest } = makeContent(100);
  node.node.store.put(bytes);
  const context = await node.context();
  await withFolder(async (folder) => {
    const at = (path: string) => withSettings(context, { containerdContentPath: path });
    assert.deepEqual(await codesOf(contentCheck, at(`${folder}/none`)), ["content-path-missing"]);
    assert.deepEqual(await codesOf(contentCheck, at(folder)), ["content-path-elsewhere"]);
    await Deno.mkdir(`${folder}/blobs/sha256`, { recursive: true });
    const [elsewhere] = await contentCheck.run(at(folder), NEVER);
    assert.equal(elsewhere?.code, "content-path-elsewhere");
    assert.match(elsewhere?.what ?? "", /containerd itself says \/content$/);
    await Deno.writeFile(`${folder}/blobs/${digest.replace(":", "/")}`, bytes);
    assert.deepEqual(await codesOf(contentCheck, at(folder)), ["ok"]);

    const layout = withSettings(context, { store: "oci-layout", ociLayoutPath: folder });
    assert.deepEqual(await codesOf(contentCheck, layout), ["layout-unreadable"]);
    await Deno.writeTextFile(`${folder}/oci-layout`, "{}");
    await Deno.writeTextFile(`${folder}/index.json`, "{}");
    assert.deepEqual(await codesOf(contentCheck, layout), ["ok"]);
  });
});

Deno.test("certs-dir: there, missing on a node and in a pod, and a file", async () => {
  await using node = await startDoctorNode();
  await withFolder(async (folder) => {
    const at = (configPath: string, isInPod = false) => node.context({ configPath, isInPod });
    assert.deepEqual(await codesOf(certsDirCheck, await at(folder)), ["ok"]);
    const none = `${folder}/none`;
    assert.deepEqual(await codesOf(certsDirCheck, await at(none)), ["certs-dir-missing"]);
    assert.deepEqual(await codesOf(certsDirCheck, await at(none, true)), ["certs-dir-not-visible"]);
    await Deno.writeTextFile(`${folder}/file`, "");
    const file = await at(`${folder}/file`);
    assert.deepEqual(await codesOf(certsDirCheck, file), ["certs-dir-denied"]);
    assert.deepEqual(await codesOf(hostsCheck, file), [], "told by the other check");
  });
});

async function writeHosts(folder: string, name: string, text: string): Promise<void> {
  await Deno.mkdir(`${folder}/${name}`, { recursive: true });
  await Deno.writeTextFile(`${folder}/${name}/hosts.toml`, text);
}

Deno.test("hosts: missing, damaged, leading here, elsewhere, and to nobody", async () => {
  await using here = await startDoctorNode({ id: "here" });
  await using there = await startDoctorNode({ id: "there" });
  const own = `[host.'http://127.0.0.1:${here.node.port}']\ncapabilities = ['pull']\n`;
  const other = `[host.'http://127.0.0.1:${there.node.port}']\n`;
  const nobody = `[host.'http://127.0.0.1:${freePort()}']\n`;
  await withFolder(async (configPath) => {
    const context = await here.context({ configPath });
    const down = { ...context, readiness: new UnavailableError("down") };
    for (
      const [text, codes, seen] of [
        [undefined, ["hosts-missing"], context],
        ["[host.", ["hosts-invalid"], context],
        [own, ["ok"], context],
        [other, ["hosts-elsewhere"], context],
        [nobody, ["hosts-elsewhere"], context],
        ["server = 'https://docker.io'", ["hosts-elsewhere"], context],
        [other + own, ["ok"], context],
        [own + nobody, ["ok", "hosts-target-silent"], context],
        [nobody, ["hosts-unproven"], down],
        [other, ["hosts-elsewhere"], down],
      ] as const
    ) {
      if (text !== undefined) await writeHosts(configPath, "_default", text);
      assert.deepEqual(await codesOf(hostsCheck, seen), codes, text ?? "no file");
    }
    const [finding] = await hostsCheck.run(context, NEVER);
    assert.equal(finding?.level, "failure");
  });
});

Deno.test("hosts: the folder that containerd takes counts", async () => {
  await using node = await startDoctorNode();
  const own = `[host.'http://127.0.0.1:${node.node.port}']\n`;
  await withFolder(async (configPath) => {
    const all = await node.context({ configPath });
    await writeHosts(configPath, "_default", own);
    await writeHosts(configPath, "quay.io", "server = 'https://quay.io'\n");
    await writeHosts(configPath, "ghcr.io", own);
    assert.deepEqual(await codesOf(hostsCheck, all), ["ok", "hosts-overridden"]);
    const some = withSettings(all, {
      mirroredRegistries: ["ghcr.io", "quay.io", "a.example:5000"],
    });
    assert.deepEqual(await codesOf(hostsCheck, some), ["ok", "hosts-elsewhere", "ok"]);
    await Deno.mkdir(`${configPath}/a.example_5000_`);
    assert.deepEqual(await codesOf(hostsCheck, some), ["ok", "hosts-elsewhere", "hosts-missing"]);
  });
});

Deno.test("hosts: credentials must be those of the mirror", async () => {
  const credentials = { username: "u", password: "p" };
  await using node = await startDoctorNode({ credentials });
  const own = `[host.'http://127.0.0.1:${node.node.port}']\n`;
  const header = `[host.'http://127.0.0.1:${node.node.port}'.header]\n`;
  await withFolder(async (configPath) => {
    const context = await node.context({ configPath });
    await writeHosts(configPath, "_default", own);
    assert.deepEqual(await codesOf(hostsCheck, context), ["hosts-unauthorized"]);
    await writeHosts(configPath, "_default", `${own}${header}Authorization = 'Basic dTpw'\n`);
    assert.deepEqual(await codesOf(hostsCheck, context), ["ok"]);
  });
});

Deno.test("identity: none, missing, kept, damaged, unreadable, and another one", async () => {
  await using node = await startDoctorNode({ id: "other" });
  const context = await node.context();
  const silent = { ...context, mirror: { kind: "silent", reason: "down" } } as const;
  assert.deepEqual(await codesOf(identityCheck, context), ["identity-none"]);
  await withFolder(async (dataDir) => {
    const at = (seen: CheckContext) => withSettings(seen, { dataDir });
    assert.deepEqual(await codesOf(identityCheck, at(silent)), ["identity-missing"]);
    await loadIdentity(dataDir, silentLogger);
    assert.deepEqual(await codesOf(identityCheck, at(silent)), ["ok"]);
    assert.deepEqual(await codesOf(identityCheck, at(context)), ["identity-unused"]);
    await Deno.writeTextFile(`${dataDir}/${KEY_FILE}`, "no key");
    assert.deepEqual(await codesOf(identityCheck, at(silent)), ["identity-invalid"]);
    await Deno.remove(`${dataDir}/${KEY_FILE}`);
    await Deno.mkdir(`${dataDir}/${KEY_FILE}`);
    assert.deepEqual(await codesOf(identityCheck, at(silent)), ["identity-denied"]);
  });
});

Deno.test("peers: none, alone, reachable, one silent, all silent, and lost", async () => {
  await using node = await startDoctorNode({ id: "self" });
  const mirror = await node.client.state();
  assert.equal(mirror.kind, "told");
  const reachable = { id: "a", addresses: ["127.0.0.1"], registryPort: node.node.port };
  const silent = { id: "b", addresses: ["127.0.0.1"], registryPort: freePort() };
  const lost = { id: "c", addresses: ["10.0.0.9"], agoMs: 12_000 };
  const alone = { name: "libp2p", ready: true, detail: "no other nodes" };
  const seen = async (changes: object) => {
    const status = { ...mirror.status, ...changes };
    return await codesOf(peersCheck, await node.context({ mirror: { kind: "told", status } }));
  };
  assert.deepEqual(await seen({ peers: [], router: { ...alone, detail: "no peers: x" } }), [
    "peers-none",
  ]);
  assert.deepEqual(await seen({ peers: [], router: alone }), ["peers-alone"]);
  assert.deepEqual(await seen({ peers: [], router: alone, lost: [lost] }), [
    "peers-none",
    "peer-lost",
  ]);
  assert.deepEqual(await seen({ peers: [reachable] }), ["ok"]);
  assert.deepEqual(await seen({ peers: [reachable, silent] }), ["ok", "peer-silent"]);
  assert.deepEqual(await seen({ peers: [silent], lost: [lost] }), ["peers-silent", "peer-lost"]);
  const moved = { ...reachable, addresses: ["127.255.255.254", "127.0.0.1"] };
  assert.deepEqual(await seen({ peers: [moved] }), ["ok"], "any address of a peer will do");
});

Deno.test("peers: latency, version and zone are told", async () => {
  await using node = await startDoctorNode({ id: "self" });
  const other = { id: "a", addresses: ["127.0.0.1"], registryPort: node.node.port };
  new MemoryRouter({ network: node.node.network, self: { ...other, zone: "z", version: "9.9" } });
  const [finding] = await peersCheck.run(await node.context(), NEVER);
  assert.match(finding?.what ?? "", /^127\.0\.0\.1:\d+ in z answers in [\d.]+ ms, Kagami 9\.9$/);
});

Deno.test("secret: none, good, rotated, missing and too short", async () => {
  await using node = await startDoctorNode({ id: "self" });
  const context = await node.context();
  assert.deepEqual(await codesOf(secretCheck, context), []);
  await withFolder(async (folder) => {
    const clusterSecretPath = `${folder}/secret`;
    const seen = () => codesOf(secretCheck, withSettings(context, { clusterSecretPath }));
    assert.deepEqual(await seen(), ["secret-unusable"]);
    await Deno.writeTextFile(clusterSecretPath, "short");
    assert.deepEqual(await seen(), ["secret-unusable"]);
    await Deno.writeTextFile(clusterSecretPath, `${"a".repeat(32)}\n${"b".repeat(32)}`);
    assert.deepEqual(await seen(), ["ok"]);
  });
});

Deno.test("transfer: TLS with all, plain with some, impossible, untold, never, and refused", async () => {
  await using node = await startDoctorNode({ id: "self" });
  const mirror = await node.client.state();
  assert(mirror.kind === "told");
  const peers = ["a", "b"].map((id) => ({ id, addresses: [`10.0.0.${id}`], registryPort: 5000 }));
  const seen = async (transfer?: Partial<PeerTransferStatus>) => {
    const usual = { tls: "preferred", membersOnly: false, transports: {}, refusedContainerds: [] };
    const status = { ...mirror.status, peers } as NodeStatus;
    const whole = transfer === undefined
      ? status
      : { ...status, transfer: { ...usual, ...transfer } as PeerTransferStatus };
    const context = await node.context({ mirror: { kind: "told", status: whole } });
    return (await transferCheck.run(context, NEVER)).map(({ code, what }) => [code, what]);
  };
  assert.deepEqual(await seen(), [], "of a version that does not tell");
  assert.deepEqual(await seen({ membersOnly: true, transports: { a: "tls", b: "tls" } }), [
    [undefined, "TLS with 2 of 2 peers, all with the cluster's secret"],
  ]);
  const mixed = { transports: { a: "tls", b: "plain" } } as const;
  assert.deepEqual(await seen(mixed), [
    ["transfer-plain", "1 of 2 peers: 10.0.0.b:5000"],
    [undefined, "TLS with 1 of 2 peers"],
  ]);
  assert.deepEqual((await seen({ ...mixed, tls: "required" }))[0]![0], "transfer-impossible");
  assert.deepEqual(await seen({ transports: { a: "tls" } }), [
    ["transfer-untold", "1 of 2 peers: 10.0.0.b:5000"],
    [undefined, "TLS with 1 of 2 peers"],
  ]);
  assert.deepEqual(await seen({ tls: "never" }), [["transfer-plain-only", "no TLS between nodes"]]);
  const refused = await seen({ ...mixed, refusedContainerds: ["10.1.0.1"] });
  assert.deepEqual(refused[0], ["containerd-refused", "a containerd at 10.1.0.1 was refused"]);
});

Deno.test("round-trip: nothing to try, good bytes, other bytes, and none", async () => {
  const content = makeContent(5000);
  const source = { registry: "docker.io", repository: "library/test" };
  await using node = await startDoctorNode({ id: "self" });
  assert.deepEqual(await codesOf(roundTripCheck, await node.context()), [], "without peers");
  for (
    const [fault, code, text] of [
      ["none", undefined, /delivers 1024 bytes of sha256:/],
      ["wrong bytes", "blob-differs", /has other bytes/],
      ["not found", "blob-not-delivered", /does not have it/],
    ] as const
  ) {
    await using peer = startFaultPeer(`peer ${fault}`, content, fault);
    const router = new MemoryRouter({ network: node.node.network, self: peer.peer });
    if (fault === "none") {
      const [untried] = await roundTripCheck.run(await node.context(), NEVER);
      assert.match(untried?.what ?? "", /^not tried/);
      node.node.store.put(content.bytes, [source]);
    }
    await router.advertise([content.digest]);
    const [finding] = await roundTripCheck.run(await node.context(), NEVER);
    assert.equal(finding?.code, code);
    assert.match(finding?.what ?? "", text);
    await router.stop();
  }
});
