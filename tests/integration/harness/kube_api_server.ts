/**
 * A real Kubernetes API server with its etcd, from the binaries that `KUBE_APISERVER_BIN` and `ETCD_BIN` name.
 *
 * @module
 */
import { freePort } from "../../unit/support/free_port.ts";
import { inside, type NetworkNode } from "./network.ts";
import { eventually, ManagedProcess, run } from "./process.ts";

/** Variables that name the programs. */
const PROGRAMS = { apiServer: "KUBE_APISERVER_BIN", etcd: "ETCD_BIN" } as const;

/** Why there can be no API server; empty if there can. */
export const MISSING_API_SERVER: readonly string[] = Object.values(PROGRAMS)
  .filter((name) => (Deno.env.get(name) ?? "") === "")
  .map((name) => `${name} is not set`);

const ADMIN_TOKEN = "admin-of-the-test-bed";

/** What the server answered. */
export interface ApiAnswer {
  readonly status: number;
  readonly text: string;
  /** What the server warns of. */
  readonly warnings: string;
}

/** An API server, on loopback or in a node of the network. */
export class KubeApiServer implements AsyncDisposable {
  readonly #node: NetworkNode | undefined;
  /** Of the server, its etcd, and that for peers of the latter. */
  readonly #ports = [freePort(), freePort(), freePort()] as const;
  readonly #folder: string;
  #etcd: ManagedProcess | undefined;
  #server: ManagedProcess | undefined;

  private constructor(folder: string, node: NetworkNode | undefined) {
    this.#folder = folder;
    this.#node = node;
  }

  /**
   * Starts one.
   *
   * @param folder For all of its files; is made.
   * @param node Where it runs. Default: on loopback.
   * @returns The server, ready.
   */
  static async start(folder: string, node?: NetworkNode): Promise<KubeApiServer> {
    await using stack = new AsyncDisposableStack();
    const server = stack.use(new KubeApiServer(folder, node));
    await Deno.mkdir(folder);
    await run("openssl", "genrsa", "-out", `${folder}/accounts.key`, "2048");
    const admin = `${ADMIN_TOKEN},admin,admin-uid,"system:masters"\n`;
    await Deno.writeTextFile(`${folder}/tokens.csv`, admin);
    const [, etcdPort, peerPort] = server.#ports;
    const etcd = `http://127.0.0.1:${etcdPort}`;
    server.#etcd = await server.#run("etcd", PROGRAMS.etcd, [
      `--data-dir=${folder}/etcd`,
      `--listen-client-urls=${etcd}`,
      `--advertise-client-urls=${etcd}`,
      `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
    ]);
    await server.startAgain();
    stack.move();
    return server;
  }

  /** Its IP address, as URLs have it. */
  get host(): string {
    return this.#node?.ip ?? "127.0.0.1";
  }

  get port(): number {
    return this.#ports[0];
  }

  /** File with the certificate that it is trusted by. */
  get certificate(): string {
    return `${this.#folder}/certs/apiserver.crt`;
  }

  /** Stops the API server; what it knows stays in etcd. */
  async stop(): Promise<void> {
    await this.#server?.kill();
  }

  /** Starts it again. */
  async startAgain(): Promise<void> {
    const accounts = `${this.#folder}/accounts.key`;
    this.#server = await this.#run("kube-apiserver", PROGRAMS.apiServer, [
      `--etcd-servers=http://127.0.0.1:${this.#ports[1]}`,
      `--secure-port=${this.port}`,
      `--bind-address=${this.host}`,
      ...(this.#node === undefined ? [] : [`--advertise-address=${this.host}`]),
      `--cert-dir=${this.#folder}/certs`,
      `--service-account-key-file=${accounts}`,
      `--service-account-signing-key-file=${accounts}`,
      "--service-account-issuer=https://kubernetes.default.svc",
      "--service-cluster-ip-range=10.96.0.0/24",
      `--token-auth-file=${this.#folder}/tokens.csv`,
      "--authorization-mode=RBAC",
      // Nobody makes service accounts for pods here: that is a controller's work.
      "--disable-admission-plugins=ServiceAccount",
    ]);
    await eventually(
      "the API server is ready",
      async () => (await this.request("GET", "/readyz")).text === "ok",
      120_000,
    );
  }

  /**
   * Sends a request, as an administrator.
   *
   * @param method Method.
   * @param path Path and query.
   * @param body Object to send, if any.
   * @param headers Further headers.
   * @returns The answer; status 0 if there is none.
   */
  async request(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<ApiAnswer> {
    const all = {
      "Authorization": `Bearer ${ADMIN_TOKEN}`,
      "Accept": "application/json",
      "Content-Type": "application/json",
      ...headers,
    };
    const command = [
      ...["curl", "--silent", "--insecure", "--include", "--http1.1", "--max-time", "30"],
      ...["--request", method],
      ...Object.entries(all).flatMap(([name, value]) => ["--header", `${name}: ${value}`]),
      ...(body === undefined ? [] : ["--data-binary", JSON.stringify(body)]),
      `https://${this.host}:${this.port}${path}`,
    ];
    let output: string;
    try {
      output = await run(...this.#inside(command));
    } catch {
      return { status: 0, text: "", warnings: "" };
    }
    // What follows a "100 Continue" is the answer.
    const answer = output.replace(/^HTTP\/1\.1 100 .*\r\n\r\n/, "");
    const end = answer.indexOf("\r\n\r\n");
    const head = answer.slice(0, end);
    return {
      status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]),
      text: answer.slice(end + 4),
      warnings: Array.from(head.matchAll(/^warning: (.*?)\r?$/gim), ([, text]) => text).join(", "),
    };
  }

  /** Creates an object. */
  async create(path: string, object: unknown): Promise<Record<string, unknown>> {
    const { status, text } = await this.request("POST", path, object);
    if (status < 200 || status > 299) throw new Error(`POST ${path}: ${status} ${text}`);
    return JSON.parse(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.stop();
    await this.#etcd?.stop();
  }

  /** A command line that runs a command where the server is. */
  #inside(command: readonly string[]): [string, ...string[]] {
    const [program = "", ...args] = command;
    return this.#node === undefined
      ? [program, ...args]
      : ["ip", ...inside(this.#node, program, ...args)];
  }

  #run(name: string, variable: string, args: readonly string[]): Promise<ManagedProcess> {
    const [command, ...rest] = this.#inside([Deno.env.get(variable)!, ...args]);
    return ManagedProcess.start(name, `${this.#folder}/${name}.log`, command, rest);
  }
}
