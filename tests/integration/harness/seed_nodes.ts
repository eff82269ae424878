/**
 * Nodes without a containerd: the store of each is an OCI layout with an image that no other node has, so that it shows
 * who finds whom.
 *
 * @module
 */
import { type ImageLayout, LAYOUT_TAG, makeImage } from "./images.ts";
import type { Pod } from "./mirror_accounts.ts";
import { MirrorProcess } from "./mirror_process.ts";
import { type NetworkNode, TestNetwork } from "./network.ts";
import { eventually } from "./process.ts";

/** Registry that the images claim to be from; there is none. */
export const SEED_REGISTRY = "registry.example";

/** A node with an image of its own. */
export class SeedNode implements AsyncDisposable {
  readonly #folder: string;
  readonly #image: ImageLayout;
  #node: NetworkNode;
  #mirror: MirrorProcess | undefined;

  constructor(node: NetworkNode, folder: string, image: ImageLayout) {
    this.#node = node;
    this.#folder = folder;
    this.#image = image;
  }

  get node(): NetworkNode {
    return this.#node;
  }

  get mirror(): MirrorProcess {
    if (this.#mirror === undefined) throw new Error(`${this.#node.name} has not been started`);
    return this.#mirror;
  }

  get #repository(): string {
    return `seed/${this.#node.name}`;
  }

  /** Path of its image's layer. */
  get blobPath(): string {
    return `/v2/${this.#repository}/blobs/${this.#image.layers[0]}?ns=${SEED_REGISTRY}`;
  }

  /** Path of its image's tag. */
  get tagPath(): string {
    return `/v2/${this.#repository}/manifests/${LAYOUT_TAG}?ns=${SEED_REGISTRY}`;
  }

  /** Starts the mirror, in a pod if wanted; its identity is kept. The environment tells how to find the others. */
  async start(env: Readonly<Record<string, string>>, pod?: Pod): Promise<void> {
    this.#mirror = await MirrorProcess.start(this.#node, this.#folder, {
      ...(pod === undefined ? {} : { pod }),
      env: {
        STORE: "oci-layout",
        OCI_LAYOUT_PATH: this.#image.path,
        OCI_LAYOUT_REPOSITORY: `${SEED_REGISTRY}/${this.#repository}`,
        ...env,
      },
    });
  }

  /** Stops the mirror, and starts it at another address. */
  async move(network: TestNetwork, env: Readonly<Record<string, string>>): Promise<void> {
    await this.mirror.stop();
    this.#node = await network.moveNode(this.#node);
    await this.start(env);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#mirror?.stop();
  }
}

/** A network of such nodes. */
export class SeedCluster implements AsyncDisposable {
  readonly network: TestNetwork;
  readonly folder: string;
  readonly nodes: readonly SeedNode[];
  readonly #stack: AsyncDisposableStack;

  private constructor(
    stack: AsyncDisposableStack,
    network: TestNetwork,
    folder: string,
    nodes: readonly SeedNode[],
  ) {
    this.#stack = stack;
    this.network = network;
    this.folder = folder;
    this.nodes = nodes;
  }

  /** Makes the nodes; their mirrors are still to be started. */
  static async create(
    count: number,
    options: { readonly ipv6Only?: boolean } = {},
  ): Promise<SeedCluster> {
    await using stack = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir({ prefix: "kagami-seeds-" });
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const network = stack.use(await TestNetwork.create(options));
    const nodes: SeedNode[] = [];
    for (let number = 1; number <= count; number++) {
      const own = `${folder}/node-${number}`;
      await Deno.mkdir(own);
      const image = await makeImage(`${own}/image`, { layers: [20_000], seed: number });
      const node = await network.addNode(`node-${number}`);
      nodes.push(stack.use(new SeedNode(node, own, image)));
    }
    return new SeedCluster(stack.move(), network, folder, nodes);
  }

  /** The node of a number, from 1. */
  node(number: number): SeedNode {
    const node = this.nodes[number - 1];
    if (node === undefined) throw new Error(`there is no node ${number}`);
    return node;
  }

  /** Waits until each node is ready and gets each other node's image from there. */
  async isJoined(): Promise<void> {
    for (const { mirror } of this.nodes) await mirror.ready();
    for (const asking of this.nodes) {
      for (const asked of this.nodes) {
        if (asking === asked) continue;
        await asking.mirror.answersFrom([asked.mirror], asked.blobPath);
        await asking.mirror.answersFrom([asked.mirror], asked.tagPath);
      }
    }
  }

  /** Waits until a node says that it is not ready, and why. */
  async isNotReady(node: SeedNode, reason: RegExp): Promise<void> {
    await eventually(`${node.node.name} is not ready for the reason ${reason}`, async () => {
      const text = await node.mirror.curl(`${node.mirror.url}/readyz`);
      return await node.mirror.readiness() === 503 && reason.test(text);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
