/**
 * All values of the Helm chart: the one source of values.yaml, values.schema.json and the chart's README. Names are those
 * of Spegel's chart (v0.7.4) where they mean the same; defaults that are the program's come from its options.
 *
 * @module
 */
import {
  COMMON_OPTIONS,
  CONFIGURATION_OPTIONS,
  REGISTRY_OPTIONS,
} from "../../lib/config/options.ts";
import { parseListenAddress } from "../../lib/net/listen.ts";
import { LOG_LEVELS } from "../../lib/observability/logger.ts";

/** Anything that JSON can say. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json };

/** One value. */
export interface Value {
  readonly description: string;
  readonly default: Json;
  /** What it may be, as JSON schema. */
  readonly schema: Readonly<Record<string, Json>>;
}

/** Values under one key. */
export interface Section {
  readonly [key: string]: Value | Section;
}

/**
 * Tells values from sections.
 *
 * @param entry Either.
 * @returns True for a value.
 */
export function isValue(entry: Value | Section): entry is Value {
  return typeof entry["description"] === "string";
}

function value(schema: Value["schema"], fallback: Json, description: string): Value {
  return { description, default: fallback, schema };
}

function text(fallback: string, description: string): Value {
  return value({ type: "string" }, fallback, description);
}

function pattern(pattern: string, fallback: string, description: string): Value {
  return value({ type: "string", pattern }, fallback, description);
}

function flag(fallback: boolean, description: string): Value {
  return value({ type: "boolean" }, fallback, description);
}

function choice(choices: readonly string[], fallback: string, description: string): Value {
  return value({ type: "string", enum: choices }, fallback, description);
}

function integer(minimum: number, fallback: number, description: string): Value {
  return value({ type: "integer", minimum }, fallback, description);
}

function port(fallback: number, description: string): Value {
  return value({ type: "integer", minimum: 1, maximum: 65_535 }, fallback, description);
}

function texts(description: string, fallback: readonly string[] = []): Value {
  const items = { type: "string", minLength: 1 };
  return value({ type: "array", items }, [...fallback], description);
}

/** Objects whose form Kubernetes or an operator defines. */
function objects(fallback: Json, description: string): Value {
  return value({ type: "array", items: { type: "object" } }, fallback, description);
}

/** An object whose form Kubernetes or an operator defines. */
function object(fallback: Json, description: string): Value {
  return value({ type: "object" }, fallback, description);
}

/** Labels or annotations. */
function stringMap(description: string): Value {
  return value({ type: "object", additionalProperties: { type: "string" } }, {}, description);
}

/** What the chart takes of an option of the program. */
type ProgramOption = { readonly default: string; readonly help: string };

function portOf(option: ProgramOption): number {
  return parseListenAddress(option.default).port;
}

function numberOf(option: ProgramOption): Value {
  return integer(0, Number(option.default), option.help);
}

function rateOf(option: ProgramOption): Value {
  return pattern(RATE, option.default, option.help);
}

const DURATION = "^([0-9]+(\\.[0-9]+)?(h|ms|m|s|us|µs|ns))+$";
const RATE = "^[0-9]{1,12}(\\.[0-9]{1,6})?([kMG]|[KMG]i)?B?$";
const PATH = "^/[^:]*$";

/** What every container of the chart is denied. */
const CONFINED = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
} as const;

/** How Prometheus' operator is to scrape. */
function monitor(kind: string): Section {
  return {
    enabled: flag(false, `Whether a ${kind} of the Prometheus operator is made.`),
    interval: pattern(DURATION, "60s", "Time between scrapes."),
    scrapeTimeout: pattern(DURATION, "30s", "Time limit of a scrape."),
    labels: stringMap(`Labels by which Prometheus finds the ${kind}.`),
    relabelings: objects([], "Relabelling of the target's labels."),
    metricRelabelings: objects([], "Relabelling of samples before they are stored."),
  };
}

