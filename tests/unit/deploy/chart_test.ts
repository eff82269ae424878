/**
 * The chart against the code, as far as that takes no Helm: by its files, and by the plain manifests, which are what its
 * default values render.
 *
 * @module
 */
import assert from "node:assert/strict";
import { parse, parseAllDocuments } from "yaml";
import { parseCommand } from "../../../lib/config/config.ts";
import {
  COMMANDS,
  COMMON_OPTIONS,
  type Option,
  REGISTRY_OPTIONS,
} from "../../../lib/config/options.ts";
import { commandOf, container, find, NODE_IP, podSpec } from "../../chart/containers.ts";
import type { KubernetesObject } from "../../chart/schemas.ts";

const root = new URL("../../../", import.meta.url);
const CHART = "deploy/charts/kagami";

function read(path: string): Promise<string> {
  return Deno.readTextFile(new URL(path, root));
}

async function objectsOf(name: string): Promise<KubernetesObject[]> {
  return parseAllDocuments(await read(`deploy/manifests/${name}`)).map((document) =>
    document.toJS()
  );
}

async function templates(): Promise<string> {
  const texts: string[] = [];
  for await (const { name } of Deno.readDir(new URL(`${CHART}/templates/`, root))) {
    texts.push(await read(`${CHART}/templates/${name}`));
  }
  return texts.join("\n");
}

/** Options of `registry` that the chart leaves alone. */
const NOT_SET: Readonly<Record<string, string>> = {
  nodeZone: "comes by its variable, from the pod's label",
  store: "a node of a cluster has containerd",
  ociLayoutPath: "a node of a cluster has containerd",
  ociLayoutRepository: "a node of a cluster has containerd",
  routerWebsocketAddr: "TCP passes between pods",
  basicAuthDir: "the secret is mounted at its default",
  httpBootstrapAddr: "the headless service says more",
  httpBootstrapPeer: "the headless service says more",
  kubernetesBootstrapNamespace: "the pod's own",
};

Deno.test("the registry runs with the program's defaults, but for identity and bootstrap", async () => {
  const objects = await objectsOf("kagami.yaml");
  const { name, config } = commandOf(container(objects, "registry")) as {
    name: string;
    config: object;
  };
  assert.equal(name, "registry");
  const { config: defaults } = parseCommand(["registry"], {}) as { config: object };
  assert.deepEqual(config, {
    ...defaults,
    dataDir: "/var/lib/kagami",
    bootstrap: { kind: "dns", domain: "kagami-bootstrap.kagami.svc.cluster.local." },
  });
});

Deno.test("the other containers run with the program's defaults, too", async () => {
  const objects = await objectsOf("kagami.yaml");
  const node = `http://${NODE_IP}:30021`;
  for (
    const [name, given] of [
      ["configuration", ["--mirror-targets", node]],
      ["prepare", ["--data-dir", "/var/lib/kagami"]],
    ] as const
  ) {
    assert.deepEqual(commandOf(container(objects, name)), parseCommand([name, ...given], {}));
  }
  const hooks = await objectsOf("cleanup.yaml");
  const endpoint = "kagami-cleanup.kagami.svc.cluster.local.:8080";
  assert.deepEqual(
    commandOf(container(hooks, "cleanup")),
    parseCommand(["cleanup", "--addr", ":8080"], {}),
  );
  assert.deepEqual(
    commandOf(container(hooks, "cleanup-wait")),
    parseCommand(["cleanup-wait", "--probe-endpoint", endpoint], {}),
  );
});

Deno.test("ports, probes and mounts are where the program listens and looks", async () => {
  const objects = await objectsOf("kagami.yaml");
  const registry = container(objects, "registry");
  const command = commandOf(registry);
  assert(command.name === "registry" && command.config.store.kind === "containerd");
  const { registryAddr, routerAddr, metricsAddr, dataDir, store, peers } = command.config;
  assert.deepEqual(registry.ports?.map((port) => [port.name, port.containerPort]), [
    ["registry", registryAddr.port],
    ["router", routerAddr.port],
    ["peers", peers.tlsAddr.port],
    ["metrics", metricsAddr.port],
  ]);
  const { volumes = [] } = podSpec(find(objects, "DaemonSet", "kagami"))!;
  const paths = new Map(volumes.map(({ name, hostPath }) => [name, hostPath?.path]));
  assert.equal(paths.get("containerd-sock"), store.sock);
  assert.equal(paths.get("containerd-content"), store.contentPath);
  assert.equal(paths.get("data"), dataDir);
  const text = await read(`${CHART}/templates/daemonset.yaml`);
  const secrets = text.match(/mountPath: \/etc\/secrets\S*/g);
  assert.deepEqual(
    new Set(secrets),
    new Set([
      `mountPath: ${REGISTRY_OPTIONS.basicAuthDir.default}`,
      "mountPath: /etc/secrets/cluster",
    ]),
  );
  assert.match(text, /--cluster-secret-path=\/etc\/secrets\/cluster\/secret/);
});

Deno.test("every option of the registry is set by the chart, or left alone for a reason", async () => {
  const text = await read(`${CHART}/templates/daemonset.yaml`);
  const set = new Set(Array.from(text.matchAll(/--([a-z-]+)=/g), ([, flag]) => flag));
  const missing = Object.entries<Option<unknown>>({ ...REGISTRY_OPTIONS, ...COMMON_OPTIONS })
    .filter(([, { flag }]) => !set.has(flag)).map(([name]) => name);
  assert.deepEqual(missing.sort(), Object.keys(NOT_SET).sort());
});

const RUNTIME_VARIABLE = /^OTEL_(DENO|EXPORTER_OTLP|TRACES_SAMPLER|SERVICE_NAME|RESOURCE)/;

Deno.test("every variable that the chart sets is one that the program or its arguments read", async () => {
  const text = await templates();
  const known = Object.values(COMMANDS)
    .flatMap(({ options }) => Object.values<Option<unknown>>(options).map(({ env }) => env));
  const names = Array.from(text.matchAll(/- name: ([A-Z][A-Z_]+)\n/g), ([, name = ""]) => name);
  assert(names.length > 0);
  for (const name of names) {
    // OpenTelemetry's own are read by the runtime.
    const isKnown = known.includes(name) || RUNTIME_VARIABLE.test(name);
    assert(isKnown || text.includes(`$(${name})`), `${name} is read by something`);
  }
});

Deno.test("the role allows what the Lease's client does, and nothing else", async () => {
  const verbs: Record<string, string> = { GET: "get", POST: "create", PUT: "update" };
  const client = await read("lib/routing/bootstrap/lease_client.ts");
  const calls = Array.from(
    client.matchAll(/api\.request\("([A-Z]+)"/g),
    ([, call = ""]) => call,
  );
  assert(calls.length > 0);
  const role = await read(`${CHART}/templates/rbac.yaml`);
  const allowed = Array.from(
    role.matchAll(/verbs: \[(.*)\]/g),
    ([, list = ""]) => list.split(", "),
  );
  assert.deepEqual(allowed.flat().sort(), calls.map((call) => verbs[call]).sort());
});

Deno.test("chart and program have one version", async () => {
  const chart = parse(await read(`${CHART}/Chart.yaml`));
  const { version } = JSON.parse(await read("deno.json"));
  assert.deepEqual([chart.version, chart.appVersion], [version, version]);
});
