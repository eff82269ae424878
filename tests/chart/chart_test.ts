import assert from "node:assert/strict";
import type { RegistryConfig } from "../../lib/config/config.ts";
import { wantsTraces } from "../../lib/observability/tracing.ts";
import { commandOf, container, find, NODE_IP, podSpec } from "./containers.ts";
import { checkInvariants } from "./invariants.ts";
import type { KubernetesObject } from "./schemas.ts";
import { REQUIRES_HELM, theHelm, theSchemas } from "./support.ts";

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ ...REQUIRES_HELM, name, fn });
}

function registryOf(objects: readonly KubernetesObject[]): RegistryConfig {
  const command = commandOf(container(objects, "registry"));
  assert.equal(command.name, "registry");
  return command.config;
}

function targetsOf(objects: readonly KubernetesObject[]): readonly string[] {
  const command = commandOf(container(objects, "configuration"));
  assert.equal(command.name, "configuration");
  return command.config.mirrorTargets;
}

test("the chart lints, and its default values render valid objects", async () => {
  const helm = theHelm();
  await helm.lint();
  checkInvariants(await helm.objects(), await theSchemas());
});

test("from Kubernetes 1.34 on the service prefers the same node, and no host port is taken", async () => {
  const objects = await theHelm().objects({}, { kubeVersion: "1.34.0" });
  assert.equal(
    find(objects, "Service", "kagami-registry")["spec"].trafficDistribution,
    "PreferSameNode",
  );
  assert.deepEqual(targetsOf(objects), [`http://${NODE_IP}:30021`]);
  assert.equal(container(objects, "registry").ports?.[0]?.hostPort, undefined);
});

test("before Kubernetes 1.34 a host port leads to the same node, and the service is second", async () => {
  const objects = await theHelm().objects({}, { kubeVersion: "1.33.9" });
  assert.equal(find(objects, "Service", "kagami-registry")["spec"].trafficDistribution, undefined);
  assert.deepEqual(targetsOf(objects), [`http://${NODE_IP}:30020`, `http://${NODE_IP}:30021`]);
  assert.equal(container(objects, "registry").ports?.[0]?.hostPort, 30020);
});

test("an explicit choice of how the same node is reached wins over the version", async () => {
  const values = (wanted: boolean) => ({
    service: { registry: { usePreferSameNodeTrafficDistribution: wanted } },
  });
  const helm = theHelm();
  const old = await helm.objects(values(true), { kubeVersion: "1.33.9" });
  assert.deepEqual(targetsOf(old), [`http://${NODE_IP}:30021`]);
  assert.equal(targetsOf(await helm.objects(values(false))).length, 2);
});

test("with private registries containerd asks its own node's mirror alone", async () => {
  const privateRegistries = ["ghcr.io/team", "http://10.0.0.1:5000"];
  for (const kubeVersion of ["1.33.9", "1.34.0"]) {
    const objects = await theHelm().objects({ kagami: { privateRegistries } }, { kubeVersion });
    assert.deepEqual(targetsOf(objects), [`http://${NODE_IP}:30020`]);
    const registry = container(objects, "registry");
    assert.equal(registry.ports?.[0]?.hostPort, 30020);
    const command = commandOf(registry);
    assert(command.name === "registry" && command.config.access !== undefined);
    const { registries, configPath } = command.config.access;
    assert.deepEqual(registries.map(({ url }) => url), ["https://ghcr.io", "http://10.0.0.1:5000"]);
    const mount = registry.volumeMounts?.find(({ mountPath }) => mountPath === configPath);
    assert.equal(mount?.readOnly, true);
  }
});

test("where tags are resolved together the mirror reads where registries are, and else does not", async () => {
  const kagami = { shareTagResolution: true, containerdRegistryConfigPath: "/etc/certs.d" };
  const objects = await theHelm().objects({ kagami });
  const registry = container(objects, "registry");
  const command = commandOf(registry);
  assert(command.name === "registry");
  assert.equal(command.config.tagResolution?.configPath, "/etc/certs.d");
  const mount = registry.volumeMounts?.find(({ mountPath }) => mountPath === "/etc/certs.d");
  assert.equal(mount?.readOnly, true);
  const others = await theHelm().objects({});
  assert.equal(registryOf(others).tagResolution, undefined);
  const mounts = container(others, "registry").volumeMounts ?? [];
  assert(mounts.every(({ name }) => name !== "containerd-config"));
});

