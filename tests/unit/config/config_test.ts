import assert from "node:assert/strict";
import {
  type Command,
  type ConfigurationConfig,
  type DoctorConfig,
  parseCommand,
  type RegistryConfig,
} from "../../../lib/config/config.ts";
import { COMMANDS } from "../../../lib/config/options.ts";
import type { Environment } from "../../../lib/config/parse_options.ts";
import { ConfigError } from "../../../lib/errors.ts";

function registry(args: string[], env: Environment = {}): RegistryConfig {
  const command = parseCommand(["registry", ...args], env);
  assert.equal(command.name, "registry");
  return command.config;
}

function configuration(args: string[], env: Environment = {}): ConfigurationConfig {
  const command = parseCommand(["configuration", ...args], env);
  assert.equal(command.name, "configuration");
  return command.config;
}

function helpText(command: Command): string {
  assert.equal(command.name, "help");
  return command.text;
}

/** Asserts a ConfigError of one line that holds all the parts. */
function refuses(run: () => unknown, ...parts: string[]): void {
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof ConfigError, String(error));
    assert.ok(!error.message.includes("\n"), error.message);
    for (const part of parts) assert.ok(error.message.includes(part), error.message);
    return true;
  });
}

/** Flag, environment variable and default of each option of Spegel v0.7.4. */
const SPEGEL = {
  registry: [
    ["bootstrap-kind", "BOOTSTRAP_KIND", undefined], // Spegel stops without one; Kagami starts static.
    ["dns-bootstrap-domain", "DNS_BOOTSTRAP_DOMAIN", ""],
    ["http-bootstrap-addr", "HTTP_BOOTSTRAP_ADDR", ""],
    ["http-bootstrap-peer", "HTTP_BOOTSTRAP_PEER", ""],
    ["static-bootstrap-peers", "STATIC_BOOTSTRAP_PEERS", ""],
    ["metrics-addr", "METRICS_ADDR", ":9090"],
    ["containerd-sock", "CONTAINERD_SOCK", "/run/containerd/containerd.sock"],
    ["containerd-namespace", "CONTAINERD_NAMESPACE", "k8s.io"],
    [
      "containerd-content-path",
      "CONTAINERD_CONTENT_PATH",
      "/var/lib/containerd/io.containerd.content.v1.content",
    ],
    ["data-dir", "DATA_DIR", ""],
    ["router-addr", "ROUTER_ADDR", ":5001"],
    ["registry-addr", "REGISTRY_ADDR", ":5000"],
    ["mirrored-registries", "MIRRORED_REGISTRIES", ""],
    ["registry-filters", "REGISTRY_FILTERS", ""],
    ["mirror-resolve-timeout", "MIRROR_RESOLVE_TIMEOUT", "20ms"],
    ["mirror-resolve-retries", "MIRROR_RESOLVE_RETRIES", "3"],
    ["debug-web-enabled", "DEBUG_WEB_ENABLED", "true"],
  ],
  configuration: [
    [
      "containerd-registry-config-path",
      "CONTAINERD_REGISTRY_CONFIG_PATH",
      "/etc/containerd/certs.d",
    ],
    ["mirrored-registries", "MIRRORED_REGISTRIES", ""],
    ["mirror-targets", "MIRROR_TARGETS", ""],
    ["resolve-tags", "RESOLVE_TAGS", "true"],
    ["prepend-existing", "PREPEND_EXISTING", "false"],
  ],
  cleanup: [
    ["addr", "ADDR", ""],
    [
      "containerd-registry-config-path",
      "CONTAINERD_REGISTRY_CONFIG_PATH",
      "/etc/containerd/certs.d",
    ],
  ],
  "cleanup-wait": [
    ["probe-endpoint", "PROBE_ENDPOINT", ""],
    ["threshold", "THRESHOLD", "3"],
    ["period", "PERIOD", "2s"],
  ],
  version: [["format", undefined, "text"]],
} as const;

