import assert from "node:assert/strict";
import { isValue, type Section, VALUES } from "../../tools/chart/values.ts";
import { type Factors, pairwise } from "./combinations.ts";
import { checkInvariants } from "./invariants.ts";
import type { Values } from "./render.ts";
import { REQUIRES_HELM, theHelm, theSchemas } from "./support.ts";

const PEERS = [{ ipBlock: { cidr: "192.0.2.0/24" } }];

/** Values that are neither boolean nor one of a few: without and with. */
const OTHERS: Factors = {
  "image.digest": ["", `sha256:${"0".repeat(64)}`],
  "imagePullSecrets": [[], [{ name: "pull" }]],
  "nameOverride": ["", "mirror"],
  "fullnameOverride": ["", "a-name-that-is-so-long-that-it-has-to-be-cut-somewhere"],
  "namespaceOverride": ["", "other"],
  "commonLabels": [{}, { team: "platform" }],
  "daemonsetAnnotations": [{}, { note: "yes" }],
  "podAnnotations": [{}, { note: "yes" }],
  "podSecurityContext": [null, { seLinuxOptions: { type: "spc_t" } }],
  "service.registry.nodeIp": ["", "192.0.2.9"],
  "service.registry.annotations": [{}, { note: "yes" }],
  "service.cleanup.annotations": [{}, { note: "yes" }],
  "resources": [{ requests: { cpu: "50m" } }, null],
  "nodeSelector": [{}, null],
  "updateStrategy": [{}, { type: "RollingUpdate", rollingUpdate: { maxUnavailable: "10%" } }],
  "tolerations": [[], [{ operator: "Exists" }]],
  "affinity": [{}, { nodeAffinity: {} }],
  "priorityClassName": ["", "system-node-critical"],
  "basicAuthSecretName": ["", "credentials"],
  "clusterSecretName": ["", "membership"],
  "kagami.localClients": [[], ["gateway", "10.0.0.0/24"]],
  "kagami.bootstrap.dnsDomain": ["", "spegel-bootstrap.spegel.svc.cluster.local"],
  "kagami.bootstrap.staticPeers": [[], ["192.0.2.8:5001"]],
  "kagami.mirroredRegistries": [[], ["https://docker.io", "ghcr.io", "http://10.0.0.1:5000"]],
  "kagami.privateRegistries": [[], ["ghcr.io/team", "http://10.0.0.1:5000"]],
  "kagami.additionalMirrorTargets": [[], ["https://zot.example.com"]],
  "kagami.registryFilters": [[], ["^docker\\.io/", ":latest$", "$(NODE_IP)", "-dev"]],
  "kagami.containerdContentPath": ["", "/var/lib/k0s/containerd/io.containerd.content.v1.content"],
  "spegel": [{}, { logLevel: "DEBUG", persistence: { hostPath: "/var/lib/spegel" } }],
  "networkPolicy.peers": [[], PEERS],
  "networkPolicy.registryFrom": [[], PEERS],
  "networkPolicy.metricsFrom": [[], PEERS],
  "podMonitor.labels": [{}, { release: "prometheus" }],
  "podMonitor.relabelings": [[], [{ action: "labeldrop", regex: "pod" }]],
  "serviceMonitor.metricRelabelings": [[], [{ action: "drop", regex: "go_.*" }]],
  "grafanaDashboard.grafanaOperator.matchLabels": [{ dashboards: "grafana" }],
  "grafanaDashboard.grafanaOperator.folder": ["", "Registries"],
  "grafanaDashboard.labels": [{}, { grafana_dashboard: "1" }],
  "tracing.endpoint": ["http://collector:4318"],
  "tracing.sampleRatio": [1, 0.05],
  "tracing.env": [[], [{ name: "OTEL_EXPORTER_OTLP_HEADERS", value: "a=b" }]],
  "verticalPodAutoscaler.recommenders": [[], [{ name: "other" }]],
  "verticalPodAutoscaler.controlledResources": [[], ["memory"]],
  "verticalPodAutoscaler.maxAllowed": [{}, { memory: "1Gi" }],
  "extraVolumes": [[], [{ name: "extra", emptyDir: {} }]],
  "extraInitContainers": [[], [{ name: "extra", image: "example.com/extra:1" }]],
};

/** Kubernetes before and after what the chart asks the version for, and the newest one. */
const KUBERNETES = ["1.26.0", "1.33.9", "1.34.0", "1.37.0"];

/** All booleans and enumerations, from the table of values. */
function factorsOf(section: Section, prefix = ""): Factors {
  return Object.assign(
    {},
    ...Object.entries(section).map(([key, entry]) => {
      const path = prefix + key;
      if (!isValue(entry)) return factorsOf(entry, `${path}.`);
      const { enum: choices, type } = entry.schema;
      if (Array.isArray(choices)) return { [path]: choices };
      if (type === "boolean") return { [path]: [true, false] };
      return Array.isArray(type) && type.includes("boolean") ? { [path]: [null, true, false] } : {};
    }),
  );
}

function nested(row: Readonly<Record<string, unknown>>): Values {
  const values: Record<string, unknown> = {};
  for (const [path, value] of Object.entries(row)) {
    const keys = path.split(".");
    let at = values;
    for (const key of keys.slice(0, -1)) at = (at[key] ??= {}) as Record<string, unknown>;
    // A value that is left out keeps its default.
    if (value !== null) at[keys.at(-1)!] = value;
  }
  return values;
}

const factors: Factors = { ...factorsOf(VALUES), ...OTHERS, kubeVersion: KUBERNETES };

Deno.test("pairwise() puts every value together with every other", () => {
  const rows = pairwise(factors);
  const names = Object.keys(factors);
  for (const [at, a] of names.entries()) {
    for (const b of names.slice(at + 1)) {
      const seen = new Set(rows.map((row) => `${row[a]} ${row[b]}`));
      assert.equal(seen.size, factors[a]!.length * factors[b]!.length, `${a} with ${b}`);
    }
  }
});

for (const [index, row] of pairwise(factors).entries()) {
  Deno.test({
    ...REQUIRES_HELM,
    name: `combination ${index + 1} of all values renders valid objects`,
    async fn() {
      const chosen = Object.entries(row).map(([name, at]) => [name, factors[name]![at]]);
      const { kubeVersion, ...values } = Object.fromEntries(chosen);
      const helm = theHelm();
      await helm.lint(nested(values));
      checkInvariants(await helm.objects(nested(values), { kubeVersion }), await theSchemas());
    },
  });
}
