/**
 * Kagami itself, as a process inside of a node.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import type { ContainerdDaemon } from "./containerd_daemon.ts";
import type { Pod } from "./mirror_accounts.ts";
import { inside, type NetworkNode, runInside } from "./network.ts";
import { eventually, ManagedProcess, type Output, runCommand } from "./process.ts";

/** The program. */
export const MAIN = fileURLToPath(new URL("../../../main.ts", import.meta.url));

/** Command line of Kagami. */
export const KAGAMI = [Deno.execPath(), "run", "-A", "--no-check", MAIN];

/** Command line that runs the mirror of a node. */
export const KAGAMI_REGISTRY = [...KAGAMI, "registry"];

/** Ports of every node. */
export const PORTS = { registry: 5000, router: 5001, peers: 5003, metrics: 9090 } as const;

/** A request as Kagami's log tells it. */
export interface MirrorRequest {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly bytes: number;
  readonly handler: string;
  readonly source?: string;
}

/** Options of {@linkcode MirrorProcess.start}. */
export interface MirrorOptions {
  /** Its store; left out, the environment names another one. */
  readonly containerd?: ContainerdDaemon;
  /** Nodes to start from; left out, the environment tells how to find them. */
  readonly bootstrap?: readonly NetworkNode[];
  /** Further environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Command to run, of a program that takes the same environment. Default: {@linkcode KAGAMI_REGISTRY}. */
  readonly program?: readonly string[];
  /** The pod that it runs in. */
  readonly pod?: Pod;
}

/** Runs a command of Kagami to its end. */
export function runKagami(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Output> {
  const assignments = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return runCommand("env", [...assignments, ...KAGAMI, ...args]);
}

/** A running mirror. */
export class MirrorProcess implements AsyncDisposable {
  readonly node: NetworkNode;
  readonly #folder: string;
  readonly #options: MirrorOptions;
  #program: readonly string[];
  #process: ManagedProcess | undefined;
  #skip = 0;

  private constructor(node: NetworkNode, folder: string, options: MirrorOptions) {
    this.node = node;
    this.#folder = folder;
    this.#options = options;
    this.#program = options.program ?? KAGAMI_REGISTRY;
  }

  /** Starts a mirror; {@linkcode ready} waits for it. */
  static async start(
    node: NetworkNode,
    folder: string,
    options: MirrorOptions,
  ): Promise<MirrorProcess> {
    const mirror = new MirrorProcess(node, folder, options);
    await mirror.startAgain();
    return mirror;
  }

  /** Starts it after it was stopped or killed, or another program in its place. */
  async startAgain(program: readonly string[] = this.#program): Promise<void> {
    const { containerd, bootstrap = [], env, pod } = this.#options;
    this.#program = program;
    const peers = bootstrap.map((node) => `${node.ip}:${PORTS.router}`);
    this.#process = await ManagedProcess.start(
      `mirror of ${this.node.name}`,
      `${this.#folder}/mirror.log`,
      "ip",
      inside(this.node, ...pod?.command ?? [], ...program),
      {
        ...(containerd === undefined ? {} : {
          CONTAINERD_SOCK: containerd.sock,
          CONTAINERD_CONTENT_PATH: containerd.contentPath,
        }),
        STATIC_BOOTSTRAP_PEERS: peers.join(","),
        DATA_DIR: `${this.#folder}/data`,
        BASIC_AUTH_DIR: `${this.#folder}/basic-auth`,
        LOG_LEVEL: "DEBUG",
        // Two cores carry the whole cluster here; what is tested is not how fast it answers.
        MIRROR_RESOLVE_TIMEOUT: "1s",
        ...pod?.env,
        ...env,
      },
    );
  }

  /** Command of what runs now. */
  get program(): readonly string[] {
    return this.#program;
  }

  /** URL of its registry, from inside of the network. */
  get url(): string {
    return `http://${this.node.ip}:${PORTS.registry}`;
  }

  /** Sends a request from its own node. */
  async curl(...args: string[]): Promise<string> {
    return (await runInside(this.node, "curl", "-s", "--max-time", "30", ...args)).stdout;
  }

  /** Status of `/readyz`. */
  async readiness(): Promise<number> {
    const format = ["-o", "/dev/null", "-w", "%{http_code}"];
    return Number(await this.curl(...format, `${this.url}/readyz`));
  }

  /** Waits until it is ready. */
  async ready(): Promise<void> {
    await eventually(
      `mirror of ${this.node.name} is ready`,
      async () => await this.readiness() === 200,
    );
  }

  /** Waits until the mirror's answer to a path has a status. */
  async answers(status: number, path: string): Promise<void> {
    const format = ["-o", "/dev/null", "-w", "%{http_code}"];
    await eventually(
      `${path} on ${this.node.name} answers ${status}`,
      async () => Number(await this.curl(...format, `${this.url}${path}`)) === status,
    );
  }

  /** Waits until each of the peers has been the source of an answer: all of them are known as providers. */
  async answersFrom(peers: readonly MirrorProcess[], path: string): Promise<void> {
    const missing = new Set(peers.map(({ node }) => node.name));
    // A node of both families may be reached by either of them.
    const names = new Map(
      peers.flatMap(({ node: { name, ip, ipv6 } }) =>
        [ip, `[${ipv6}]`].map((host) => [`peer ${host}:${PORTS.registry}`, name])
      ),
    );
    await eventually(`${path} on ${this.node.name} comes from ${[...missing]}`, async () => {
      const head = await this.curl("-I", `${this.url}${path}`);
      missing.delete(names.get(/^x-kagami-source: (.*)\r$/im.exec(head)?.[1] ?? "") ?? "");
      return missing.size === 0;
    });
  }

  /** All its metrics, in Prometheus' text format. */
  async metrics(): Promise<string> {
    return await this.curl(`http://${this.node.ip}:${PORTS.metrics}/metrics`);
  }

  /** Value of a metric, of all labels together that match. */
  async metric(name: string, labels = ""): Promise<number> {
    return (await this.metrics()).split("\n")
      .filter((line) => line.startsWith(name) && line.includes(labels) && !line.startsWith("#"))
      .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  /** Lines of its log since {@linkcode forget}. */
  async logLines(): Promise<Record<string, unknown>[]> {
    const text = (await Deno.readTextFile(`${this.#folder}/mirror.log`)).slice(this.#skip);
    return text.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  }

  /** Requests since {@linkcode forget}. */
  async requests(): Promise<MirrorRequest[]> {
    const lines = await this.logLines();
    const isRequest = (line: Record<string, unknown>) =>
      line["msg"] === "request" || line["msg"] === "answer was broken off";
    return lines.filter(isRequest) as unknown as MirrorRequest[];
  }

  /** Forgets the log so far. */
  async forget(): Promise<void> {
    this.#skip = (await Deno.readTextFile(`${this.#folder}/mirror.log`)).length;
  }

  get isRunning(): boolean {
    return this.#process?.isRunning ?? false;
  }

  /** ID of what runs now, or ran last. */
  get pid(): number {
    if (this.#process === undefined) throw new Error("it has not been started");
    return this.#process.pid;
  }

  /** Most memory that it has taken so far, in MiB. */
  async peakMemory(): Promise<number> {
    const status = await Deno.readTextFile(`/proc/${this.pid}/status`);
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
  }

  /** Sends a signal. */
  signal(signal: Deno.Signal): void {
    this.#process?.signal(signal);
  }

  /** Kills it. */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  /** Stops it in order. */
  async stop(): Promise<void> {
    await this.#process?.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