/** Arguments of the containers in Spegel's chart v0.7.4, with its default values and with all that are optional. */
const SPEGEL_CHART = [
  [
    "configuration",
    "--log-level=INFO",
    "--containerd-registry-config-path=/etc/containerd/certs.d",
    "--mirror-targets",
    "http://10.0.0.7:30020",
    "http://10.0.0.7:30021",
    "--resolve-tags=true",
    "--prepend-existing=false",
  ],
  [
    "configuration",
    "--log-level=DEBUG",
    "--containerd-registry-config-path=/etc/containerd/certs.d",
    "--mirrored-registries",
    "https://docker.io",
    "https://ghcr.io",
    "--mirror-targets",
    "http://fd00::7:30020",
    "http://fd00::7:30021",
    "http://mirror.internal:8080",
    "--resolve-tags=false",
    "--prepend-existing=true",
  ],
  [
    "registry",
    "--log-level=INFO",
    "--mirror-resolve-retries=3",
    "--mirror-resolve-timeout=20ms",
    "--registry-addr=:5000",
    "--router-addr=:5001",
    "--metrics-addr=:9090",
    "--containerd-sock=/run/containerd/containerd.sock",
    "--containerd-namespace=k8s.io",
    "--bootstrap-kind=dns",
    "--dns-bootstrap-domain=spegel-bootstrap.spegel.svc.cluster.local.",
    "--containerd-content-path=/var/lib/containerd/io.containerd.content.v1.content",
    "--debug-web-enabled=true",
    "--data-dir=/var/lib/spegel",
  ],
  [
    "registry",
    "--log-level=ERROR",
    "--mirror-resolve-retries=0",
    "--mirror-resolve-timeout=1m0.5s",
    "--registry-addr=:5000",
    "--router-addr=:5001",
    "--metrics-addr=:9090",
    "--mirrored-registries",
    "https://docker.io",
    "http://registry.internal:5000",
    "--containerd-sock=/run/k3s/containerd/containerd.sock",
    "--containerd-namespace=k8s.io",
    "--bootstrap-kind=dns",
    "--dns-bootstrap-domain=spegel-bootstrap.spegel.svc.cluster.local.",
    "--registry-filters",
    ".*:latest$",
    "^docker\\.io/",
    "^[[:alnum:].]+/private/",
    "--debug-web-enabled=false",
  ],
  ["cleanup", "--containerd-registry-config-path=/etc/containerd/certs.d", "--addr=:8080"],
  [
    "cleanup-wait",
    "--probe-endpoint=spegel-cleanup.spegel.svc.cluster.local.:8080",
  ],
] as const;

for (const [number, [name, ...args]] of SPEGEL_CHART.entries()) {
  Deno.test(`the arguments of Spegel's chart are accepted: ${name} (${number + 1})`, () => {
    // Variables that its containers get as well.
    const env = { NODE_IP: "10.0.0.7", GOMEMLIMIT: "134217728" };
    assert.equal(parseCommand([name, ...args], env).name, name);
  });
}

for (const [name, expected] of Object.entries(SPEGEL)) {
  Deno.test(`options of ${name} have Spegel's flags, variables and defaults`, () => {
    const options = Object.values(COMMANDS[name as keyof typeof SPEGEL].options);
    for (const [flag, env, wanted] of expected) {
      const option = options.find((candidate) => candidate.flag === flag);
      assert.ok(option, `--${flag} is missing`);
      assert.equal(option.env, env);
      if (wanted !== undefined) assert.equal(option.default, wanted, flag);
    }
  });
}

Deno.test("parseCommand() fills in all defaults of registry", () => {
  assert.deepEqual(registry([]), {
    logLevel: "INFO",
    registryAddr: { host: undefined, port: 5000 },
    routerAddr: { host: undefined, port: 5001 },
    metricsAddr: { host: undefined, port: 9090 },
    store: {
      kind: "containerd",
      sock: "/run/containerd/containerd.sock",
      namespace: "k8s.io",
      contentPath: "/var/lib/containerd/io.containerd.content.v1.content",
    },
    mirroredRegistries: [],
    registryFilters: [],
    defaultRegistry: "docker.io",
    uploads: { maxStreams: 64, bytesPerSecond: 0 },
    downloads: { maxStreams: 0, bytesPerSecond: 0 },
    resolveTimeoutMs: 20,
    resolveRetries: 3,
    sharesInProgress: true,
    peers: { tls: "preferred", tlsAddr: { host: undefined, port: 5003 }, localClients: [] },
    debugWebEnabled: true,
    shutdownGraceMs: 20_000,
    basicAuthDir: "/etc/secrets/basic-auth",
    bootstrap: { kind: "static", peers: [] },
  });
});

