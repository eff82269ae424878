/**
 * Programs and schemas of others that the chart tests need, fetched once into a cache folder by the machine's own package
 * managers.
 *
 * @module
 */
import { run, runCommand } from "../integration/harness/process.ts";

/** The newest v3 of Helm that builds with Go 1.26. */
const HELM_VERSION = "v3.22.0";

/** Kubernetes whose API schema is checked against. */
const KUBERNETES_VERSION = "v1.37.2";

/** Modules with definitions of the custom resources that the chart makes. */
const PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0";
const VERTICAL_POD_AUTOSCALER = "k8s.io/autoscaler/vertical-pod-autoscaler@v1.8.1";

/** Go's environment: its own version, and no settings of a module around it. */
const GO_ENV = { GOTOOLCHAIN: "local", GOFLAGS: "", GOWORK: "off" };

/** Something that was found, or why it was not. */
export type Found<T> = { readonly value: T } | { readonly missing: string };

/** Where the schemas are. */
export interface SchemaFiles {
  /** OpenAPI of Kubernetes. */
  readonly openApi: string;
  /** Definitions of custom resources. */
  readonly customResources: readonly string[];
}

/**
 * Finds Helm: on PATH, from an earlier run, or built by Go, which takes two minutes on two cores.
 *
 * @returns Path of the program.
 */
export function findHelm(): Promise<Found<string>> {
  return attempt("helm", async () => {
    if (await isOnPath("helm")) return "helm";
    const folder = await cacheFolder(`helm-${HELM_VERSION}`);
    const path = `${folder}/helm`;
    if (await exists(path)) return path;
    await needs("go");
    await go(
      ["install", "-trimpath", "-ldflags=-s -w", `helm.sh/helm/v3/cmd/helm@${HELM_VERSION}`],
      { GOBIN: folder },
    );
    return path;
  });
}

/**
 * Finds the schemas of Kubernetes and of custom resources, by Go's module cache.
 *
 * @returns Where they are.
 */
export function findSchemas(): Promise<Found<SchemaFiles>> {
  return attempt("schemas", async () => {
    await needs("go");
    const kubernetes = await module(`k8s.io/kubernetes@${KUBERNETES_VERSION}`);
    const monitoring = `${await module(PROMETHEUS_OPERATOR)}/example/prometheus-operator-crd`;
    const crds = ["podmonitors", "servicemonitors", "prometheusrules"];
    return {
      openApi: `${kubernetes}/api/openapi-spec/swagger.json`,
      customResources: [
        ...crds.map((name) => `${monitoring}/monitoring.coreos.com_${name}.yaml`),
        `${await module(VERTICAL_POD_AUTOSCALER)}/deploy/vpa-v1-crd-gen.yaml`,
      ],
    };
  });
}

/**
 * Finds promtool: on PATH, from an earlier run, or out of Debian's package of Prometheus. The package is not installed: it
 * would bring a dozen others, and a service.
 *
 * @returns Path of the program.
 */
export function findPromtool(): Promise<Found<string>> {
  return attempt("promtool", async () => {
    if (await isOnPath("promtool")) return "promtool";
    const folder = await cacheFolder("promtool");
    const path = `${folder}/usr/bin/promtool`;
    if (await exists(path)) return path;
    await needs("apt-get");
    await needs("dpkg-deb");
    const download = 'cd "$1" && { apt-get -qq download prometheus || ' +
      "{ apt-get -qq update && apt-get -qq download prometheus; }; } && " +
      "dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool && rm prometheus_*.deb";
    await run("sh", "-c", download, "sh", folder);
    return path;
  });
}

async function attempt<T>(what: string, find: () => Promise<T>): Promise<Found<T>> {
  try {
    return { value: await find() };
  } catch (error) {
    return { missing: `no ${what}: ${error instanceof Error ? error.message : String(error)}` };
  }
}

async function needs(program: string): Promise<void> {
  if (!await isOnPath(program)) throw new Error(`${program} is not on PATH`);
}

async function isOnPath(program: string): Promise<boolean> {
  return (await runCommand("sh", ["-c", `command -v ${program}`])).code === 0;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function cacheFolder(name: string): Promise<string> {
  const base = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME") ?? "/tmp"}/.cache`;
  const folder = `${base}/kagami-tests/${name}`;
  await Deno.mkdir(folder, { recursive: true });
  return folder;
}

async function module(name: string): Promise<string> {
  const answer = JSON.parse(await go(["mod", "download", "-json", name]));
  return answer.Dir;
}

/** Runs Go, with low priority: it may take minutes. */
async function go(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const settings = Object.entries({ ...GO_ENV, ...env }).map(([name, value]) => `${name}=${value}`);
  return await run("nice", "env", ...settings, "go", ...args);
}
