/**
 * From a command line and the environment to one typed, validated configuration.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { ListenAddress } from "../net/listen.ts";
import type { ClientRule } from "../net/local_clients.ts";
import type { LogLevel } from "../observability/logger.ts";
import { toMultiaddr } from "../routing/bootstrap/static.ts";
import { commandHelp, programHelp } from "./help.ts";
import {
  CLEANUP_OPTIONS,
  CLEANUP_WAIT_OPTIONS,
  type CommandName,
  COMMANDS,
  COMMON_OPTIONS,
  CONFIGURATION_OPTIONS,
  DEMO_OPTIONS,
  DOCTOR_OPTIONS,
  type Option,
  PREPARE_OPTIONS,
  REGISTRY_OPTIONS,
  STATUS_OPTIONS,
  VERSION_OPTIONS,
} from "./options.ts";
import {
  type Environment,
  givenOptions,
  label,
  parseOptions,
  type ValuesOf,
} from "./parse_options.ts";
import { ALL_REGISTRIES, type MirroredRegistry, type PrivateRegistry } from "./value_parsers.ts";

/** Where content is kept. */
export type StoreConfig =
  | {
    readonly kind: "containerd";
    readonly sock: string;
    readonly namespace: string;
    readonly contentPath: string;
  }
  | { readonly kind: "oci-layout"; readonly path: string; readonly repository?: string };

/** How the first peers are found. */
export type BootstrapConfig =
  | { readonly kind: "static"; readonly peers: readonly string[] }
  | { readonly kind: "dns"; readonly domain: string }
  | { readonly kind: "http"; readonly addr?: ListenAddress; readonly peer?: string }
  | { readonly kind: "kubernetes"; readonly namespace?: string; readonly lease: string };

/** Bounds on transfers in one direction; 0 for none. */
export interface TransferConfig {
  /** Most contents at the same time. */
  readonly maxStreams: number;
  /** Bytes per second of all of them together. */
  readonly bytesPerSecond: number;
}

/** Whether content travels between nodes over TLS: never, to and from nodes that can, or always. */
export type PeerTls = "never" | "preferred" | "required";

/** How nodes of the cluster deal with one another. */
export interface PeerConfig {
  readonly tls: PeerTls;
  readonly tlsAddr: ListenAddress;
  /** Addresses of this node's containerd, besides the machine's own. */
  readonly localClients: readonly ClientRule[];
  /** File with the secret that makes a node a member. */
  readonly clusterSecretPath?: string;
}

/** What is private, and how it is found out who may have it. */
export interface AccessConfig {
  readonly registries: readonly PrivateRegistry[];
  readonly proofTtlMs: number;
  readonly opensWhenUnreachable: boolean;
  /** containerd's `config_path`. */
  readonly configPath: string;
}

/** How upstream is asked what tags stand for. */
export interface TagResolutionConfig {
  /** Registries that are asked, besides those that have a folder in containerd's `config_path`. */
  readonly registries: readonly MirroredRegistry[];
  readonly configPath: string;
}

/** Configuration of `registry`. */
export interface RegistryConfig {
  readonly logLevel: LogLevel;
  readonly registryAddr: ListenAddress;
  readonly routerAddr: ListenAddress;
  readonly routerWebsocketAddr?: ListenAddress;
  readonly metricsAddr: ListenAddress;
  readonly store: StoreConfig;
  readonly dataDir?: string;
  /** Hosts, with port where they have one; none for all registries. */
  readonly mirroredRegistries: readonly string[];
  /** Expressions of Go, not looked at yet. */
  readonly registryFilters: readonly string[];
  readonly defaultRegistry: string;
  /** Whose content is handed out to whom; undefined if none is private. */
  readonly access?: AccessConfig;
  readonly resolveTimeoutMs: number;
  /** Infinity for no limit. */
  readonly resolveRetries: number;
  readonly uploads: TransferConfig;
  readonly downloads: TransferConfig;
  /** Whether downloads in progress are shared. */
  readonly sharesInProgress: boolean;
  /** How upstream is asked about tags for many nodes; undefined if it is not. */
  readonly tagResolution?: TagResolutionConfig;
  readonly peers: PeerConfig;
  readonly zone?: string;
  readonly debugWebEnabled: boolean;
  readonly shutdownGraceMs: number;
  readonly basicAuthDir: string;
  readonly bootstrap: BootstrapConfig;
}

/** Configuration of `configuration`. */
export interface ConfigurationConfig {
  readonly logLevel: LogLevel;
  readonly configPath: string;
  readonly mirroredRegistries: readonly MirroredRegistry[];
  readonly mirrorTargets: readonly string[];
  readonly resolveTags: boolean;
  readonly prependExisting: boolean;
  readonly basicAuthDir: string;
}

