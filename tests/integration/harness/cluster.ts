/**
 * A cluster: an upstream registry, and nodes with a containerd and a mirror each.
 *
 * @module
 */
import type { Credentials } from "../../../lib/registry/basic_auth.ts";
import { ContainerdDaemon } from "./containerd_daemon.ts";
import type { ContainerdSettings } from "./containerd_program.ts";
import { CriClient } from "./cri_client.ts";
import { type ImageLayout, type ImageOptions, LAYOUT_TAG, makeImage } from "./images.ts";
import { MirrorProcess, PORTS, runKagami } from "./mirror_process.ts";
import { inside, type NetworkNode, TestNetwork } from "./network.ts";
import { eventually, run } from "./process.ts";
import { type RegistryGuard, UpstreamRegistry } from "./upstream_registry.ts";

/** A node of the cluster. */
export interface ClusterNode {
  readonly containerd: ContainerdDaemon;
  readonly cri: CriClient;
  readonly mirror: MirrorProcess;
}

/** Options of {@linkcode TestCluster.start}. */
export interface ClusterOptions {
  readonly nodes: number;
  /** Makes what guards the upstream registry; what is to end with the cluster goes onto the stack. */
  readonly guard?: (
    node: NetworkNode,
    folder: string,
    stack: AsyncDisposableStack,
  ) => Promise<RegistryGuard>;
  /** Whether there is no IPv4. */
  readonly ipv6Only?: boolean;
  /** What clients of the mirrors must send. */
  readonly credentials?: Credentials;
  /** Further environment of the mirrors. */
  readonly env?: Readonly<Record<string, string>>;
  /** What runs as the mirror of the node of a number, from 1; see {@linkcode MirrorProcess.start}. */
  readonly program?: (number: number) => readonly string[];
  /** What is not to be as usual in the containerds. */
  readonly containerd?: ContainerdSettings;
  /** Called with a node's folder before anything starts in it; what it yields is disposed when all of that has ended. */
  readonly prepare?: (folder: string, number: number) => Promise<AsyncDisposable>;
}

/** An image in the upstream registry. */
export interface PushedImage extends ImageLayout {
  /** Full reference with tag. */
  readonly reference: string;
  readonly repository: string;
}

