/**
 * The registry that images come from: Debian's docker-registry.
 *
 * @module
 */
import type { Credentials } from "../../../lib/registry/basic_auth.ts";
import { inside, type NetworkNode, runInside } from "./network.ts";
import { eventually, ManagedProcess } from "./process.ts";

/** A request as the registry's log tells it. */
export interface UpstreamRequest {
  readonly from: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
}

const PORT = 5000;

/** Who may use a registry. */
export interface RegistryGuard {
  /** Its part of the registry's configuration, in YAML. */
  readonly yaml: string;
  /** Who may push. */
  readonly owner: Credentials;
}

/** A running registry with a log of what it was asked. */
export class UpstreamRegistry implements AsyncDisposable {
  readonly node: NetworkNode;
  /** Host and port, as in references. */
  readonly host: string;
  readonly #folder: string;
  #process: ManagedProcess | undefined;
  #skip = 0;

  private constructor(
    node: NetworkNode,
    folder: string,
    readonly guard: RegistryGuard | undefined,
  ) {
    this.node = node;
    this.host = `${node.ip}:${PORT}`;
    this.#folder = folder;
  }

  /** Starts a registry whose files lie in a folder. */
  static async start(
    node: NetworkNode,
    folder: string,
    guard?: RegistryGuard,
  ): Promise<UpstreamRegistry> {
    const registry = new UpstreamRegistry(node, folder, guard);
    await Deno.mkdir(`${folder}/data`, { recursive: true });
    await Deno.writeTextFile(
      `${folder}/config.yml`,
      `version: 0.1
log: {level: warn, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: ${folder}/data}}
http: {addr: ":${PORT}", secret: test}
${guard?.yaml ?? ""}
`,
    );
    await registry.startAgain();
    return registry;
  }

  /** Starts it after it was stopped. */
  async startAgain(): Promise<void> {
    this.#process = await ManagedProcess.start(
      "registry",
      `${this.#folder}/registry.log`,
      "ip",
      inside(this.node, "docker-registry", "serve", `${this.#folder}/config.yml`),
    );
    await eventually("the registry answers", async () => {
      const format = ["-s", "-o", "/dev/null", "-w", "%{http_code}"];
      const { stdout } = await runInside(this.node, "curl", ...format, `http://${this.host}/v2/`);
      return stdout === (this.guard === undefined ? "200" : "401");
    });
  }

  /** Stops it; its images stay. */
  async stop(): Promise<void> {
    await this.#process?.stop();
  }

  /** What it was asked since {@linkcode forget}, pings left out. */
  async requests(): Promise<UpstreamRequest[]> {
    const text = (await Deno.readTextFile(`${this.#folder}/registry.log`)).slice(this.#skip);
    const requests: UpstreamRequest[] = [];
    const pattern = /^(\S+) - \S+ \[[^\]]*\] "([A-Z]+) (\S+) HTTP[^"]*" (\d+)/gm;
    for (const [, from = "", method = "", path = "", status] of text.matchAll(pattern)) {
      if (path !== "/v2/") requests.push({ from, method, path, status: Number(status) });
    }
    return requests;
  }

  /** Requests for blobs. */
  async blobRequests(): Promise<UpstreamRequest[]> {
    return (await this.requests()).filter(({ path }) => path.includes("/blobs/"));
  }

  /** Forgets all requests so far. */
  async forget(): Promise<void> {
    this.#skip = (await Deno.readTextFile(`${this.#folder}/registry.log`)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
