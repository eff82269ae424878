/**
 * A real containerd inside of a node, with everything of its own.
 *
 * @module
 */
import { inside, type NetworkNode } from "./network.ts";
import { eventually, ManagedProcess, run, runCommand } from "./process.ts";

/** Namespace of the CRI. */
export const NAMESPACE = "k8s.io";

const DISABLED_PLUGINS = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
];

/** Settings of the CRI that a mirror depends on; right ones by default. */
export interface ContainerdSettings {
  readonly discardUnpackedLayers?: boolean;
  /** Whether it looks for mirrors. */
  readonly usesMirrors?: boolean;
}

let snapshotter: Promise<string> | undefined;

/** overlayfs where the file system of the folder allows it, else plain copies. */
async function findSnapshotter(folder: string): Promise<string> {
  const probe = await Deno.makeTempDir({ dir: folder });
  const [lower, upper, work, merged] = ["l", "u", "w", "m"].map((name) => `${probe}/${name}`);
  for (const path of [lower, upper, work, merged]) await Deno.mkdir(path!);
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  const mount = ["-m", "mount", "-t", "overlay", "overlay", "-o", options, merged!];
  const { code } = await runCommand("unshare", mount);
  await Deno.remove(probe, { recursive: true });
  return code === 0 ? "overlayfs" : "native";
}

/** A running containerd. */
export class ContainerdDaemon implements AsyncDisposable {
  readonly node: NetworkNode;
  readonly folder: string;
  /** Folder with the mirror configuration. */
  readonly certsDir: string;
  readonly sock: string;
  readonly contentPath: string;
  #process: ManagedProcess | undefined;

  private constructor(node: NetworkNode, folder: string) {
    this.node = node;
    this.folder = folder;
    this.certsDir = `${folder}/certs.d`;
    this.sock = `${folder}/containerd.sock`;
    this.contentPath = `${folder}/root/io.containerd.content.v1.content`;
  }

  /** Starts a containerd whose files lie in a folder. */
  static async start(
    node: NetworkNode,
    folder: string,
    settings: ContainerdSettings = {},
  ): Promise<ContainerdDaemon> {
    const daemon = new ContainerdDaemon(node, folder);
    await Deno.mkdir(daemon.certsDir, { recursive: true });
    snapshotter ??= findSnapshotter(folder);
    await Deno.writeTextFile(`${folder}/config.toml`, daemon.#config(await snapshotter, settings));
    await daemon.startAgain();
    return daemon;
  }

  #config(snapshotter: string, settings: ContainerdSettings): string {
    const { discardUnpackedLayers = false, usesMirrors = true } = settings;
    const { folder, sock, certsDir } = this;
    const cri = 'plugins."io.containerd.grpc.v1.cri"';
    return `version = 2
root = "${folder}/root"
state = "${folder}/state"
disabled_plugins = ${JSON.stringify(DISABLED_PLUGINS)}
[grpc]
  address = "${sock}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${folder}/opt"
[${cri}]
  disable_tcp_service = true
  [${cri}.containerd]
    snapshotter = "${snapshotter}"
    discard_unpacked_layers = ${discardUnpackedLayers}
  [${cri}.registry]
    config_path = "${usesMirrors ? certsDir : ""}"
  [${cri}.cni]
    bin_dir = "${folder}/cni/bin"
    conf_dir = "${folder}/cni/conf"
`;
  }

  /** Starts it after it was stopped or killed. */
  async startAgain(): Promise<void> {
    this.#process = await ManagedProcess.start(
      `containerd of ${this.node.name}`,
      `${this.folder}/containerd.log`,
      "ip",
      inside(this.node, "containerd", "--config", `${this.folder}/config.toml`),
    );
    await eventually("containerd answers", async () => {
      const { code } = await runCommand("ctr", ["--address", this.sock, "version"]);
      return code === 0;
    });
  }

  /** Stops it; its content stays. */
  async stop(): Promise<void> {
    await this.#process?.stop();
  }

  /** Kills it; its content stays. */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  /** Sends a signal. */
  signal(signal: Deno.Signal): void {
    this.#process?.signal(signal);
  }

  /** Runs `ctr` on it. */
  async ctr(...args: string[]): Promise<string> {
    return await run("ctr", "--address", this.sock, "--namespace", NAMESPACE, ...args);
  }

  /** Names of its images. */
  async images(): Promise<string[]> {
    return (await this.ctr("image", "ls", "-q")).split("\n").filter((name) => name !== "");
  }

  /** Digests of its content. */
  async contents(): Promise<string[]> {
    return (await this.ctr("content", "ls", "-q")).split("\n").filter((name) => name !== "");
  }

  /** Path of a blob's file. */
  blobPath(digest: string): string {
    return `${this.contentPath}/blobs/${digest.replace(":", "/")}`;
  }

  /** Removes all images and content. One pass races with garbage collection. */
  async removeEverything(): Promise<void> {
    await eventually("the store is empty", async () => {
      for (const name of await this.images()) await this.ctr("image", "rm", "--sync", name);
      for (const digest of await this.contents()) await this.ctr("content", "rm", digest);
      return (await this.images()).length === 0 && (await this.contents()).length === 0;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
