/**
 * Clusters of libp2p routers on loopback, in one process.
 *
 * @module
 */
import { type Bootstrapper } from "../../../lib/routing/bootstrap/bootstrapper.ts";
import { StaticBootstrapper } from "../../../lib/routing/bootstrap/static.ts";
import {
  createLibp2pRouter,
  type Libp2pRouterOptions,
} from "../../../lib/routing/libp2p/libp2p_router.ts";
import { recordingLog } from "../cli/recording_log.ts";
import type { ClusterFixture, RouterNode } from "../routing/compliance.ts";
import { eventually } from "./eventually.ts";

/** A libp2p router and what it tells. */
export interface Libp2pNode extends RouterNode {
  /** Its multiaddrs, with its ID. */
  readonly addresses: readonly string[];
  /** Port that it listens on. */
  readonly port: number;
  /** Messages of its log, with their level. */
  messages(): string[];
}

/** Starts a router on loopback. */
export async function startNode(
  options: Partial<Libp2pRouterOptions> & { readonly bootstrapper: Bootstrapper },
): Promise<Libp2pNode> {
  const { log, lines } = recordingLog();
  const router = await createLibp2pRouter({
    listenAddr: { host: "127.0.0.1", port: 0 },
    registryPort: 5000,
    log,
    ...options,
  });
  const listens = lines.find(({ msg }) => msg === "router listens");
  const addresses = listens?.["addresses"] as string[];
  return {
    router,
    id: listens?.["id"] as string,
    addresses,
    port: Number(/\/tcp\/(\d+)/.exec(addresses[0] ?? "")?.[1]),
    messages: () => lines.map(({ level, msg }) => `${level} ${msg}`),
  };
}

/** A cluster of libp2p routers. */
export class Libp2pCluster implements ClusterFixture {
  readonly #folder: string;
  readonly #nodes: Libp2pNode[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes a cluster without nodes. */
  static async create(): Promise<Libp2pCluster> {
    return new Libp2pCluster(await Deno.makeTempDir());
  }

  /** Nodes that run. */
  async running(): Promise<Libp2pNode[]> {
    const states = await Promise.all(this.#nodes.map(({ router }) => router.status()));
    return this.#nodes.filter((_, index) => states[index]!.detail !== "router is stopped");
  }

  async join(name: string): Promise<Libp2pNode> {
    const others = await this.running();
    const node = await this.start(name, others.slice(0, 1).flatMap(({ addresses }) => addresses));
    const nodes = [...others, node];
    await eventually(`${nodes.length} nodes know each other`, async () => {
      const peers = await Promise.all(nodes.map(({ router }) => router.peers()));
      return peers.every(({ length }) => length === nodes.length - 1);
    });
    return node;
  }

  /**
   * Starts a node, and does not wait.
   *
   * @param name Nodes of the same name have the same identity.
   * @param bootstrap Addresses it starts from.
   * @param options Where it differs.
   */
  async start(
    name: string,
    bootstrap: readonly string[],
    options: Partial<Libp2pRouterOptions> = {},
  ): Promise<Libp2pNode> {
    const node = await startNode({
      dataDir: `${this.#folder}/${name}`,
      bootstrapper: new StaticBootstrapper(bootstrap),
      ...options,
    });
    this.#nodes.push(node);
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#nodes.map(({ router }) => router.stop()));
    await Deno.remove(this.#folder, { recursive: true });
  }
}
