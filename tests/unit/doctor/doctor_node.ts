/**
 * A node in one process that the doctor can look at: registry, metrics and debug endpoints on loopback sockets.
 *
 * @module
 */
import { Activity } from "../../../lib/debug/activity.ts";
import { debugRoutes } from "../../../lib/debug/debug_routes.ts";
import type { SharedDownloads } from "../../../lib/debug/locate.ts";
import type { NodeSettings } from "../../../lib/debug/node_status.ts";
import type { CheckContext } from "../../../lib/doctor/check.ts";
import { askHttp } from "../../../lib/doctor/http_asker.ts";
import { NodeClient } from "../../../lib/doctor/node_client.ts";
import { asError } from "../../../lib/errors.ts";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { createMetrics } from "../../../lib/observability/metrics.ts";
import { MetricsServer } from "../../../lib/observability/metrics_server.ts";
import { MemoryRouter } from "../../../lib/routing/memory_router.ts";
import type { Router } from "../../../lib/routing/router.ts";
import {
  type RegistryNode,
  type RegistryNodeOptions,
  startRegistryNode,
} from "../support/registry_node.ts";

/** containerd as it should be. */
export const GOOD_CONTAINERD = {
  version: "1.7.0",
  contentRoot: "/content",
  settings: {
    discardsLayers: false,
    configPath: "/certs.d",
    lacksConfigPath: false,
    hasConfigPathList: false,
    lacksLayers: false,
  },
} as const;

/** A signal that is never aborted. */
export const NEVER = new AbortController().signal;

/** A node, and how the doctor sees it. */
export interface DoctorNode extends AsyncDisposable {
  readonly node: RegistryNode;
  readonly router: Router;
  readonly activity: Activity;
  readonly client: NodeClient;
  readonly metricsPort: number;
  /** Looks, and replaces parts of what was seen. */
  context(changes?: Partial<CheckContext>): Promise<CheckContext>;
}

/**
 * Starts a node.
 *
 * @param options What is not as usual; `hasDebug` false leaves the debug endpoints out, `shared` is what is known of
 * downloads in progress.
 * @returns The node.
 */
export async function startDoctorNode(
  options: RegistryNodeOptions & {
    readonly hasDebug?: boolean;
    readonly shared?: SharedDownloads;
  } = {},
): Promise<DoctorNode> {
  const node = await startRegistryNode(options);
  const { network, peer, store } = node;
  const router = Object.assign(new MemoryRouter({ network, self: peer }), options.router);
  const activity = new Activity({ started: () => {}, finished: () => {}, ended: () => {} });
  const settings: NodeSettings = {
    store: "containerd",
    registryPort: node.port,
    containerdSock: "/containerd.sock",
    mirroredRegistries: [],
    registryFilters: [],
    defaultRegistry: "docker.io",
  };
  const routes = debugRoutes({
    version: "1.2.3",
    store,
    router,
    ...(options.shared === undefined ? {} : { sharing: options.shared }),
    activity,
    uploads: () => ({ active: 1, most: 64, bytesPerSecond: 0 }),
    downloads: () => ({ active: 0, most: 0, bytesPerSecond: 0 }),
    settings,
    now: () => performance.now(),
  });
  const metrics = new MetricsServer(
    createMetrics(),
    silentLogger,
    options.hasDebug === false ? {} : routes,
  );
  const metricsPort = await metrics.listen({ host: "127.0.0.1", port: 0 });
  const client = new NodeClient({
    registry: { host: "127.0.0.1", port: node.port },
    metrics: { host: "127.0.0.1", port: metricsPort },
  }, askHttp);
  return {
    node,
    router,
    activity,
    client,
    metricsPort,
    context: async (changes = {}) => ({
      settings: {
        registryAddr: { host: undefined, port: node.port },
        store: "containerd",
        containerdSock: "/containerd.sock",
        containerdNamespace: "k8s.io",
        containerdContentPath: "/content",
        mirroredRegistries: [],
        registryFilters: [],
        defaultRegistry: "docker.io",
      },
      differences: [],
      configPath: "/certs.d",
      isInPod: false,
      mirror: await client.state(),
      node: client,
      ask: askHttp,
      readiness: await client.registry("/readyz").catch(asError),
      containerd: GOOD_CONTAINERD,
      store,
      now: () => performance.now(),
      ...changes,
    }),
    async [Symbol.asyncDispose]() {
      await metrics.close();
      await node[Symbol.asyncDispose]();
    },
  };
}

/**
 * Runs a check.
 *
 * @param check The check.
 * @param context What it looks at.
 * @returns Codes of what it found, `ok` where all is well.
 */
export async function codesOf(
  check: { run(context: CheckContext, signal: AbortSignal): Promise<readonly { code?: string }[]> },
  context: CheckContext,
): Promise<string[]> {
  return (await check.run(context, NEVER)).map(({ code }) => code ?? "ok");
}
