/**
 * A real API server of Kubernetes with its etcd, on loopback, for programs that the machine has.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import { eventually, ManagedProcess } from "../integration/harness/process.ts";
import { freePort } from "../unit/support/free_port.ts";
import type { KubernetesObject } from "./schemas.ts";

/** Variables that name the programs. */
const PROGRAMS = ["KUBE_APISERVER_BIN", "ETCD_BIN"] as const;

/** Why there can be no API server; empty if there can. */
export const MISSING_API_SERVER: readonly string[] = PROGRAMS
  .filter((name) => Deno.env.get(name) === undefined)
  .map((name) => `${name} is not set`);

/** What the server answered. */
export interface ApiAnswer {
  readonly status: number;
  readonly body: KubernetesObject & { readonly message?: string };
  /** What the server warns of. */
  readonly warnings: string;
}

/** An API server. */
export class ApiServer implements AsyncDisposable {
  readonly #url: string;
  readonly #token: string;
  readonly #client: Deno.HttpClient;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    url: string,
    token: string,
    client: Deno.HttpClient,
    stack: AsyncDisposableStack,
  ) {
    this.#url = url;
    this.#token = token;
    this.#client = client;
    this.#stack = stack;
  }

  /**
   * Starts one.
   *
   * @returns The server, ready.
   */
  static async start(): Promise<ApiServer> {
    await using stack = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir({ prefix: "kagami-api-" });
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const [etcdPort, peerPort, port] = [freePort(), freePort(), freePort()];
    const etcd = `http://127.0.0.1:${etcdPort}`;
    stack.use(
      await ManagedProcess.start("etcd", `${folder}/etcd.log`, Deno.env.get("ETCD_BIN")!, [
        `--data-dir=${folder}/etcd`,
        `--listen-client-urls=${etcd}`,
        `--advertise-client-urls=${etcd}`,
        `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
      ]),
    );
    const token = crypto.randomUUID();
    await Deno.writeTextFile(`${folder}/tokens.csv`, `${token},admin,admin,"system:masters"\n`);
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const pem = Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" })).toString();
    await Deno.writeTextFile(`${folder}/sa.key`, pem);
    const program = Deno.env.get("KUBE_APISERVER_BIN")!;
    stack.use(
      await ManagedProcess.start("kube-apiserver", `${folder}/api.log`, program, [
        `--etcd-servers=${etcd}`,
        "--bind-address=127.0.0.1",
        `--secure-port=${port}`,
        `--cert-dir=${folder}/certs`,
        `--service-account-key-file=${folder}/sa.key`,
        `--service-account-signing-key-file=${folder}/sa.key`,
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.0.0.0/24",
        `--token-auth-file=${folder}/tokens.csv`,
        "--authorization-mode=RBAC",
        // Nobody makes service accounts here: that is a controller's work.
        "--disable-admission-plugins=ServiceAccount",
      ]),
    );
    const certificate = await eventually(
      "certificate of the API server",
      () => Deno.readTextFile(`${folder}/certs/apiserver.crt`),
    );
    const client = Deno.createHttpClient({ caCerts: [certificate] });
    stack.defer(() => client.close());
    const server = new ApiServer(`https://127.0.0.1:${port}`, token, client, stack.move());
    await eventually(
      "API server",
      async () => {
        const response = await server.#request("GET", "/readyz");
        await response.body?.cancel();
        return response.status === 200;
      },
      120_000,
    );
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }

  /**
   * Version of the server, as Helm wants it.
   *
   * @returns Such as `1.31.4`.
   */
  async version(): Promise<string> {
    const response = await this.#request("GET", "/version");
    return (await response.json()).gitVersion.replace(/^v/, "");
  }

  /**
   * Applies an object, server-side and with strict validation of fields.
   *
   * @param object What to apply.
   * @param dryRun Whether nothing is stored.
   * @returns The answer.
   */
  async apply(object: KubernetesObject, dryRun: boolean): Promise<ApiAnswer> {
    const query = new URLSearchParams({ fieldManager: "kagami-tests", fieldValidation: "Strict" });
    if (dryRun) query.set("dryRun", "All");
    const response = await this.#request("PATCH", `${pathOf(object)}?${query}`, {
      "Content-Type": "application/apply-patch+yaml",
    }, JSON.stringify(object));
    const warnings = response.headers.get("warning") ?? "";
    return { status: response.status, body: await response.json(), warnings };
  }

  /**
   * Sends a request on behalf of a service account.
   *
   * @param account `<namespace>:<name>`.
   * @param method Method.
   * @param path Path.
   * @param body Object to send, if any.
   * @returns Status of the answer.
   */
  async statusFor(
    account: string,
    method: string,
    path: string,
    body?: KubernetesObject,
  ): Promise<number> {
    const headers = {
      "Impersonate-User": `system:serviceaccount:${account}`,
      "Content-Type": "application/json",
    };
    const response = await this.#request(method, path, headers, body && JSON.stringify(body));
    await response.body?.cancel();
    return response.status;
  }

  #request(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>> = {},
    body?: string,
  ): Promise<Response> {
    return fetch(this.#url + path, {
      method,
      client: this.#client,
      headers: {
        "Authorization": `Bearer ${this.#token}`,
        "Accept": "application/json",
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
    });
  }
}

/** Kinds that belong to no namespace. */
const CLUSTER_WIDE = ["Namespace", "CustomResourceDefinition"];

function pathOf({ apiVersion, kind, metadata }: KubernetesObject): string {
  const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const plural = `${kind.toLowerCase()}s`.replace(/ys$/, "ies");
  const namespace = CLUSTER_WIDE.includes(kind) ? "" : `/namespaces/${metadata.namespace}`;
  return `${base}${namespace}/${plural}/${metadata.name}`;
}