/** Configuration of `prepare`. */
export interface PrepareConfig {
  readonly logLevel: LogLevel;
  readonly dataDir: string;
}

/** Configuration of `cleanup`. */
export interface CleanupConfig {
  readonly logLevel: LogLevel;
  readonly addr: ListenAddress;
  readonly configPath: string;
}

/** Configuration of `cleanup-wait`. */
export interface CleanupWaitConfig {
  readonly logLevel: LogLevel;
  readonly probeEndpoint: { readonly host: string; readonly port: number };
  readonly threshold: number;
  readonly periodMs: number;
}

/** Settings of the mirror that `doctor` looks at. */
export interface DoctorSettings {
  readonly registryAddr: ListenAddress;
  readonly store: "containerd" | "oci-layout";
  readonly containerdSock: string;
  readonly containerdNamespace: string;
  readonly containerdContentPath: string;
  readonly ociLayoutPath?: string;
  readonly dataDir?: string;
  readonly clusterSecretPath?: string;
  /** Hosts, with port where they have one; none for all registries. */
  readonly mirroredRegistries: readonly string[];
  /** Expressions of Go, not looked at yet. */
  readonly registryFilters: readonly string[];
  readonly defaultRegistry: string;
}

/** Configuration of `doctor`. */
export interface DoctorConfig {
  readonly logLevel: LogLevel;
  /** Image whose parts are looked for, as it was written. */
  readonly image?: string;
  readonly json: boolean;
  readonly configPath: string;
  readonly metricsAddr: ListenAddress;
  readonly basicAuthDir: string;
  readonly settings: DoctorSettings;
  /** Which of the settings were given; the others are defaults. */
  readonly given: ReadonlySet<string>;
}

/** Configuration of `status`. */
export interface StatusConfig {
  readonly logLevel: LogLevel;
  readonly json: boolean;
  readonly metricsAddr: ListenAddress;
}

/** A command with its configuration. */
export type Command =
  | { readonly name: "registry"; readonly config: RegistryConfig }
  | { readonly name: "configuration"; readonly config: ConfigurationConfig }
  | { readonly name: "prepare"; readonly config: PrepareConfig }
  | { readonly name: "cleanup"; readonly config: CleanupConfig }
  | { readonly name: "cleanup-wait"; readonly config: CleanupWaitConfig }
  | { readonly name: "doctor"; readonly config: DoctorConfig }
  | { readonly name: "status"; readonly config: StatusConfig }
  | { readonly name: "version"; readonly config: { readonly format: "text" | "json" } }
  | { readonly name: "demo"; readonly config: { readonly keep: boolean } }
  | { readonly name: "help"; readonly text: string };

/**
 * Reads the command line.
 *
 * @param args Arguments of the program.
 * @param env Environment.
 * @returns What to run.
 * @throws {ConfigError} One line that names the option, the value and what is allowed.
 *
 * @example
 * ```ts
 * const command = parseCommand(Deno.args, Deno.env.toObject());
 * ```
 */
export function parseCommand(args: readonly string[], env: Environment): Command {
  const at = args.findIndex((arg, index) => !arg.startsWith("-") && !isLogLevelValue(args, index));
  const name = args[at];
  if (name === undefined || name === "help") {
    if (args.length === 0 || name === "help" || args.some(isHelp)) {
      return { name: "help", text: programHelp() };
    }
    throw new ConfigError(`a command is missing, must be ${Object.keys(COMMANDS).join(", ")}`);
  }
  if (!isCommandName(name)) {
    const known = Object.keys(COMMANDS).join(", ");
    throw new ConfigError(`unknown command ${JSON.stringify(name)}, must be one of ${known}`);
  }
  const options = args.toSpliced(at, 1);
  if (options.some(isHelp)) return { name: "help", text: commandHelp(name) };
  return PARSERS[name](options, env);
}

function isHelp(arg: string): boolean {
  return arg === "--help" || arg === "-h";
}

function isCommandName(name: string): name is CommandName {
  return Object.hasOwn(COMMANDS, name);
}

/** `--log-level debug registry`: the level is not the command. */
function isLogLevelValue(args: readonly string[], index: number): boolean {
  return args[index - 1]?.replace(/^--?/, "") === COMMON_OPTIONS.logLevel.flag;
}