/** The chart's values, in the order of values.yaml. */
export const VALUES: Section = {
  image: {
    repository: text("ghcr.io/kagami/kagami", "Image without tag."),
    pullPolicy: choice(["Always", "IfNotPresent", "Never"], "IfNotPresent", "Pull policy."),
    tag: text("", "Tag; empty for the chart's appVersion."),
    digest: pattern("^(sha256:[0-9a-f]{64})?$", "", "Digest, which wins over the tag."),
  },
  imagePullSecrets: objects([], "Secrets for pulling the image: `name` of each."),
  nameOverride: text("", "Replaces the chart's name in names and labels."),
  fullnameOverride: text("", "Replaces the whole name of all objects."),
  namespaceOverride: text("", "Namespace of all objects; empty for the release's."),
  commonLabels: stringMap("Labels of all objects and pods."),
  serviceAccount: {
    name: text("", "Name of the service account; empty for the chart's own name."),
    annotations: stringMap("Annotations of the service account."),
  },
  daemonsetAnnotations: stringMap("Annotations of the DaemonSet."),
  podAnnotations: stringMap("Annotations of the pods."),
  podSecurityContext: object(
    { seccompProfile: { type: "RuntimeDefault" } },
    "Security context of the pods. On nodes that enforce SELinux add `seLinuxOptions: {type: spc_t}`: ordinary " +
      "containers may not use containerd's socket there.",
  ),
  securityContext: object(
    { runAsUser: 65_532, runAsGroup: 0, runAsNonRoot: true, ...CONFINED },
    "Security context of the mirror. It runs as nobody in particular; group 0 is what opens containerd's socket " +
      "(root:root, mode 0660). A node with another `gid` in containerd's `[grpc]` settings needs that here.",
  ),
  nodeSecurityContext: object(
    { runAsUser: 0, runAsGroup: 0, ...CONFINED },
    "Security context of the only containers that run as root, each for a second: those that write containerd's mirror " +
      "configuration (a directory of root's) and open the data directory to group 0. They have no capability, so files " +
      "there that belong to others than root are out of their reach; add `DAC_OVERRIDE` where there are such.",
  ),
  revisionHistoryLimit: integer(0, 10, "Old revisions of the DaemonSet that are kept."),
  terminationGracePeriodSeconds: integer(
    11,
    30,
    "Time for the mirror to stop; all but ten seconds of it is for transfers that run.",
  ),
  service: {
    registry: {
      nodeIp: text(
        "",
        "Address of the node in containerd's configuration; empty for status.hostIP.",
      ),
      port: port(portOf(REGISTRY_OPTIONS.registryAddr), "Port of the registry."),
      nodePort: port(30_021, "Port of every node that leads to the registry, by the service."),
      hostPort: port(
        30_020,
        "Port of the node that leads to its own mirror; asked first where the service cannot prefer the same node.",
      ),
      usePreferSameNodeTrafficDistribution: value(
        { type: ["boolean", "null"] },
        null,
        "Whether the service itself prefers the mirror of the same node, so that no host port is needed; null for yes " +
          "from Kubernetes 1.34 on, which has it.",
      ),
      topologyAwareHintsEnabled: flag(
        true,
        "Whether a service that cannot prefer the same node prefers the same zone.",
      ),
      internalTrafficLocal: flag(
        false,
        "Whether pods that use the service reach only the mirror of their node (internalTrafficPolicy: Local). " +
          "kube-proxy does not apply it to node ports, so it means nothing to containerd.",
      ),
      annotations: stringMap("Annotations of the registry's service."),
    },
    router: {
      port: port(portOf(REGISTRY_OPTIONS.routerAddr), "Port of the router."),
    },
    peers: {
      port: port(portOf(REGISTRY_OPTIONS.peerTlsAddr), "Port for other mirrors, over TLS."),
    },
    metrics: {
      port: port(portOf(REGISTRY_OPTIONS.metricsAddr), "Port of the metrics."),
      annotations: stringMap("Annotations of the metrics' service."),
    },
    bootstrap: {
      annotations: stringMap(
        "Annotations of the headless service by which mirrors find each other.",
      ),
    },
    cleanup: {
      port: port(8080, "Port of the probe after a cleanup."),
      annotations: stringMap("Annotations of the cleanup's service."),
    },
  },
  resources: object(
    { requests: { memory: "128Mi" }, limits: { memory: "128Mi" } },
    "Resources of each container. The limit counts page cache, which the kernel gives back under pressure.",
  ),
  nodeSelector: object({ "kubernetes.io/os": "linux" }, "Nodes that get a mirror."),
  updateStrategy: object({}, "Update strategy of the DaemonSet; empty for Kubernetes' default."),
  tolerations: objects(
    [
      { key: "CriticalAddonsOnly", operator: "Exists" },
      { effect: "NoExecute", operator: "Exists" },
      { effect: "NoSchedule", operator: "Exists" },
    ],
    "Taints that do not keep the mirror off a node.",
  ),
  affinity: object({}, "Affinity of the pods."),
  priorityClassName: text("system-node-critical", "Priority class of the pods; empty for none."),
  clusterDomain: text("cluster.local.", "Domain of the cluster's services."),
  basicAuthSecretName: text(
    "",
    "Secret with `username` and `password` that clients of the registry must send; empty for none.",
  ),
  clusterSecretName: text(
    "",
    "Secret whose key `secret` makes a mirror a member of the cluster: content goes to members alone, and no Spegel " +
      "takes part. Empty for none.",
  ),
  kagami: {
    logLevel: choice(LOG_LEVELS, COMMON_OPTIONS.logLevel.default, COMMON_OPTIONS.logLevel.help),
    persistence: {
      enabled: flag(
        true,
        "Whether a node keeps its identity, so that restarts cost its peers nothing.",
      ),
      path: pattern(PATH, "/var/lib/kagami", "Where the identity is, in the container."),
      hostPath: pattern(PATH, "/var/lib/kagami", "Where the identity is, on the node."),
    },
    bootstrap: {
      kind: choice(
        ["dns", "kubernetes", "static"],
        "dns",
        "How the first peers are found: by the headless service (dns), by a Lease (kubernetes, needs a role, which is " +
          "then made), or by staticPeers.",
      ),
      dnsDomain: text(
        "",
        "Another headless service to start from, such as that of a Spegel in the same cluster; empty for the chart's own.",
      ),
      staticPeers: texts("Peers to start from, for kind static: multiaddrs, or <host>[:<port>]."),
    },
    mirroredRegistries: texts(REGISTRY_OPTIONS.mirroredRegistries.help),
    additionalMirrorTargets: texts("Further mirrors for containerd to ask, behind Kagami."),
    registryFilters: texts(REGISTRY_OPTIONS.registryFilters.help),
    defaultRegistry: text(
      REGISTRY_OPTIONS.defaultRegistry.default,
      REGISTRY_OPTIONS.defaultRegistry.help,
    ),
    privateRegistries: texts(
      `${REGISTRY_OPTIONS.privateRegistries.help} containerd then asks its own node's mirror alone, through the host port.`,
    ),
    privateProofTtl: pattern(
      DURATION,
      REGISTRY_OPTIONS.privateProofTtl.default,
      REGISTRY_OPTIONS.privateProofTtl.help,
    ),
    privateWhenUnreachable: choice(
      ["deny", "allow"],
      "deny",
      REGISTRY_OPTIONS.privateWhenUnreachable.help,
    ),
    mirrorResolveRetries: integer(
      0,
      Number(REGISTRY_OPTIONS.mirrorResolveRetries.default),
      REGISTRY_OPTIONS.mirrorResolveRetries.help,
    ),
    mirrorResolveTimeout: pattern(
      DURATION,
      REGISTRY_OPTIONS.mirrorResolveTimeout.default,
      REGISTRY_OPTIONS.mirrorResolveTimeout.help,
    ),
    mirrorMaxUploads: numberOf(REGISTRY_OPTIONS.mirrorMaxUploads),
    mirrorUploadRate: rateOf(REGISTRY_OPTIONS.mirrorUploadRate),
    mirrorMaxDownloads: numberOf(REGISTRY_OPTIONS.mirrorMaxDownloads),
    mirrorDownloadRate: rateOf(REGISTRY_OPTIONS.mirrorDownloadRate),
    shareInProgress: flag(
      REGISTRY_OPTIONS.shareInProgress.default === "true",
      REGISTRY_OPTIONS.shareInProgress.help,
    ),
    shareTagResolution: flag(
      REGISTRY_OPTIONS.shareTagResolution.default === "true",
      REGISTRY_OPTIONS.shareTagResolution.help,
    ),
    peerTls: choice(
      ["never", "preferred", "required"],
      REGISTRY_OPTIONS.peerTls.default,
      REGISTRY_OPTIONS.peerTls.help,
    ),
    localClients: texts(
      "Addresses and subnets, besides the node's own, that the node's containerd comes from, where TLS is required; " +
        "gateway for the first address of the pod's network, which is the node's behind a bridge.",
      ["gateway"],
    ),
    containerdSock: pattern(
      PATH,
      REGISTRY_OPTIONS.containerdSock.default,
      REGISTRY_OPTIONS.containerdSock.help,
    ),
    containerdNamespace: text(
      REGISTRY_OPTIONS.containerdNamespace.default,
      REGISTRY_OPTIONS.containerdNamespace.help,
    ),
    containerdContentPath: pattern(
      `${PATH}|^$`,
      REGISTRY_OPTIONS.containerdContentPath.default,
      `${REGISTRY_OPTIONS.containerdContentPath.help} Mounted read-only; empty to read through the socket, slowly.`,
    ),
    containerdRegistryConfigPath: pattern(
      PATH,
      CONFIGURATION_OPTIONS.configPath.default,
      CONFIGURATION_OPTIONS.configPath.help,
    ),
    containerdMirrorAdd: flag(
      true,
      "Whether the mirror configuration is written on each node, and put back after an uninstallation.",
    ),
    resolveTags: flag(
      CONFIGURATION_OPTIONS.resolveTags.default === "true",
      CONFIGURATION_OPTIONS.resolveTags.help,
    ),
    prependExisting: flag(
      CONFIGURATION_OPTIONS.prependExisting.default === "true",
      CONFIGURATION_OPTIONS.prependExisting.help,
    ),
    debugWebEnabled: flag(
      REGISTRY_OPTIONS.debugWebEnabled.default === "true",
      REGISTRY_OPTIONS.debugWebEnabled.help,
    ),
    nodeZone: flag(
      false,
      "Whether the mirror is told the node's zone, by the variable NODE_ZONE from the pod's label " +
        "topology.kubernetes.io/zone, which Kubernetes copies there from 1.35 on.",
    ),
  },
  spegel: object(
    {},
    "The same as kagami, and wins over it, so that a values file of Spegel's chart can be used as it is.",
  ),
  livenessProbe: {
    enabled: flag(true, "Whether a mirror that only a restart can help is restarted."),
  },
  networkPolicy: {
    enabled: flag(
      true,
      "Whether a NetworkPolicy admits only mirrors to the router, and only pods to the metrics.",
    ),
    peers: objects(
      [],
      "Further NetworkPolicyPeers that take part in the DHT, such as the pods of a Spegel.",
    ),
    registryFrom: objects(
      [],
      "NetworkPolicyPeers that may use the registry, besides mirrors; empty for all. containerd's requests come from " +
        "addresses of nodes, which no selector matches: to narrow this, give the `ipBlock`s of the nodes. A policy that " +
        "forgets a node makes its pulls hang, since packets are dropped and not refused.",
    ),
    metricsFrom: objects(
      [{ namespaceSelector: {} }],
      "NetworkPolicyPeers that may read the metrics and the web page; a Prometheus in the host's network needs an `ipBlock`.",
    ),
  },
  podMonitor: monitor("PodMonitor"),
  serviceMonitor: monitor("ServiceMonitor"),
  prometheusRule: {
    enabled: flag(
      false,
      "Whether a PrometheusRule with the alerts of monitoring/alerts.yaml is made.",
    ),
    labels: stringMap("Labels by which Prometheus finds the PrometheusRule."),
  },
  grafanaDashboard: {
    enabled: flag(false, "Whether a dashboard for Grafana is made."),
    mode: choice(
      ["Sidecar", "GrafanaOperator"],
      "Sidecar",
      "As a ConfigMap for Grafana's sidecar, or as a GrafanaDashboard for the operator.",
    ),
    labels: stringMap("Labels of the dashboard, such as `grafana_dashboard`."),
    annotations: stringMap("Annotations of the dashboard, such as `grafana_folder`."),
    grafanaOperator: {
      allowCrossNamespaceImport: flag(true, "Whether a Grafana of any namespace may use it."),
      folder: text("", "Folder of the dashboard."),
      resyncPeriod: pattern(DURATION, "10m", "How often the operator looks for changes."),
      matchLabels: stringMap("Labels of the Grafana that gets it; needed for this mode."),
    },
  },
  tracing: {
    enabled: flag(
      false,
      "Whether pulls are traced: the mirror sends OpenTelemetry spans to a collector (docs/tracing.md).",
    ),
    endpoint: pattern(
      "^(https?://.+)?$",
      "",
      "Collector's OTLP endpoint for HTTP, such as `http://collector.monitoring:4318`. Needed when enabled.",
    ),
    protocol: choice(["http/protobuf", "http/json"], "http/protobuf", "How spans are encoded."),
    sampleRatio: value(
      { type: "number", minimum: 0, maximum: 1 },
      1,
      "Share of traces that are sent, of those that begin here; a client's own decision wins.",
    ),
    env: objects(
      [],
      "Further environment, such as OTEL_EXPORTER_OTLP_HEADERS from a secret.",
    ),
  },
  verticalPodAutoscaler: {
    enabled: flag(false, "Whether a VerticalPodAutoscaler is made."),
    recommenders: objects([], "Recommender to use; none for the default one."),
    controlledResources: texts("Resources to control; none for cpu and memory."),
    controlledValues: choice(
      ["RequestsAndLimits", "RequestsOnly"],
      "RequestsAndLimits",
      "Whether limits are controlled, too.",
    ),
    maxAllowed: object({}, "Most resources."),
    minAllowed: object({}, "Least resources."),
    updatePolicy: {
      minReplicas: integer(1, 2, "Pods that must be alive for one to be evicted."),
      updateMode: choice(
        ["Off", "Initial", "Recreate", "InPlaceOrRecreate", "Auto"],
        "Recreate",
        "How recommendations are applied.",
      ),
    },
  },
  extraVolumes: objects([], "Further volumes of the pods."),
  extraInitContainers: objects([], "Init containers that run before the chart's own."),
};
