import assert from "node:assert/strict";
import Ajv from "ajv";
import { parse } from "yaml";

const chart = new URL("../../../deploy/charts/kagami/", import.meta.url);
const schema = JSON.parse(await Deno.readTextFile(new URL("values.schema.json", chart)));
const validate = new Ajv.default({ allErrors: true, strict: false }).compile(schema);

interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly additionalProperties?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
}

function* properties(of: Schema, path = ""): Generator<[string, Schema]> {
  for (const [key, property] of Object.entries(of.properties ?? {})) {
    yield [path + key, property];
    yield* properties(property, `${path}${key}.`);
  }
}

Deno.test("values.yaml fits its schema", async () => {
  const values = parse(await Deno.readTextFile(new URL("values.yaml", chart)));
  assert(validate(values), JSON.stringify(validate.errors));
});

Deno.test("every value has a description, every section refuses unknown keys", () => {
  const all = [...properties(schema)];
  assert(all.length > 100);
  for (const [path, property] of all) {
    if (property.properties === undefined) {
      assert.match(property.description ?? "", /^[A-Z].*\.$/, path);
    } else {
      assert.equal(property.additionalProperties, false, path);
    }
  }
});

Deno.test("every value of values.yaml has a comment, and the README a row", async () => {
  const text = await Deno.readTextFile(new URL("values.yaml", chart));
  const readme = await Deno.readTextFile(new URL("README.md", chart));
  for (const [path, property] of properties(schema)) {
    if (property.properties !== undefined || path === "global") continue;
    assert(readme.includes(`| \`${path}\` `), `${path} in the README`);
    const words = property.description!.split(" ").slice(0, 4).join(" ");
    assert(text.includes(`# ${words}`), `${path} in values.yaml: ${words}`);
  }
});

/** All keys of Spegel's chart v0.7.4, with a value of another kind than its default where there is a choice. */
const SPEGEL = {
  affinity: {},
  basicAuthSecretName: "",
  clusterDomain: "cluster.local.",
  commonLabels: {},
  daemonsetAnnotations: {},
  extraInitContainers: [],
  extraVolumes: [],
  fullnameOverride: "",
  grafanaDashboard: {
    annotations: {},
    enabled: false,
    grafanaOperator: {
      allowCrossNamespaceImport: true,
      folder: "",
      matchLabels: {},
      resyncPeriod: "10m",
    },
    labels: {},
    mode: "Sidecar",
  },
  image: { digest: "", pullPolicy: "IfNotPresent", repository: "example.com/spegel", tag: "" },
  imagePullSecrets: [],
  livenessProbe: { enabled: false },
  nameOverride: "",
  namespaceOverride: "",
  networkPolicy: { enabled: false },
  nodeSelector: { "kubernetes.io/os": "linux" },
  podAnnotations: {},
  podSecurityContext: {},
  priorityClassName: "system-node-critical",
  resources: { limits: { memory: "128Mi" }, requests: { memory: "128Mi" } },
  revisionHistoryLimit: 10,
  securityContext: { readOnlyRootFilesystem: true },
  service: {
    bootstrap: { annotations: {} },
    cleanup: { annotations: {}, port: 8080 },
    metrics: { annotations: {}, port: 9090 },
    registry: {
      annotations: {},
      hostPort: 30020,
      nodeIp: "",
      nodePort: 30021,
      port: 5000,
      topologyAwareHintsEnabled: true,
      usePreferSameNodeTrafficDistribution: false,
    },
    router: { port: 5001 },
  },
  serviceAccount: { annotations: {}, name: "" },
  serviceMonitor: {
    enabled: false,
    interval: "60s",
    labels: {},
    metricRelabelings: [],
    relabelings: [],
    scrapeTimeout: "30s",
  },
  spegel: {
    additionalMirrorTargets: [],
    containerdContentPath: "/var/lib/containerd/io.containerd.content.v1.content",
    containerdMirrorAdd: true,
    containerdNamespace: "k8s.io",
    containerdRegistryConfigPath: "/etc/containerd/certs.d",
    containerdSock: "/run/containerd/containerd.sock",
    debugWebEnabled: true,
    logLevel: "INFO",
    mirrorResolveRetries: 3,
    mirrorResolveTimeout: "20ms",
    mirroredRegistries: [],
    persistence: { enabled: true, hostPath: "/var/lib/spegel", path: "/var/lib/spegel" },
    prependExisting: false,
    registryFilters: [],
    resolveTags: true,
  },
  tolerations: [],
  updateStrategy: {},
  verticalPodAutoscaler: {
    controlledResources: [],
    controlledValues: "RequestsAndLimits",
    enabled: false,
    maxAllowed: {},
    minAllowed: {},
    recommenders: [],
    updatePolicy: { minReplicas: 2, updateMode: "Auto" },
  },
};

Deno.test("all values of Spegel's chart are accepted", () => {
  assert(validate(SPEGEL), JSON.stringify(validate.errors));
});

Deno.test("values that Spegel's chart gives a default have the same one here, where they mean the same", async () => {
  const values = parse(await Deno.readTextFile(new URL("values.yaml", chart)));
  const own = { ...values, spegel: values.kagami };
  const differing: string[] = [];
  const compare = (theirs: unknown, ours: unknown, path: string) => {
    if (theirs instanceof Object && ours instanceof Object && !Array.isArray(theirs)) {
      for (const [key, value] of Object.entries(theirs)) {
        compare(value, (ours as Record<string, unknown>)[key], `${path}.${key}`);
      }
    } else if (JSON.stringify(theirs) !== JSON.stringify(ours)) differing.push(path.slice(1));
  };
  compare(SPEGEL, own, "");
  assert.deepEqual(differing.sort(), [
    "image.repository",
    // A mirror says itself when only a restart helps.
    "livenessProbe.enabled",
    // On by default.
    "networkPolicy.enabled",
    // Decided by the version of Kubernetes.
    "service.registry.usePreferSameNodeTrafficDistribution",
    "spegel.persistence.hostPath",
    "spegel.persistence.path",
    "tolerations",
    // Auto is deprecated, and means the same.
    "verticalPodAutoscaler.updatePolicy.updateMode",
  ]);
});
