/**
 * The command `doctor`.
 *
 * @module
 */
import type { DoctorConfig, DoctorSettings } from "../config/config.ts";
import { configuredFilter } from "../config/go_regexp.ts";
import type { CheckContext } from "../doctor/check.ts";
import { CHECKS } from "../doctor/checks/all.ts";
import { metricsCheck, registryCheck } from "../doctor/checks/mirror.ts";
import { askHttp } from "../doctor/http_asker.ts";
import { formatImageReport, type ImageReport, locateImage } from "../doctor/locate_image.ts";
import { NodeClient } from "../doctor/node_client.ts";
import { formatFindings, isHealthy } from "../doctor/report.ts";
import { runChecks } from "../doctor/run_checks.ts";
import { adoptSettings } from "../doctor/settings.ts";
import { asError, UnavailableError } from "../errors.ts";
import { normalizeReference } from "../oci/reference.ts";
import type { Logger } from "../observability/logger.ts";
import { NODE_PLATFORM } from "../oci/platform.ts";
import { basicAuthorization } from "../registry/basic_auth.ts";
import { loadCredentials } from "../registry/load_credentials.ts";
import { ContainerdClient } from "../store/containerd/containerd_client.ts";
import { ContainerdStore } from "../store/containerd/containerd_store.ts";
import { type ContainerdFacts, inspectContainerd } from "../store/containerd/preflight.ts";
import { LayoutStore } from "../store/layout/layout_store.ts";
import type { Store } from "../store/store.ts";

/** Longest wait for all that containerd is asked first, in milliseconds. */
export const CONTAINERD_TIMEOUT_MS = 10_000;

/** What the command needs of the process. */
export interface DoctorProcess {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  readonly isTerminal?: boolean;
  stdout(text: string): void;
}

/**
 * Checks this node, or tells where an image would come from.
 *
 * @param config What to look at.
 * @param log Log.
 * @param process The process.
 * @returns True if nothing failed.
 * @throws {InvalidReferenceError} If the image is none.
 * @throws {ConfigError} If the credentials cannot be read, or a filter is no expression.
 */
export async function runDoctor(
  config: DoctorConfig,
  log: Logger,
  process: DoctorProcess,
): Promise<boolean> {
  const reference = config.image === undefined ? undefined : normalizeReference(config.image);
  const { env, signal } = process;
  const context = await examine(config, log, env["KUBERNETES_SERVICE_HOST"] !== undefined);
  try {
    const checks = reference === undefined ? CHECKS : [registryCheck, metricsCheck];
    const findings = await runChecks(checks, context, signal);
    let report: ImageReport | undefined;
    if (reference !== undefined && context.mirror.kind === "told" && isAnswering(context)) {
      report = await locateImage(reference, {
        node: context.node,
        filter: await configuredFilter(context.settings),
        ...(context.authorization === undefined ? {} : { authorization: context.authorization }),
        platform: NODE_PLATFORM,
        signal,
      });
    }
    const healthy = isHealthy(findings);
    if (config.json) {
      const image = report === undefined ? {} : { image: report };
      process.stdout(JSON.stringify({ healthy, findings, ...image }, null, 2) + "\n");
      return healthy;
    }
    const hasColour = process.isTerminal === true && !env["NO_COLOR"];
    const shown = report === undefined ? findings : findings.filter(({ level }) => level !== "ok");
    if (report !== undefined) process.stdout(formatImageReport(report));
    if (shown.length > 0) process.stdout(formatFindings(shown, hasColour));
    return healthy;
  } finally {
    await context.store.close();
  }
}

function isAnswering({ readiness }: CheckContext): boolean {
  return !(readiness instanceof Error);
}

async function examine(
  config: DoctorConfig,
  log: Logger,
  isInPod: boolean,
): Promise<CheckContext> {
  const { configPath, metricsAddr, basicAuthDir, given } = config;
  const credentials = await loadCredentials(basicAuthDir);
  const nodeAt = (registry: DoctorSettings["registryAddr"]) =>
    new NodeClient({ registry, metrics: metricsAddr }, askHttp);
  const mirror = await nodeAt(config.settings.registryAddr).state();
  const told = mirror.kind === "told" ? mirror.status.settings : undefined;
  const { settings, differences } = adoptSettings(config.settings, given, told);
  const node = nodeAt(settings.registryAddr);
  const [readiness, containerd] = await Promise.all([
    node.registry("/readyz").catch(asError),
    askContainerd(settings).catch(asError),
  ]);
  return {
    settings,
    differences,
    configPath,
    isInPod,
    mirror,
    node,
    ask: askHttp,
    readiness,
    ...(credentials === undefined ? {} : { authorization: basicAuthorization(credentials) }),
    containerd,
    store: storeOf(settings, log),
    now: () => performance.now(),
  };
}

async function askContainerd(settings: DoctorSettings): Promise<ContainerdFacts> {
  if (settings.store !== "containerd") throw new UnavailableError("there is no containerd");
  const { containerdSock: sock, containerdNamespace: namespace } = settings;
  const client = new ContainerdClient({ sock, namespace });
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new UnavailableError(`containerd at ${sock} takes too long`)),
    CONTAINERD_TIMEOUT_MS,
  );
  try {
    return await Promise.race([inspectContainerd(client), late]);
  } finally {
    clearTimeout(timer);
    client.close();
  }
}

function storeOf(settings: DoctorSettings, log: Logger): Store {
  if (settings.store === "oci-layout") {
    return new LayoutStore({ path: settings.ociLayoutPath ?? "" });
  }
  const { containerdSock, containerdNamespace, containerdContentPath } = settings;
  return new ContainerdStore({
    sock: containerdSock,
    namespace: containerdNamespace,
    contentPath: containerdContentPath,
    log,
  });
}