Deno.test("a cluster secret makes TLS required, and cannot be had without it", () => {
  const secret = "--cluster-secret-path=/etc/secret";
  assert.deepEqual(registry([secret, "--local-clients", "gateway", "10.0.0.0/8"]).peers, {
    tls: "required",
    tlsAddr: { host: undefined, port: 5003 },
    localClients: [{ kind: "gateway" }, { kind: "subnet", address: "10.0.0.0", prefix: 8 }],
    clusterSecretPath: "/etc/secret",
  });
  assert.throws(() => registry([secret, "--peer-tls=never"]), (error) => {
    assert(error instanceof ConfigError);
    assert.match(error.message, /--peer-tls.*cannot be never with --cluster-secret-path/);
    return true;
  });
  assert.throws(() => registry(["--local-clients=node"]), /--local-clients.*must be an IP address/);
  assert.throws(() => registry(["--peer-tls=on"]), /must be never, preferred or required/);
});

Deno.test("parseCommand() reads what is private, if anything is", () => {
  const { access } = registry(["--private-registries", "ghcr.io/team", "quay.io"]);
  assert.deepEqual(access, {
    registries: [
      { host: "ghcr.io", url: "https://ghcr.io", prefix: "team" },
      { host: "quay.io", url: "https://quay.io" },
    ],
    proofTtlMs: 5 * 60_000,
    opensWhenUnreachable: false,
    configPath: "/etc/containerd/certs.d",
  });
  const options = ["--private-registries=quay.io", "--private-when-unreachable=allow"];
  assert.equal(registry(options).access?.opensWhenUnreachable, true);
});

Deno.test("parseCommand() reads which registries are asked about tags, if downloads are shared", () => {
  const option = "--share-tag-resolution=true";
  const configPath = "/etc/containerd/certs.d";
  assert.deepEqual(registry([option]).tagResolution, { registries: [], configPath });
  const listed = ["--mirrored-registries", "http://registry.test:5000", "_default"];
  assert.deepEqual(registry([option, ...listed]).tagResolution, {
    registries: [{ host: "registry.test:5000", url: "http://registry.test:5000" }],
    configPath,
  });
  assert.equal(registry([option, "--share-in-progress=false"]).tagResolution, undefined);
});

Deno.test("parseCommand() fills in all defaults of configuration", () => {
  assert.deepEqual(configuration(["--mirror-targets", "http://127.0.0.1:5000"]), {
    logLevel: "INFO",
    configPath: "/etc/containerd/certs.d",
    mirroredRegistries: [],
    mirrorTargets: ["http://127.0.0.1:5000"],
    resolveTags: true,
    prependExisting: false,
    basicAuthDir: "/etc/secrets/basic-auth",
  });
});

Deno.test("parseCommand() reads prepare, cleanup, cleanup-wait, version and demo", () => {
  assert.deepEqual(parseCommand(["prepare"], { DATA_DIR: "/var/lib/kagami" }), {
    name: "prepare",
    config: { logLevel: "INFO", dataDir: "/var/lib/kagami" },
  });
  assert.deepEqual(parseCommand(["cleanup", "--addr", ":8080"], {}), {
    name: "cleanup",
    config: {
      logLevel: "INFO",
      addr: { host: undefined, port: 8080 },
      configPath: "/etc/containerd/certs.d",
    },
  });
  const env = { PROBE_ENDPOINT: "cleanup.spegel.svc:8080", THRESHOLD: "5", PERIOD: "1m30s" };
  assert.deepEqual(parseCommand(["cleanup-wait"], env), {
    name: "cleanup-wait",
    config: {
      logLevel: "INFO",
      probeEndpoint: { host: "cleanup.spegel.svc", port: 8080 },
      threshold: 5,
      periodMs: 90_000,
    },
  });
  assert.deepEqual(parseCommand(["version", "--format=json"], {}), {
    name: "version",
    config: { format: "json" },
  });
  assert.deepEqual(parseCommand(["demo", "--keep"], {}), { name: "demo", config: { keep: true } });
});

