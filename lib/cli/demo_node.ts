/**
 * A node of the demo: the service as a process of its own, with an OCI layout as its store.
 *
 * @module
 */
import { UnavailableError } from "../errors.ts";
import { sleep } from "../sleep.ts";
import { DemoStore } from "./demo_image.ts";
import { permissionFlags } from "./permissions.ts";

/** Longest time until a node is ready, in milliseconds. */
export const READY_TIMEOUT_MS = 30_000;

/** Options of {@linkcode DemoNode}. */
export interface DemoNodeOptions {
  readonly name: string;
  /** Loopback address that stands for the node's. */
  readonly ip: string;
  readonly ports: { readonly registry: number; readonly router: number; readonly metrics: number };
  /** Address of the node that the others start from. */
  readonly bootstrapIp: string;
  /** Repository of the images in its store. */
  readonly repository: string;
  /** Folder for its store and log. */
  readonly folder: string;
  /** Further flags. */
  readonly flags?: readonly string[];
}

/**
 * Finds ports that are free on all addresses; held open together while they are looked for.
 *
 * @param ips The addresses.
 * @returns The ports of a node on any of them.
 */
export function freePorts(ips: readonly string[]): DemoNodeOptions["ports"] {
  using stack = new DisposableStack();
  const find = (): number => {
    const { port } = (stack.use(Deno.listen({ hostname: ips[0]!, port: 0 }))).addr;
    for (const hostname of ips.slice(1)) stack.use(Deno.listen({ hostname, port }));
    return port;
  };
  return { registry: find(), router: find(), metrics: find() };
}

/** A running node. Stopped when disposed. */
export class DemoNode implements AsyncDisposable {
  readonly name: string;
  readonly store: DemoStore;
  /** URL of its mirror. */
  readonly url: string;
  /** How peers call it. */
  readonly address: string;
  /** URL of its metrics address. */
  readonly metricsUrl: string;
  readonly #options: DemoNodeOptions;
  #process: Deno.ChildProcess | undefined;

  /**
   * @param options Name, addresses and folder.
   */
  constructor(options: DemoNodeOptions) {
    this.#options = options;
    this.name = options.name;
    this.store = new DemoStore(`${options.folder}/store`);
    this.address = `${options.ip}:${options.ports.registry}`;
    this.url = `http://${this.address}`;
    this.metricsUrl = `http://${options.ip}:${options.ports.metrics}`;
  }

  /** Starts the process. */
  async start(): Promise<void> {
    const { ip, ports, bootstrapIp, repository, folder, flags = [] } = this.#options;
    const log = await Deno.open(`${folder}/log.json`, { write: true, create: true });
    this.#process = new Deno.Command(Deno.execPath(), {
      args: [
        ...programArguments({ "oci-layout-path": this.store.path, "data-dir": folder }),
        "registry",
        `--registry-addr=${ip}:${ports.registry}`,
        `--router-addr=${ip}:${ports.router}`,
        `--metrics-addr=${ip}:${ports.metrics}`,
        // Peers are told which port it is.
        `--peer-tls-addr=${ip}:0`,
        "--store=oci-layout",
        `--oci-layout-path=${this.store.path}`,
        `--oci-layout-repository=${repository}`,
        `--data-dir=${folder}`,
        "--bootstrap-kind=static",
        `--static-bootstrap-peers=${bootstrapIp}:${ports.router}`,
        // The demo runs on machines of any load; a node of its own needs no such time.
        "--mirror-resolve-timeout=2s",
        "--log-level=DEBUG",
        ...flags,
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#process.stderr.pipeTo(log.writable).catch(() => {});
  }

  /**
   * Waits until the node answers that it is ready and has so many peers.
   *
   * @param peers Number of other nodes.
   * @throws {UnavailableError} If it takes too long.
   */
  async ready(peers: number): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS;
    let last = "no answer";
    while (performance.now() < deadline) {
      try {
        const response = await fetch(`${this.url}/readyz`);
        last = await response.text();
        if (response.ok && (peers === 0 || last.includes(`${peers} peers`))) return;
      } catch (error) {
        last = error instanceof Error ? error.message : String(error);
      }
      await sleep(100);
    }
    const { folder } = this.#options;
    throw new UnavailableError(`${this.name} is not ready: ${last.trim()}; see ${folder}/log.json`);
  }

  /** Stops the process in order. */
  async stop(): Promise<void> {
    const process = this.#process;
    if (process === undefined) return;
    this.#process = undefined;
    try {
      process.kill("SIGTERM");
    } catch {
      // It has ended by itself.
    }
    await process.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** How this program is started once more: a compiled one is its own runtime. */
function programArguments(paths: Readonly<Record<string, string>>): string[] {
  if (Deno.build.standalone) return [];
  const main = new URL("../../main.ts", import.meta.url).href;
  return ["run", "--quiet", ...permissionFlags("registry", paths), main];
}
