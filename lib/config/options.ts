/**
 * All options of all commands: the one source of the parser, of `--help` and of docs/configuration.md. Names and
 * defaults are Spegel's (v0.7.4) where it has them.
 *
 * @module
 */
import {
  anyText,
  boolean,
  byteRate,
  clientRule,
  duration,
  endpoint,
  goRegExp,
  httpUrl,
  integer,
  listenAddress,
  logLevel,
  mirroredRegistry,
  mirrorTarget,
  oneOf,
  optionalListenAddress,
  privateRegistry,
  registryHost,
  repositoryName,
  type ValueParser,
} from "./value_parsers.ts";

/** One option. */
export interface Option<T> {
  /** Name on the command line, without the dashes. */
  readonly flag: string;
  /** Name of the environment variable. */
  readonly env: string | undefined;
  /** Default, as it would be given. */
  readonly default: string;
  readonly help: string;
  readonly parser: ValueParser<T>;
  /** True if it must be given. */
  readonly required?: boolean;
  /** True if it can also be given as an argument without a flag. */
  readonly positional?: boolean;
}

/** An option with several values. */
export interface ListOption<T> extends Option<T> {
  readonly list: true;
}

/** Options of a command, by the name of the property that they set. */
export type OptionTable = Readonly<Record<string, Option<unknown> | ListOption<unknown>>>;

function option<T>(
  flag: string,
  parser: ValueParser<T>,
  defaultText: string,
  help: string,
): Option<T> {
  return { flag, env: envName(flag), default: defaultText, help, parser };
}

function list<T>(flag: string, parser: ValueParser<T>, help: string): ListOption<T> {
  return { ...option(flag, parser, "", help), list: true };
}

function envName(flag: string): string {
  return flag.toUpperCase().replaceAll("-", "_");
}

const CONFIG_PATH = option(
  "containerd-registry-config-path",
  anyText,
  "/etc/containerd/certs.d",
  "Directory where the mirror configuration is written.",
);

const MIRRORED_REGISTRIES = list(
  "mirrored-registries",
  mirroredRegistry,
  "Registries that are mirrored; none given means all.",
);

const BASIC_AUTH_DIR = option(
  "basic-auth-dir",
  anyText,
  "/etc/secrets/basic-auth",
  "Directory with the files username and password that clients of the registry must send; no files, no authentication.",
);

const DATA_DIR = option(
  "data-dir",
  anyText,
  "",
  "Directory that keeps the identity of the node; empty for a new one at every start.",
);

const CLUSTER_SECRET_PATH = option(
  "cluster-secret-path",
  anyText,
  "",
  "File with the secret of the cluster, one a line while it is rotated: only nodes that have it take part. Empty for none.",
);

/** Options of all commands. */
export const COMMON_OPTIONS = {
  logLevel: option("log-level", logLevel, "INFO", "Lowest level that is logged."),
};