Deno.test("a flag wins over its variable, and a variable over the default", () => {
  const env = { REGISTRY_ADDR: "127.0.0.1:1", ROUTER_ADDR: "[::1]:2" };
  const config = registry(["--registry-addr=127.0.0.2:3"], env);
  assert.deepEqual(config.registryAddr, { host: "127.0.0.2", port: 3 });
  assert.deepEqual(config.routerAddr, { host: "::1", port: 2 });
  assert.deepEqual(config.metricsAddr, { host: undefined, port: 9090 });
});

Deno.test("an empty variable counts as not set", () => {
  const config = registry([], { METRICS_ADDR: "", MIRRORED_REGISTRIES: "", DATA_DIR: "" });
  assert.equal(config.metricsAddr.port, 9090);
  assert.deepEqual(config.mirroredRegistries, []);
  assert.ok(!("dataDir" in config));
});

Deno.test("a list takes values up to the next flag, and can be repeated", () => {
  const config = registry([
    "--mirrored-registries",
    "docker.io",
    "https://ghcr.io",
    "--data-dir",
    "/data",
    "--mirrored-registries=quay.io:8443",
  ]);
  assert.deepEqual(config.mirroredRegistries, ["docker.io", "ghcr.io", "quay.io:8443"]);
  assert.equal(config.dataDir, "/data");
});

Deno.test("a list without values is empty, and no required one", () => {
  const config = registry(["--mirrored-registries", "--data-dir=/data", "--registry-filters"]);
  assert.deepEqual(config.mirroredRegistries, []);
  assert.deepEqual(config.registryFilters, []);
  refuses(() => configuration(["--mirror-targets"]), "--mirror-targets (MIRROR_TARGETS)");
});

Deno.test("no limit of retries is 0, as in Spegel", () => {
  assert.equal(registry(["--mirror-resolve-retries=0"]).resolveRetries, Infinity);
});

Deno.test("a list on the command line replaces the one of the environment", () => {
  const env = { MIRRORED_REGISTRIES: "https://docker.io" };
  assert.deepEqual(registry(["--mirrored-registries", "ghcr.io"], env).mirroredRegistries, [
    "ghcr.io",
  ]);
});

Deno.test("a list in the environment is CSV, with quotes around values that hold a comma", () => {
  const env = {
    MIRRORED_REGISTRIES: "https://docker.io, ghcr.io",
    REGISTRY_FILTERS: `:latest$,"^ghcr\\.io/[a-z]{2,3}/","say ""x"""`,
  };
  const config = registry([], env);
  assert.deepEqual(config.mirroredRegistries, ["docker.io", "ghcr.io"]);
  assert.deepEqual(config.registryFilters, [
    ":latest$",
    "^ghcr\\.io/[a-z]{2,3}/",
    'say "x"',
  ]);
});

Deno.test("the last of a repeated single value counts", () => {
  assert.equal(registry(["--data-dir=/a", "--data-dir", "/b"]).dataDir, "/b");
});

Deno.test("a boolean flag alone means true and never takes the next argument", () => {
  const targets = ["--mirror-targets", "http://127.0.0.1:5000"];
  assert.equal(configuration(["--prepend-existing", ...targets]).prependExisting, true);
  assert.equal(configuration([...targets, "--prepend-existing=false"]).prependExisting, false);
  assert.equal(configuration([...targets, "--resolve-tags=0"]).resolveTags, false);
  assert.equal(configuration(targets, { RESOLVE_TAGS: "f" }).resolveTags, false);
  refuses(
    () => configuration(["--prepend-existing", "false", ...targets]),
    "unknown argument",
    '"false"',
  );
});