test("mirrors find each other by the headless service, ready or not", async () => {
  const objects = await theHelm().objects({}, { namespace: "images" });
  const domain = "kagami-bootstrap.images.svc.cluster.local.";
  assert.deepEqual(registryOf(objects).bootstrap, { kind: "dns", domain });
  const { clusterIP, publishNotReadyAddresses } =
    find(objects, "Service", "kagami-bootstrap")["spec"];
  assert.deepEqual({ clusterIP, publishNotReadyAddresses }, {
    clusterIP: "None",
    publishNotReadyAddresses: true,
  });
});

test("only the election by a Lease gets a role and a token, for that one Lease", async () => {
  const helm = theHelm();
  const usual = await helm.objects();
  assert.deepEqual(usual.filter(({ kind }) => /^(Cluster)?Role/.test(kind)), []);
  assert.equal(podSpec(find(usual, "DaemonSet", "kagami"))!["automountServiceAccountToken"], false);

  const elected = await helm.objects({ kagami: { bootstrap: { kind: "kubernetes" } } });
  const { bootstrap } = registryOf(elected);
  assert.deepEqual(bootstrap, { kind: "kubernetes", lease: "kagami-bootstrap" });
  const role = find(elected, "Role", "kagami-bootstrap");
  assert.deepEqual(role["rules"], [
    {
      apiGroups: ["coordination.k8s.io"],
      resources: ["leases"],
      resourceNames: ["kagami-bootstrap"],
      verbs: ["get", "update"],
    },
    { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["create"] },
  ]);
  const { roleRef, subjects } = find(elected, "RoleBinding", "kagami-bootstrap");
  assert.equal(roleRef.name, role.metadata.name);
  assert.deepEqual(subjects, [{ kind: "ServiceAccount", name: "kagami", namespace: "kagami" }]);
  assert.deepEqual(elected.filter(({ kind }) => kind.startsWith("Cluster")), []);
  const pod = podSpec(find(elected, "DaemonSet", "kagami"))!;
  assert.equal(pod["automountServiceAccountToken"], true);
});

test("a cluster secret is mounted, makes TLS required, and containerd's addresses known", async () => {
  const helm = theHelm();
  const { peers: usual } = registryOf(await helm.objects());
  assert.equal(usual.tls, "preferred");
  assert.deepEqual(usual.localClients, []);
  for (const values of [{ clusterSecretName: "membership" }, { kagami: { peerTls: "required" } }]) {
    const objects = await helm.objects(values);
    const { peers } = registryOf(objects);
    assert.equal(peers.tls, "required");
    assert.deepEqual(peers.localClients, [
      { kind: "subnet", address: NODE_IP, prefix: 32 },
      { kind: "gateway" },
    ]);
    const hasSecret = "clusterSecretName" in values;
    assert.equal(peers.clusterSecretPath, hasSecret ? "/etc/secrets/cluster/secret" : undefined);
    const mounts = container(objects, "registry").volumeMounts ?? [];
    assert.equal(mounts.some(({ name }) => name === "cluster-secret"), hasSecret);
  }
});

test("the network policy admits only mirrors to the router, and everybody to the registry", async () => {
  const objects = await theHelm().objects({
    networkPolicy: { peers: [{ podSelector: { matchLabels: { app: "spegel" } } }] },
  });
  const { ingress, policyTypes } = find(objects, "NetworkPolicy", "kagami")["spec"];
  assert.deepEqual(policyTypes, ["Ingress"]);
  const admitted = (port: number) =>
    ingress.filter(({ ports }: { ports: { port: number }[] }) =>
      ports.some((candidate) => candidate.port === port)
    ).map(({ from }: { from?: unknown[] }) => from);
  const mirrors = {
    podSelector: {
      matchLabels: {
        "app.kubernetes.io/component": "mirror",
        "app.kubernetes.io/name": "kagami",
        "app.kubernetes.io/instance": "kagami",
      },
    },
  };
  const peers = [mirrors, { podSelector: { matchLabels: { app: "spegel" } } }];
  assert.deepEqual(admitted(5003), admitted(5001));
  assert.deepEqual(admitted(5001), [peers]);
  assert.deepEqual(admitted(5000), [peers, undefined]);
  assert.deepEqual(admitted(9090), [[{ namespaceSelector: {} }]]);
});