/** Options of `registry`. */
export const REGISTRY_OPTIONS = {
  registryAddr: option("registry-addr", listenAddress, ":5000", "Address of the image registry."),
  routerAddr: option("router-addr", listenAddress, ":5001", "Address of the router."),
  routerWebsocketAddr: option(
    "router-websocket-addr",
    optionalListenAddress,
    "",
    "Further address of the router for WebSocket connections, where networks let only HTTP pass.",
  ),
  metricsAddr: option("metrics-addr", listenAddress, ":9090", "Address of the metrics."),
  store: option(
    "store",
    oneOf("containerd", "oci-layout"),
    "containerd",
    "Where content is kept.",
  ),
  containerdSock: option(
    "containerd-sock",
    anyText,
    "/run/containerd/containerd.sock",
    "Socket of containerd.",
  ),
  containerdNamespace: option(
    "containerd-namespace",
    anyText,
    "k8s.io",
    "Namespace of containerd that images are in.",
  ),
  containerdContentPath: option(
    "containerd-content-path",
    anyText,
    "/var/lib/containerd/io.containerd.content.v1.content",
    "Directory of containerd's content store.",
  ),
  ociLayoutPath: option(
    "oci-layout-path",
    anyText,
    "",
    "OCI image-layout directory to serve, for --store oci-layout.",
  ),
  ociLayoutRepository: option(
    "oci-layout-repository",
    repositoryName,
    "",
    "Repository of images that the layout names by their tag alone.",
  ),
  dataDir: DATA_DIR,
  mirroredRegistries: MIRRORED_REGISTRIES,
  registryFilters: list(
    "registry-filters",
    goRegExp,
    "Regular expressions; references (registry/repository:tag) that match one are not mirrored.",
  ),
  defaultRegistry: option(
    "default-registry",
    registryHost,
    "docker.io",
    "Registry that is meant by clients that name none.",
  ),
  privateRegistries: list(
    "private-registries",
    privateRegistry,
    "Registries, or parts of them, whose content is handed out only to clients whose credentials the registry accepts.",
  ),
  privateProofTtl: option(
    "private-proof-ttl",
    duration,
    "5m",
    "How long a private registry's word that somebody may have a repository is believed.",
  ),
  privateWhenUnreachable: option(
    "private-when-unreachable",
    oneOf("deny", "allow"),
    "deny",
    "What becomes of requests for private content while its registry cannot be asked.",
  ),
  configPath: {
    ...CONFIG_PATH,
    help:
      "Directory of the mirror configuration, which tells where registries are that the mirror asks itself.",
  },
  mirrorResolveTimeout: option(
    "mirror-resolve-timeout",
    duration,
    "20ms",
    "Longest wait for the first peer.",
  ),
  mirrorResolveRetries: option(
    "mirror-resolve-retries",
    integer(0),
    "3",
    "Most peers that are asked for one content; 0 for no limit.",
  ),
  mirrorMaxUploads: option(
    "mirror-max-uploads",
    integer(0),
    "64",
    "Most contents that are sent to peers at the same time; further requests are told to go elsewhere. 0 for no limit.",
  ),
  mirrorUploadRate: option(
    "mirror-upload-rate",
    byteRate,
    "0",
    "Bytes per second that are sent to all peers together; 0 for no limit.",
  ),
  mirrorMaxDownloads: option(
    "mirror-max-downloads",
    integer(0),
    "0",
    "Most contents that are fetched from peers at the same time; further ones come from upstream. 0 for no limit.",
  ),
  mirrorDownloadRate: option(
    "mirror-download-rate",
    byteRate,
    "0",
    "Bytes per second that are fetched from all peers together; 0 for no limit.",
  ),
  shareInProgress: option(
    "share-in-progress",
    boolean,
    "true",
    "Whether nodes that want the same content at the same time get it from one of them while it downloads.",
  ),
  shareTagResolution: option(
    "share-tag-resolution",
    boolean,
    "false",
    "Whether one mirror asks upstream, without credentials, what a tag stands for that many nodes pull at once. Needs --share-in-progress, and a way from the mirrors to the registries; set it on all nodes.",
  ),
  peerTls: option(
    "peer-tls",
    oneOf("never", "preferred", "required"),
    "preferred",
    "Whether content travels between nodes over TLS: never, to and from nodes that can, or always. With a cluster secret always.",
  ),
  peerTlsAddr: option("peer-tls-addr", listenAddress, ":5003", "Address for peers over TLS."),
  localClients: list(
    "local-clients",
    clientRule,
    "Addresses, besides the machine's own, that this node's containerd comes from, where TLS is required; gateway for the first address of the pod's network.",
  ),
  clusterSecretPath: CLUSTER_SECRET_PATH,
  nodeZone: option(
    "node-zone",
    anyText,
    "",
    "Topology zone of the node; peers of the same zone are preferred. Empty if it is not known.",
  ),
  debugWebEnabled: option(
    "debug-web-enabled",
    boolean,
    "true",
    "Whether the address of the metrics also tells at /debug what this node does: the web page at /debug/web/, and what kagami doctor and status ask.",
  ),
  shutdownGracePeriod: option(
    "shutdown-grace-period",
    duration,
    "20s",
    "How long running transfers may take after the signal to stop.",
  ),
  basicAuthDir: BASIC_AUTH_DIR,
  bootstrapKind: option(
    "bootstrap-kind",
    oneOf("static", "dns", "http", "kubernetes"),
    "static",
    "How the first peers are found.",
  ),
  dnsBootstrapDomain: option(
    "dns-bootstrap-domain",
    anyText,
    "",
    "Name of the headless service, for --bootstrap-kind dns.",
  ),
  httpBootstrapAddr: option(
    "http-bootstrap-addr",
    optionalListenAddress,
    "",
    "Address that tells this node's own identity at /id, for --bootstrap-kind http; empty for none.",
  ),
  httpBootstrapPeer: option(
    "http-bootstrap-peer",
    httpUrl,
    "",
    "URL of the peer that is asked at /id, for --bootstrap-kind http; empty for a node that only answers.",
  ),
  staticBootstrapPeers: list(
    "static-bootstrap-peers",
    anyText,
    "Peers to start from, for --bootstrap-kind static: multiaddrs, or <host>[:<port>].",
  ),
  kubernetesBootstrapNamespace: option(
    "kubernetes-bootstrap-namespace",
    anyText,
    "",
    "Namespace of the Lease, for --bootstrap-kind kubernetes; empty for the pod's own.",
  ),
  kubernetesBootstrapLease: option(
    "kubernetes-bootstrap-lease",
    anyText,
    "kagami-bootstrap",
    "Name of the Lease, for --bootstrap-kind kubernetes.",
  ),
};

const JSON_OUTPUT = {
  ...option("json", boolean, "false", "Whether to print JSON, for machines."),
  env: undefined,
};