Deno.test("--log-level may stand before or after the command", () => {
  for (
    const args of [
      ["--log-level", "debug", "registry"],
      ["--log-level=DEBUG", "registry"],
      ["-log-level", "Debug", "registry"],
      ["registry", "--log-level", "debug"],
    ]
  ) {
    const command = parseCommand(args, {});
    assert.equal(command.name, "registry");
    assert.equal(command.config.logLevel, "DEBUG");
  }
  assert.equal(registry([], { LOG_LEVEL: "error" }).logLevel, "ERROR");
});

Deno.test("no arguments, help and --help show the program's commands", () => {
  for (const args of [[], ["help"], ["--help"], ["-h"]]) {
    const text = helpText(parseCommand(args, {}));
    for (const name of Object.keys(COMMANDS)) assert.ok(text.includes(`  ${name} `), name);
  }
});

for (const [name, { options }] of Object.entries(COMMANDS)) {
  Deno.test(`${name} --help names every option with its variable and default`, () => {
    for (const help of ["--help", "-h"]) {
      const text = helpText(parseCommand([name, help], {}));
      assert.ok(text.includes("--log-level VALUE"));
      for (const option of Object.values(options)) {
        assert.ok(text.includes(`--${option.flag}`), option.flag);
        if (option.env !== undefined) assert.ok(text.includes(`env ${option.env}`), option.env);
        if (option.default !== "") assert.ok(text.includes(`default ${option.default}`));
        if ("required" in option) assert.ok(text.includes("required"));
      }
    }
  });
}

Deno.test("--help wins over values that are missing or wrong", () => {
  helpText(parseCommand(["cleanup", "--help"], { CONTAINERD_REGISTRY_CONFIG_PATH: "" }));
  helpText(parseCommand(["registry", "--no-such", "--help"], {}));
});

Deno.test("an unknown command is refused with the ones there are", () => {
  refuses(() => parseCommand(["registri"], {}), '"registri"', "registry, configuration");
  refuses(() => parseCommand(["toString"], {}), '"toString"');
  refuses(() => parseCommand(["--log-level", "debug"], {}), "command is missing", "registry");
});

Deno.test("an unknown flag or a stray argument is refused", () => {
  refuses(() => registry(["--registry-adr", ":1"]), '"--registry-adr"', "--help");
  refuses(() => registry(["--data-dir", "/a", "/b"]), '"/b"');
  refuses(() => parseCommand(["version", "--addr=:1"], {}), '"--addr=:1"');
});

Deno.test("a flag without a value is refused", () => {
  refuses(() => registry(["--data-dir"]), "--data-dir (DATA_DIR)", "needs a value");
  refuses(() => registry(["--data-dir", "--log-level=debug"]), "--data-dir (DATA_DIR)");
});

Deno.test("a missing required value is refused with flag, variable and what is allowed", () => {
  refuses(() => configuration([]), "--mirror-targets (MIRROR_TARGETS) is required", "a URL");
  refuses(() => configuration(["--mirror-targets="]), "--mirror-targets (MIRROR_TARGETS)");
  refuses(() => parseCommand(["cleanup"], { ADDR: "" }), "--addr (ADDR) is required", "<port>");
  refuses(() => parseCommand(["cleanup", "--addr="], {}), "--addr (ADDR) is required");
  refuses(() => parseCommand(["cleanup-wait"], {}), "--probe-endpoint (PROBE_ENDPOINT)");
});