/** A running cluster. */
export class TestCluster implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  readonly #folder: string;
  #images = 0;

  private constructor(
    stack: AsyncDisposableStack,
    folder: string,
    readonly network: TestNetwork,
    readonly upstream: UpstreamRegistry,
    readonly nodes: readonly ClusterNode[],
  ) {
    this.#stack = stack;
    this.#folder = folder;
  }

  /** Starts a cluster, and waits until all mirrors are ready and know one another. */
  static async start(options: ClusterOptions): Promise<TestCluster> {
    await using stack = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir({ prefix: "kagami-test-" });
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const network = stack.use(
      await TestNetwork.create({ ipv6Only: options.ipv6Only ?? false }),
    );
    const upstreamNode = await network.addNode("upstream");
    await Deno.mkdir(`${folder}/upstream`);
    const guard = await options.guard?.(upstreamNode, `${folder}/upstream`, stack);
    const upstream = stack.use(
      await UpstreamRegistry.start(upstreamNode, `${folder}/upstream`, guard),
    );
    const nodes: ClusterNode[] = [];
    for (let number = 1; number <= options.nodes; number++) {
      const node = await network.addNode(`node-${number}`);
      const own = `${folder}/node-${number}`;
      await Deno.mkdir(own);
      if (options.credentials !== undefined) await writeCredentials(own, options.credentials);
      if (options.prepare !== undefined) stack.use(await options.prepare(own, number));
      const containerd = stack.use(await ContainerdDaemon.start(node, own, options.containerd));
      const mirror = stack.use(
        await MirrorProcess.start(node, own, {
          containerd,
          bootstrap: [nodes[0]?.mirror.node ?? node],
          ...(options.env === undefined ? {} : { env: options.env }),
          ...(options.program === undefined ? {} : { program: options.program(number) }),
        }),
      );
      const cri = stack.use(new CriClient(containerd.sock));
      await configure(containerd, [`http://${upstream.host}`]);
      nodes.push({ containerd, cri, mirror });
    }
    for (const { mirror } of nodes) await mirror.ready();
    for (const { mirror } of nodes) await knowsPeers(mirror, options.nodes - 1);
    return new TestCluster(stack.move(), folder, network, upstream, nodes);
  }

  /** The node of a number, from 1. */
  node(number: number): ClusterNode {
    const node = this.nodes[number - 1];
    if (node === undefined) throw new Error(`there is no node ${number}`);
    return node;
  }

  /** Makes an image and pushes it upstream; into a repository of its own unless told otherwise. */
  async push(
    options: Omit<ImageOptions, "seed">,
    tag = "v1",
    repository = `team/app-${++this.#images}`,
  ): Promise<PushedImage> {
    const layout = await this.makeImage(options);
    const reference = `${this.upstream.host}/${repository}:${tag}`;
    const skopeo = ["skopeo", "copy", "--all", "--insecure-policy", "--dest-tls-verify=false"];
    const owner = this.upstream.guard?.owner;
    const creds = owner && ["--dest-creds", `${owner.username}:${owner.password}`];
    const places = [`oci:${layout.path}:${LAYOUT_TAG}`, `docker://${reference}`];
    await run("ip", ...inside(this.upstream.node, ...skopeo, ...creds ?? [], ...places));
    await this.upstream.forget();
    return { ...layout, reference, repository };
  }

  /** Pushes an image, lets the first node pull it, and waits until the other nodes' mirrors find it there. */
  async share(options: Omit<ImageOptions, "seed">): Promise<PushedImage> {
    const image = await this.push(options);
    const [first, ...others] = this.nodes;
    await first!.cri.pullImage(image.reference);
    await Promise.all(others.map(({ mirror }) => mirror.answers(200, blobPath(this, image))));
    return image;
  }

  /** Makes an image that is nowhere but in its layout. */
  async makeImage(options: Omit<ImageOptions, "seed">): Promise<ImageLayout> {
    const number = ++this.#images;
    return await makeImage(`${this.#folder}/image-${number}`, { ...options, seed: number });
  }

  /** Forgets what the registry and the mirrors have logged. */
  async forget(): Promise<void> {
    await this.upstream.forget();
    for (const { mirror } of this.nodes) await mirror.forget();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** What a mirror is asked for to get the first layer of an image. */
export function blobPath(
  cluster: TestCluster,
  image: { readonly repository: string; readonly layers: readonly string[] },
): string {
  return `/v2/${image.repository}/blobs/${image.layers[0]}?ns=${cluster.upstream.host}`;
}

/** Writes the secret that mirror and configuration read, for those that are started afterwards. */
export async function writeCredentials(folder: string, credentials: Credentials): Promise<void> {
  await Deno.mkdir(`${folder}/basic-auth`, { recursive: true });
  for (const [name, value] of Object.entries(credentials)) {
    await Deno.writeTextFile(`${folder}/basic-auth/${name}`, value);
  }
}

/** Points a containerd at its node's mirror, with further options of the command where needed. */
export async function configure(
  containerd: ContainerdDaemon,
  registries: readonly string[],
  options: readonly string[] = [],
): Promise<void> {
  const { ip, name } = containerd.node;
  // containerd 1.x reads no IPv6 addresses there.
  const host = ip.startsWith("[") ? name : ip;
  const { code, stderr } = await runKagami([
    "configuration",
    `--containerd-registry-config-path=${containerd.certsDir}`,
    "--mirrored-registries",
    ...registries,
    `--mirror-targets=http://${host}:${PORTS.registry}`,
    `--basic-auth-dir=${containerd.folder}/basic-auth`,
    ...options,
  ]);
  if (code !== 0) throw new Error(`configuration failed: ${stderr}`);
}

async function knowsPeers(mirror: MirrorProcess, count: number): Promise<void> {
  await eventually(`${mirror.node.name} knows ${count} peers`, async () => {
    const text = await mirror.curl(`${mirror.url}/readyz`);
    // Spegel, which is ready once it has a peer, tells no number.
    return count === 0 || text === "" || text.includes(`${count} peers`);
  });
}