test("the time for running transfers ends before kubelet's patience", async () => {
  const objects = await theHelm().objects({ terminationGracePeriodSeconds: 120 });
  assert.equal(registryOf(objects).shutdownGraceMs, 110_000);
  const pod = podSpec(find(objects, "DaemonSet", "kagami"))!;
  assert.equal(pod["terminationGracePeriodSeconds"], 120);
});

test("the zone comes from the pod's label, and only on demand", async () => {
  const helm = theHelm();
  assert.equal(container(await helm.objects(), "registry").env, undefined);
  const objects = await helm.objects({ kagami: { nodeZone: true } });
  assert.deepEqual(container(objects, "registry").env, [{
    name: "NODE_ZONE",
    valueFrom: { fieldRef: { fieldPath: "metadata.labels['topology.kubernetes.io/zone']" } },
  }]);
});

test("traces go to the collector that is named, and only on demand", async () => {
  const helm = theHelm();
  const tracing = { enabled: true, endpoint: "http://collector:4318", sampleRatio: 0.25 };
  const header = { name: "OTEL_EXPORTER_OTLP_HEADERS", value: "a=b" };
  const objects = await helm.objects({ tracing: { ...tracing, env: [header] } });
  const variables = container(objects, "registry").env as { name: string; value?: string }[];
  const env = new Map(variables.map(({ name, value }) => [name, value]));
  assert(wantsTraces(Object.fromEntries(env)));
  assert.equal(env.get("OTEL_EXPORTER_OTLP_ENDPOINT"), "http://collector:4318");
  assert.equal(env.get("OTEL_TRACES_SAMPLER_ARG"), "0.25");
  assert.equal(env.get("OTEL_EXPORTER_OTLP_HEADERS"), "a=b");
  assert.equal(env.get("OTEL_DENO_METRICS"), "false");
  // Variables can be used in those behind them alone.
  const names = [...env.keys()];
  assert(names.indexOf("OTEL_NODE") < names.indexOf("OTEL_RESOURCE_ATTRIBUTES"));
  await assert.rejects(helm.objects({ tracing: { enabled: true } }), /tracing.endpoint must name/);
});

test("lists reach the program whole, whatever characters they hold", async () => {
  const registryFilters = ["^docker\\.io/", ":latest$", "-rc[0-9]+$", "^a, b$", "$(NODE_IP)"];
  const mirroredRegistries = ["https://docker.io", "http://10.0.0.1:5000"];
  const config = registryOf(
    await theHelm().objects({ kagami: { registryFilters, mirroredRegistries } }),
  );
  assert.deepEqual(config.registryFilters, registryFilters);
  assert.deepEqual(config.mirroredRegistries, ["docker.io", "10.0.0.1:5000"]);
});

test("paths of another distribution reach arguments and mounts alike", async () => {
  const kagami = {
    containerdSock: "/run/k3s/containerd/containerd.sock",
    containerdContentPath: "/var/lib/rancher/content",
    containerdRegistryConfigPath: "/var/lib/rancher/certs.d",
    persistence: { path: "/data", hostPath: "/var/lib/other" },
  };
  const objects = await theHelm().objects({ kagami });
  const config = registryOf(objects);
  assert.deepEqual(config.store, {
    kind: "containerd",
    sock: kagami.containerdSock,
    namespace: "k8s.io",
    contentPath: kagami.containerdContentPath,
  });
  assert.equal(config.dataDir, "/data");
  const { volumes = [] } = podSpec(find(objects, "DaemonSet", "kagami"))!;
  const hostPaths = Object.fromEntries(volumes.map(({ name, hostPath }) => [name, hostPath?.path]));
  const mounts = Object.fromEntries(
    ["prepare", "configuration", "registry"].flatMap((name) =>
      (container(objects, name).volumeMounts ?? []).map((mount) => [mount.name, mount.mountPath])
    ),
  );
  assert.deepEqual(mounts, { ...hostPaths, data: "/data" });
  assert.equal(hostPaths["data"], "/var/lib/other");
  for (const name of ["configuration", "cleanup"]) {
    const command = commandOf(container(objects, name));
    assert("configPath" in (command as { config: object }).config);
    assert.equal(
      (command as { config: { configPath: string } }).config.configPath,
      kagami.containerdRegistryConfigPath,
    );
  }
});