const WRONG_REGISTRY_VALUES = [
  ["registry-addr", "5000", "[<host>]:<port>"],
  ["registry-addr", ":65536", "[<host>]:<port>"],
  ["router-addr", "::1:5001", "[<host>]:<port>"],
  ["metrics-addr", "localhost", "[<host>]:<port>"],
  ["router-websocket-addr", "ws://x", "[<host>]:<port>"],
  ["http-bootstrap-addr", "x", "[<host>]:<port>"],
  ["store", "docker", "containerd or oci-layout"],
  ["oci-layout-repository", "nginx", "<registry>/<repository>"],
  ["mirrored-registries", "https://docker.io/library", "without a path"],
  ["mirrored-registries", "ftp://docker.io", "https://docker.io"],
  ["mirrored-registries", "https://user@docker.io", "https://docker.io"],
  ["default-registry", "docker.io/library", "a registry host"],
  ["mirror-resolve-timeout", "20", "20ms"],
  ["mirror-resolve-timeout", "-1s", "20ms"],
  ["mirror-resolve-retries", "-1", "at least 0"],
  ["mirror-resolve-retries", "3.5", "an integer"],
  ["debug-web-enabled", "yes", "true or false"],
  ["shutdown-grace-period", "1 s", "a duration"],
  ["bootstrap-kind", "magic", "static, dns, http or kubernetes"],
  ["http-bootstrap-peer", "bootstrap:5002", "http://"],
  ["log-level", "TRACE", "DEBUG, INFO, WARN or ERROR"],
] as const;

for (const [flag, value, allowed] of WRONG_REGISTRY_VALUES) {
  Deno.test(`--${flag}=${value} is refused on the command line and in the environment`, () => {
    const env = flag.toUpperCase().replaceAll("-", "_");
    const parts = [`--${flag} (${env})`, JSON.stringify(value), allowed];
    refuses(() => registry([`--${flag}=${value}`]), ...parts);
    refuses(() => registry([], { [env]: value }), ...parts);
  });
}

Deno.test("mirror targets other than URLs without a path are refused", () => {
  for (
    const target of ["127.0.0.1:5000", "http://127.0.0.1:5000/", "ftp://x", "http://", "_default"]
  ) {
    refuses(
      () => configuration(["--mirror-targets", target]),
      "--mirror-targets (MIRROR_TARGETS)",
      JSON.stringify(target),
      "http://127.0.0.1:5000",
    );
  }
});

Deno.test("mirror targets with a bare IPv6 address get their brackets", () => {
  const { mirrorTargets } = configuration([], {
    MIRROR_TARGETS: "http://fd00::1:29999,http://[fd00::2]:29999,http://10.0.0.1:29999",
  });
  assert.deepEqual(mirrorTargets, [
    "http://[fd00::1]:29999",
    "http://[fd00::2]:29999",
    "http://10.0.0.1:29999",
  ]);
});

Deno.test("mirrored registries keep their scheme for hosts.toml; a host alone means https", () => {
  const { mirroredRegistries } = configuration([], {
    MIRROR_TARGETS: "http://127.0.0.1:5000",
    MIRRORED_REGISTRIES: "http://foo.bar:5000,ghcr.io,_default",
  });
  assert.deepEqual(mirroredRegistries, [
    { url: "http://foo.bar:5000", host: "foo.bar:5000" },
    { url: "https://ghcr.io", host: "ghcr.io" },
    { host: "_default" },
  ]);
});

Deno.test("a wildcard among the mirrored registries means all of them", () => {
  assert.deepEqual(registry(["--mirrored-registries", "docker.io", "*"]).mirroredRegistries, []);
  assert.deepEqual(registry(["--mirrored-registries", "_default"]).mirroredRegistries, []);
});

Deno.test("STORE=oci-layout needs a path", () => {
  refuses(
    () => registry(["--store=oci-layout"]),
    "--oci-layout-path (OCI_LAYOUT_PATH)",
    "--store oci-layout",
  );
  const env = { STORE: "oci-layout", OCI_LAYOUT_PATH: "/layout" };
  assert.deepEqual(registry([], env).store, { kind: "oci-layout", path: "/layout" });
  assert.deepEqual(registry(["--oci-layout-repository=docker.io/library/nginx"], env).store, {
    kind: "oci-layout",
    path: "/layout",
    repository: "docker.io/library/nginx",
  });
});

