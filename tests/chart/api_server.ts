/**
 * What the tests of the chart ask of a real API server.
 *
 * @module
 */
import { type ApiAnswer, KubeApiServer } from "../integration/harness/kube_api_server.ts";
import type { KubernetesObject } from "./schemas.ts";

/** An API server that takes objects. */
export class ChartApiServer implements AsyncDisposable {
  readonly #server: KubeApiServer;
  readonly #stack: AsyncDisposableStack;

  private constructor(server: KubeApiServer, stack: AsyncDisposableStack) {
    this.#server = server;
    this.#stack = stack;
  }

  /**
   * Starts one.
   *
   * @returns The server, ready.
   */
  static async start(): Promise<ChartApiServer> {
    await using stack = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir({ prefix: "kagami-api-" });
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const server = stack.use(await KubeApiServer.start(`${folder}/server`));
    return new ChartApiServer(server, stack.move());
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
    const { text } = await this.#server.request("GET", "/version");
    return JSON.parse(text).gitVersion.replace(/^v/, "");
  }

  /**
   * Applies an object, server-side and with strict validation of fields.
   *
   * @param object What to apply.
   * @param dryRun Whether nothing is stored.
   * @returns The answer; its text is the object or what is wrong with it.
   */
  async apply(object: KubernetesObject, dryRun: boolean): Promise<ApiAnswer> {
    const query = new URLSearchParams({ fieldManager: "kagami-tests", fieldValidation: "Strict" });
    if (dryRun) query.set("dryRun", "All");
    return await this.#server.request("PATCH", `${pathOf(object)}?${query}`, object, {
      "Content-Type": "application/apply-patch+yaml",
    });
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
    const headers = { "Impersonate-User": `system:serviceaccount:${account}` };
    return (await this.#server.request(method, path, body, headers)).status;
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
