/**
 * A real containerd inside of a node, with everything of its own.
 *
 * @module
 */
import {
  CONTAINERD,
  containerdConfig,
  type ContainerdSettings,
  CTR,
} from "./containerd_program.ts";
import { type ImageLayout, LAYOUT_TAG } from "./images.ts";
import { inside, type NetworkNode } from "./network.ts";
import { eventually, ManagedProcess, run, runCommand } from "./process.ts";

/** Namespace of the CRI. */
export const NAMESPACE = "k8s.io";

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
    const config = containerdConfig(daemon, await snapshotter, settings);
    await Deno.writeTextFile(`${folder}/config.toml`, config);
    await daemon.startAgain();
    return daemon;
  }

  /** Starts it after it was stopped or killed. */
  async startAgain(): Promise<void> {
    this.#process = await ManagedProcess.start(
      `containerd of ${this.node.name}`,
      `${this.folder}/containerd.log`,
      "ip",
      inside(this.node, CONTAINERD, "--config", `${this.folder}/config.toml`),
    );
    await eventually("containerd answers", async () => {
      const { code } = await runCommand(CTR, ["--address", this.sock, "version"]);
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

  /** Command line of `ctr` for it. */
  ctrCommand(...args: string[]): [string, ...string[]] {
    return [CTR, "--address", this.sock, "--namespace", NAMESPACE, ...args];
  }

  /** Runs `ctr` on it. */
  async ctr(...args: string[]): Promise<string> {
    return await run(...this.ctrCommand(...args));
  }

  /**
   * Imports an image that no registry has.
   *
   * @returns Its name: the repository, with the tag that the layout gives it.
   */
  async importImage(image: ImageLayout, repository: string): Promise<string> {
    const archive = `${image.path}.tar`;
    await run("tar", "-C", image.path, "-cf", archive, ".");
    const options = ["--base-name", repository, "--all-platforms", "--no-unpack"];
    await this.ctr("image", "import", ...options, archive);
    return `${repository}:${LAYOUT_TAG}`;
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