Deno.test("each bootstrap kind takes its own values, and misses those that it needs", () => {
  const bootstrap = (env: Environment) => registry([], env).bootstrap;
  const dns = { BOOTSTRAP_KIND: "dns" };
  refuses(() => bootstrap(dns), "--dns-bootstrap-domain (DNS_BOOTSTRAP_DOMAIN)", "dns");
  assert.deepEqual(bootstrap({ ...dns, DNS_BOOTSTRAP_DOMAIN: "a.svc" }), {
    kind: "dns",
    domain: "a.svc",
  });
  const http = { BOOTSTRAP_KIND: "http" };
  refuses(() => bootstrap(http), "--http-bootstrap-peer (HTTP_BOOTSTRAP_PEER)", "http");
  const peer = "http://boot:5002";
  assert.deepEqual(bootstrap({ ...http, HTTP_BOOTSTRAP_PEER: peer }), { kind: "http", peer });
  assert.deepEqual(bootstrap({ ...http, HTTP_BOOTSTRAP_ADDR: ":5002" }), {
    kind: "http",
    addr: { host: undefined, port: 5002 },
  });
  assert.deepEqual(
    bootstrap({ ...http, HTTP_BOOTSTRAP_PEER: peer, HTTP_BOOTSTRAP_ADDR: ":5002" }),
    { kind: "http", peer, addr: { host: undefined, port: 5002 } },
  );
  assert.deepEqual(bootstrap({ BOOTSTRAP_KIND: "kubernetes" }), {
    kind: "kubernetes",
    lease: "kagami-bootstrap",
  });
  assert.deepEqual(
    bootstrap({
      BOOTSTRAP_KIND: "kubernetes",
      KUBERNETES_BOOTSTRAP_NAMESPACE: "mirror",
      KUBERNETES_BOOTSTRAP_LEASE: "lease",
    }),
    { kind: "kubernetes", namespace: "mirror", lease: "lease" },
  );
  assert.deepEqual(bootstrap({ STATIC_BOOTSTRAP_PEERS: "10.0.0.1,/ip4/10.0.0.2/tcp/5001" }), {
    kind: "static",
    peers: ["10.0.0.1", "/ip4/10.0.0.2/tcp/5001"],
  });
  refuses(
    () => bootstrap({ STATIC_BOOTSTRAP_PEERS: "not a peer" }),
    "--static-bootstrap-peers (STATIC_BOOTSTRAP_PEERS)",
    '"not a peer"',
    "multiaddr",
  );
});

function doctor(args: readonly string[], env: Record<string, string> = {}): DoctorConfig {
  const command = parseCommand(["doctor", ...args], env);
  assert.equal(command.name, "doctor");
  return command.config;
}

Deno.test("doctor takes an image with and without its flag, before and after others", () => {
  assert.equal(doctor([]).image, undefined);
  for (
    const args of [["nginx"], ["--json", "nginx"], ["nginx", "--json"], ["--image=nginx"], [
      "--store",
      "containerd",
      "nginx",
    ]]
  ) {
    assert.equal(doctor(args).image, "nginx", args.join(" "));
  }
  assert.throws(() => doctor(["nginx", "redis"]), /unknown argument "redis"/);
  assert.equal(doctor([], { IMAGE: "nginx", JSON: "true" }).image, undefined);
});

Deno.test("doctor has the options of the mirror, and knows which were given", () => {
  const { settings, given, configPath } = doctor(["--containerd-sock=/a"], {
    MIRRORED_REGISTRIES: "https://docker.io",
    CONTAINERD_REGISTRY_CONFIG_PATH: "/b",
    DATA_DIR: "",
  });
  assert.equal(settings.containerdSock, "/a");
  assert.deepEqual(settings.mirroredRegistries, ["docker.io"]);
  assert.equal(configPath, "/b");
  assert.deepEqual([...given].sort(), ["configPath", "containerdSock", "mirroredRegistries"]);
});

Deno.test("parseCommand() reads status", () => {
  assert.deepEqual(parseCommand(["status", "--json"], { METRICS_ADDR: ":9999" }), {
    name: "status",
    config: { logLevel: "INFO", json: true, metricsAddr: { host: undefined, port: 9999 } },
  });
});