const PARSERS: Record<CommandName, (args: readonly string[], env: Environment) => Command> = {
  registry: (args, env) => {
    const values = parseOptions({ ...REGISTRY_OPTIONS, ...COMMON_OPTIONS }, args, env);
    return { name: "registry", config: registryConfig(values) };
  },
  configuration: (args, env) => {
    const values = parseOptions({ ...CONFIGURATION_OPTIONS, ...COMMON_OPTIONS }, args, env);
    return {
      name: "configuration",
      config: {
        logLevel: values.logLevel!,
        configPath: values.configPath!,
        mirroredRegistries: values.mirroredRegistries,
        mirrorTargets: values.mirrorTargets,
        resolveTags: values.resolveTags!,
        prependExisting: values.prependExisting!,
        basicAuthDir: values.basicAuthDir!,
      },
    };
  },
  prepare: (args, env) => {
    const { logLevel, dataDir } = parseOptions(
      { ...PREPARE_OPTIONS, ...COMMON_OPTIONS },
      args,
      env,
    );
    return { name: "prepare", config: { logLevel: logLevel!, dataDir: dataDir! } };
  },
  cleanup: (args, env) => {
    const values = parseOptions({ ...CLEANUP_OPTIONS, ...COMMON_OPTIONS }, args, env);
    const { logLevel, addr, configPath } = values;
    return {
      name: "cleanup",
      config: { logLevel: logLevel!, addr: addr!, configPath: configPath! },
    };
  },
  "cleanup-wait": (args, env) => {
    const values = parseOptions({ ...CLEANUP_WAIT_OPTIONS, ...COMMON_OPTIONS }, args, env);
    return {
      name: "cleanup-wait",
      config: {
        logLevel: values.logLevel!,
        probeEndpoint: values.probeEndpoint!,
        threshold: values.threshold!,
        periodMs: values.period!,
      },
    };
  },
  doctor: (args, env) => {
    const table = { ...DOCTOR_OPTIONS, ...COMMON_OPTIONS };
    return {
      name: "doctor",
      config: doctorConfig(parseOptions(table, args, env), givenOptions(table, args, env)),
    };
  },
  status: (args, env) => {
    const values = parseOptions({ ...STATUS_OPTIONS, ...COMMON_OPTIONS }, args, env);
    const { logLevel, json, metricsAddr } = values;
    return {
      name: "status",
      config: { logLevel: logLevel!, json: json!, metricsAddr: metricsAddr! },
    };
  },
  version: (args, env) => {
    const values = parseOptions({ ...VERSION_OPTIONS, ...COMMON_OPTIONS }, args, env);
    return { name: "version", config: { format: values.format! } };
  },
  demo: (args, env) => {
    const values = parseOptions({ ...DEMO_OPTIONS, ...COMMON_OPTIONS }, args, env);
    return { name: "demo", config: { keep: values.keep! } };
  },
};

type RegistryValues = ValuesOf<typeof REGISTRY_OPTIONS & typeof COMMON_OPTIONS>;

// Options with a default are never undefined; `!` states that once for each of them.
function registryConfig(values: RegistryValues): RegistryConfig {
  const { routerWebsocketAddr, dataDir, nodeZone } = values;
  return {
    logLevel: values.logLevel!,
    registryAddr: values.registryAddr!,
    routerAddr: values.routerAddr!,
    ...(routerWebsocketAddr ? { routerWebsocketAddr } : {}),
    metricsAddr: values.metricsAddr!,
    store: storeConfig(values),
    ...(dataDir === undefined ? {} : { dataDir }),
    mirroredRegistries: registryHosts(values.mirroredRegistries),
    registryFilters: values.registryFilters,
    defaultRegistry: values.defaultRegistry!,
    ...(values.privateRegistries.length === 0 ? {} : { access: accessConfig(values) }),
    resolveTimeoutMs: values.mirrorResolveTimeout!,
    resolveRetries: values.mirrorResolveRetries! || Infinity,
    uploads: {
      maxStreams: values.mirrorMaxUploads!,
      bytesPerSecond: values.mirrorUploadRate!,
    },
    downloads: {
      maxStreams: values.mirrorMaxDownloads!,
      bytesPerSecond: values.mirrorDownloadRate!,
    },
    sharesInProgress: values.shareInProgress!,
    ...(values.shareInProgress! && values.shareTagResolution!
      ? {
        tagResolution: {
          registries: values.mirroredRegistries.filter(({ url }) => url !== undefined),
          configPath: values.configPath!,
        },
      }
      : {}),
    peers: peerConfig(values),
    ...(nodeZone === undefined ? {} : { zone: nodeZone }),
    debugWebEnabled: values.debugWebEnabled!,
    shutdownGraceMs: values.shutdownGracePeriod!,
    basicAuthDir: values.basicAuthDir!,
    bootstrap: bootstrapConfig(values),
  };
}

