/**
 * Kagami itself, as a process of its own on the loopback address.
 *
 * @module
 */
import { MAIN } from "../../tests/integration/harness/mirror_process.ts";
import { eventually, ManagedProcess } from "../../tests/integration/harness/process.ts";
import { SHIPPED_RUN } from "../../tests/integration/harness/shipped_runtime.ts";
import { freePort } from "../../tests/unit/support/free_port.ts";

/** Repository of the layout's tags. */
export const REPOSITORY = "docker.io/library/bench";

/** Options of {@linkcode Service.start}. */
export interface ServiceOptions {
  /** Folder of the OCI layout that it serves. */
  readonly layout: string;
  /** Folder for its log. */
  readonly folder: string;
  /** `<ip>:<port>` of routers to start from. None makes it a cluster of one. */
  readonly peers?: readonly string[];
}

/** The running service. */
export class Service implements AsyncDisposable {
  readonly url: string;
  /** `<ip>:<port>` of its router. */
  readonly routerAddress: string;
  readonly #process: ManagedProcess;

  private constructor(url: string, routerAddress: string, process: ManagedProcess) {
    this.url = url;
    this.routerAddress = routerAddress;
    this.#process = process;
  }

  /**
   * Starts it, and waits until it is ready.
   *
   * @param options What it serves.
   * @returns The service.
   */
  static async start(options: ServiceOptions): Promise<Service> {
    const { layout, folder, peers = [] } = options;
    const [registry, router, metrics] = [freePort(), freePort(), freePort()];
    const routerAddress = `127.0.0.1:${router}`;
    const [command = "", ...args] = SHIPPED_RUN;
    const process = await ManagedProcess.start("Kagami", `${folder}/kagami.log`, command, [
      ...args,
      "-A",
      "--no-check",
      MAIN,
      "registry",
      `--registry-addr=127.0.0.1:${registry}`,
      `--router-addr=${routerAddress}`,
      `--metrics-addr=127.0.0.1:${metrics}`,
      // Peers are told which port it is.
      "--peer-tls-addr=127.0.0.1:0",
      "--store=oci-layout",
      `--oci-layout-path=${layout}`,
      `--oci-layout-repository=${REPOSITORY}`,
      `--basic-auth-dir=${folder}/no-basic-auth`,
      // Nobody but itself: a cluster of one.
      ...(peers.length === 0 ? [routerAddress] : peers).map((peer) =>
        `--static-bootstrap-peers=${peer}`
      ),
    ]);
    const service = new Service(`http://127.0.0.1:${registry}`, routerAddress, process);
    try {
      await eventually("Kagami is ready", async () => {
        const response = await fetch(`${service.url}/readyz`);
        await response.text();
        return response.ok;
      });
    } catch (error) {
      await process.stop();
      throw new Error(`Kagami did not start:\n${await process.output()}`, { cause: error });
    }
    return service;
  }

  /** ID of the process. */
  get pid(): number {
    return this.#process.pid;
  }

  /**
   * URL of a blob, as containerd asks for it.
   *
   * @param kind What it is.
   * @param digest Its digest.
   * @returns The URL.
   */
  contentUrl(kind: "blobs" | "manifests", digest: string): string {
    const [registry, ...repository] = REPOSITORY.split("/");
    return `${this.url}/v2/${repository.join("/")}/${kind}/${digest}?ns=${registry}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stop();
  }
}