/**
 * Options of `doctor`: those of the mirror and of its set-up that tell where to look. What is given neither as a flag nor
 * as a variable is taken from the running mirror.
 */
export const DOCTOR_OPTIONS = {
  image: {
    ...option(
      "image",
      anyText,
      "",
      "Image whose parts are looked for, such as nginx or ghcr.io/a/b:1; also without the flag.",
    ),
    env: undefined,
    positional: true,
  },
  json: JSON_OUTPUT,
  configPath: CONFIG_PATH,
  registryAddr: REGISTRY_OPTIONS.registryAddr,
  metricsAddr: REGISTRY_OPTIONS.metricsAddr,
  store: REGISTRY_OPTIONS.store,
  containerdSock: REGISTRY_OPTIONS.containerdSock,
  containerdNamespace: REGISTRY_OPTIONS.containerdNamespace,
  containerdContentPath: REGISTRY_OPTIONS.containerdContentPath,
  ociLayoutPath: REGISTRY_OPTIONS.ociLayoutPath,
  dataDir: DATA_DIR,
  mirroredRegistries: MIRRORED_REGISTRIES,
  registryFilters: REGISTRY_OPTIONS.registryFilters,
  defaultRegistry: REGISTRY_OPTIONS.defaultRegistry,
  basicAuthDir: BASIC_AUTH_DIR,
  clusterSecretPath: CLUSTER_SECRET_PATH,
};

/** Options of `status`. */
export const STATUS_OPTIONS = {
  json: JSON_OUTPUT,
  metricsAddr: REGISTRY_OPTIONS.metricsAddr,
};

/** Options of `configuration`. */
export const CONFIGURATION_OPTIONS = {
  configPath: CONFIG_PATH,
  mirroredRegistries: MIRRORED_REGISTRIES,
  mirrorTargets: {
    ...list("mirror-targets", mirrorTarget, "URLs of the mirrors that containerd is to ask."),
    required: true,
  },
  resolveTags: option("resolve-tags", boolean, "true", "Whether mirrors also resolve tags."),
  prependExisting: option(
    "prepend-existing",
    boolean,
    "false",
    "Whether existing mirrors are kept, behind ours.",
  ),
  basicAuthDir: BASIC_AUTH_DIR,
};

/** Options of `prepare`. */
export const PREPARE_OPTIONS = {
  dataDir: {
    ...DATA_DIR,
    help: "Directory that keeps the identity of the node; the group that owns it gets access.",
    required: true,
  },
};

/** Options of `cleanup`. */
export const CLEANUP_OPTIONS = {
  addr: {
    ...option("addr", listenAddress, "", "Address of the readiness probe after the cleanup."),
    required: true,
  },
  configPath: CONFIG_PATH,
};

/** Options of `cleanup-wait`. */
export const CLEANUP_WAIT_OPTIONS = {
  probeEndpoint: {
    ...option("probe-endpoint", endpoint, "", "Where all cleanups can be probed."),
    required: true,
  },
  threshold: option("threshold", integer(1), "3", "Successful probes in a row that are enough."),
  period: option("period", duration, "2s", "Time between probes."),
};

/** Options of `version`. */
export const VERSION_OPTIONS = {
  format: {
    ...option("format", oneOf("text", "json"), "text", "Form of the answer."),
    env: undefined,
  },
};

/** Options of `demo`. */
export const DEMO_OPTIONS = {
  keep: {
    ...option("keep", boolean, "false", "Whether the demo's folder is kept for a look at it."),
    env: undefined,
  },
};

/** A command. */
export interface CommandDefinition {
  readonly summary: string;
  readonly options: OptionTable;
}

/** All commands, by name. */
export const COMMANDS = {
  registry: { summary: "Run the mirror of this node.", options: REGISTRY_OPTIONS },
  configuration: {
    summary: "Write containerd's mirror configuration, and keep what was there.",
    options: CONFIGURATION_OPTIONS,
  },
  prepare: {
    summary: "Let a mirror that does not run as root keep its identity on the node.",
    options: PREPARE_OPTIONS,
  },
  cleanup: { summary: "Put back what configuration has replaced.", options: CLEANUP_OPTIONS },
  "cleanup-wait": {
    summary: "Wait until all nodes are cleaned up.",
    options: CLEANUP_WAIT_OPTIONS,
  },
  doctor: {
    summary:
      "Say what is wrong on this node, and what helps; for an image, where it would come from.",
    options: DOCTOR_OPTIONS,
  },
  status: { summary: "Show what the mirror of this node does now.", options: STATUS_OPTIONS },
  version: { summary: "Print the version.", options: VERSION_OPTIONS },
  demo: {
    summary: "Show an image travelling through three nodes on this machine.",
    options: DEMO_OPTIONS,
  },
} as const satisfies Record<string, CommandDefinition>;

/** Name of a command. */
export type CommandName = keyof typeof COMMANDS;