test("after an uninstallation the same nodes are cleaned up, and then waited for", async () => {
  const objects = await theHelm().objects({
    nodeSelector: { group: "a" },
    tolerations: [{ operator: "Exists" }],
  });
  const hooks = objects.filter(({ metadata }) => metadata.annotations?.["helm.sh/hook"]);
  const order = hooks.map(({ kind, metadata }) => [
    metadata.annotations!["helm.sh/hook-weight"],
    kind,
    metadata.annotations!["helm.sh/hook"],
  ]);
  assert.deepEqual(order.sort(), [
    ["0", "DaemonSet", "post-delete"],
    ["0", "Service", "post-delete"],
    ["1", "Job", "post-delete"],
  ]);
  const mirror = podSpec(find(objects, "DaemonSet", "kagami"))!;
  const cleanup = podSpec(find(objects, "DaemonSet", "kagami-cleanup"))!;
  for (const field of ["nodeSelector", "tolerations", "affinity", "priorityClassName"]) {
    assert.deepEqual(cleanup[field], mirror[field], field);
  }
  const command = commandOf(container(objects, "cleanup-wait"));
  assert.equal(command.name, "cleanup-wait");
  assert.deepEqual(command.config.probeEndpoint, {
    host: "kagami-cleanup.kagami.svc.cluster.local.",
    port: 8080,
  });
});

test("where the mirror configuration is written by others nothing of it is touched", async () => {
  const objects = await theHelm().objects({ kagami: { containerdMirrorAdd: false } });
  assert.equal(JSON.stringify(objects).includes("certs.d"), false);
  assert.deepEqual(objects.filter(({ metadata }) => metadata.annotations?.["helm.sh/hook"]), []);
});

test("a values file of Spegel's chart is accepted, and means the same", async () => {
  const objects = await theHelm().objects({
    spegel: {
      logLevel: "WARN",
      mirroredRegistries: ["https://ghcr.io"],
      mirrorResolveRetries: 5,
      mirrorResolveTimeout: "50ms",
      prependExisting: true,
      persistence: { enabled: true, path: "/var/lib/spegel", hostPath: "/var/lib/spegel" },
    },
    kagami: { logLevel: "DEBUG" },
    service: { registry: { hostPort: 3020, nodePort: 32021, topologyAwareHintsEnabled: true } },
    securityContext: { readOnlyRootFilesystem: true },
  }, { kubeVersion: "1.31.0" });
  const config = registryOf(objects);
  assert.equal(config.logLevel, "WARN");
  assert.equal(config.resolveRetries, 5);
  assert.equal(config.resolveTimeoutMs, 50);
  assert.equal(config.dataDir, "/var/lib/spegel");
  assert.deepEqual(config.mirroredRegistries, ["ghcr.io"]);
  assert.deepEqual(targetsOf(objects), [`http://${NODE_IP}:3020`, `http://${NODE_IP}:32021`]);
  const { annotations } = find(objects, "Service", "kagami-registry").metadata;
  assert.deepEqual(annotations, { "service.kubernetes.io/topology-mode": "Auto" });
  assert.equal(container(objects, "registry").securityContext["runAsUser"], 65_532);
});

for (
  const [what, values, words] of [
    ["an unknown key", { kagmi: {} }, /kagmi/],
    ["an unknown key of a section", { service: { registry: { nodeport: 1 } } }, /nodeport/],
    ["an unknown key under spegel", { spegel: { resolveTag: true } }, /resolveTag/],
    ["a value of another kind", { kagami: { bootstrap: { kind: "http" } } }, /kind/],
    ["a port out of range", { service: { router: { port: 70_000 } } }, /port/],
    ["a flag as text", { networkPolicy: { enabled: "false" } }, /enabled/],
    ["a grace time that leaves none", { terminationGracePeriodSeconds: 10 }, /terminationGrace/],
    [
      "a dashboard for nobody",
      { grafanaDashboard: { enabled: true, mode: "GrafanaOperator" } },
      /matchLabels must name the Grafana/,
    ],
  ] as const
) {
  test(`${what} is refused, and named`, async () => {
    await assert.rejects(theHelm().render(values), words);
  });
}