function peerConfig(values: RegistryValues): PeerConfig {
  const { clusterSecretPath } = values;
  const isClosed = clusterSecretPath !== undefined;
  if (isClosed && values.peerTls === "never") {
    throw new ConfigError(
      `${label(REGISTRY_OPTIONS.peerTls)} cannot be never with ` +
        `--${REGISTRY_OPTIONS.clusterSecretPath.flag}: content would be for everybody all the same`,
    );
  }
  return {
    tls: isClosed ? "required" : values.peerTls!,
    tlsAddr: values.peerTlsAddr!,
    localClients: values.localClients,
    ...(isClosed ? { clusterSecretPath } : {}),
  };
}

function accessConfig(values: RegistryValues): AccessConfig {
  return {
    registries: values.privateRegistries,
    proofTtlMs: values.privateProofTtl!,
    opensWhenUnreachable: values.privateWhenUnreachable === "allow",
    configPath: values.configPath!,
  };
}

function doctorConfig(
  values: ValuesOf<typeof DOCTOR_OPTIONS & typeof COMMON_OPTIONS>,
  given: ReadonlySet<string>,
): DoctorConfig {
  const { image, ociLayoutPath, dataDir, clusterSecretPath } = values;
  return {
    logLevel: values.logLevel!,
    ...(image === undefined ? {} : { image }),
    json: values.json!,
    configPath: values.configPath!,
    metricsAddr: values.metricsAddr!,
    basicAuthDir: values.basicAuthDir!,
    settings: {
      registryAddr: values.registryAddr!,
      store: values.store!,
      containerdSock: values.containerdSock!,
      containerdNamespace: values.containerdNamespace!,
      containerdContentPath: values.containerdContentPath!,
      ...(ociLayoutPath === undefined ? {} : { ociLayoutPath }),
      ...(dataDir === undefined ? {} : { dataDir }),
      ...(clusterSecretPath === undefined ? {} : { clusterSecretPath }),
      mirroredRegistries: registryHosts(values.mirroredRegistries),
      registryFilters: values.registryFilters,
      defaultRegistry: values.defaultRegistry!,
    },
    given,
  };
}

/** One wildcard among them means all, whatever else is named. */
function registryHosts(registries: readonly MirroredRegistry[]): string[] {
  const hosts = registries.map(({ host }) => host);
  return hosts.includes(ALL_REGISTRIES) ? [] : hosts;
}

function storeConfig(values: RegistryValues): StoreConfig {
  if (values.store === "containerd") {
    return {
      kind: "containerd",
      sock: values.containerdSock!,
      namespace: values.containerdNamespace!,
      contentPath: values.containerdContentPath!,
    };
  }
  const { ociLayoutPath, ociLayoutRepository } = values;
  return {
    kind: "oci-layout",
    path: needed(REGISTRY_OPTIONS.ociLayoutPath, ociLayoutPath, "--store oci-layout"),
    ...(ociLayoutRepository === undefined ? {} : { repository: ociLayoutRepository }),
  };
}

function bootstrapConfig(values: RegistryValues): BootstrapConfig {
  const kind = values.bootstrapKind!;
  const because = `--bootstrap-kind ${kind}`;
  if (kind === "static") {
    // Addresses are checked here, so that a wrong one stops the start.
    values.staticBootstrapPeers.forEach(checkPeer);
    return { kind, peers: values.staticBootstrapPeers };
  }
  if (kind === "dns") {
    const { dnsBootstrapDomain } = REGISTRY_OPTIONS;
    return { kind, domain: needed(dnsBootstrapDomain, values.dnsBootstrapDomain, because) };
  }
  if (kind === "http") {
    const { httpBootstrapAddr: addr, httpBootstrapPeer: peer } = values;
    if (!addr) needed(REGISTRY_OPTIONS.httpBootstrapPeer, peer, `${because} without an address`);
    return { kind, ...(addr ? { addr } : {}), ...(peer === undefined ? {} : { peer }) };
  }
  const namespace = values.kubernetesBootstrapNamespace;
  return {
    kind,
    ...(namespace === undefined ? {} : { namespace }),
    lease: values.kubernetesBootstrapLease!,
  };
}

function checkPeer(peer: string): void {
  try {
    toMultiaddr(peer);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`${label(REGISTRY_OPTIONS.staticBootstrapPeers)}: ${reason}`);
  }
}

function needed<T>(option: Option<T>, value: T | undefined, because: string): T {
  if (value !== undefined) return value;
  throw new ConfigError(
    `${label(option)} is required with ${because}, must be ${option.parser.allowed}`,
  );
}
