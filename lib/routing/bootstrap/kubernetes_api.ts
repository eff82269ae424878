/**
 * Requests to the Kubernetes API with the credentials of the pod.
 *
 * A client library would bring five megabytes of modules for two paths, and open a TLS connection for each request,
 * which on a thousand nodes is a hundred a second.
 *
 * @see https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
 * @module
 */
import { UnavailableError } from "../../errors.ts";

/** Folder with the credentials of a pod. */
export const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Longest answer that is read, in bytes. A Lease is below 2 KiB, and no object may be larger than 1.5 MiB. */
export const MAX_ANSWER_BYTES = 2 * 1024 * 1024;

/** An idle connection is kept for so long, in milliseconds: requests come every ten to thirty seconds. */
export const IDLE_CONNECTION_MS = 90_000;

/** Options of {@linkcode KubernetesApi}. */
export interface KubernetesApiOptions {
  /** URL of the API server. Default: the one that the environment of a pod tells. */
  readonly server?: string;
  /** Folder with `token`, `ca.crt` and `namespace`. Default: {@linkcode SERVICE_ACCOUNT}. */
  readonly credentials?: string;
}

/** An answer. */
export interface KubernetesAnswer {
  readonly status: number;
  /** Parsed; undefined if it is not JSON. */
  readonly body: unknown;
}

/** Access to the API server, over one kept connection. */
export class KubernetesApi implements Disposable {
  readonly #server: string | undefined;
  readonly #folder: string;
  /** Trusts the certificates in the text. */
  #client: { readonly authority: string; readonly http: Deno.HttpClient } | undefined;

  /**
   * @param options Where the API server and the credentials are.
   */
  constructor(options: KubernetesApiOptions = {}) {
    this.#server = options.server ?? serverOfPod();
    this.#folder = options.credentials ?? SERVICE_ACCOUNT;
  }

  /**
   * Namespace of the pod.
   *
   * @returns Its name.
   * @throws {UnavailableError} If there are no credentials.
   */
  async namespace(): Promise<string> {
    return (await this.#read("namespace")).trim();
  }

  /**
   * Sends a request. Token and certificates are read anew each time, for kubelet replaces them.
   *
   * @param method Method.
   * @param path Path of the object.
   * @param signal Ends it.
   * @param body Object to send, if any.
   * @returns The answer, of any status.
   * @throws {UnavailableError} If there are no credentials, or no answer.
   */
  async request(
    method: "GET" | "POST" | "PUT",
    path: string,
    signal: AbortSignal,
    body?: object,
  ): Promise<KubernetesAnswer> {
    if (this.#server === undefined) {
      throw noCredentials("KUBERNETES_SERVICE_HOST is not set; is this a pod?");
    }
    const token = (await this.#read("token")).trim();
    const client = this.#clientFor(await this.#read("ca.crt"));
    try {
      const response = await fetch(this.#server + path, {
        method,
        client,
        signal,
        redirect: "error",
        headers: {
          "Authorization": `Bearer ${token}`,
          "Accept": "application/json",
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: parse(await readBounded(response)) };
    } catch (cause) {
      throw new UnavailableError(`the Kubernetes API does not answer: ${messageOf(cause)}`, {
        cause,
      });
    }
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.#client?.http.close();
    this.#client = undefined;
  }

  #clientFor(authority: string): Deno.HttpClient {
    if (this.#client?.authority === authority) return this.#client.http;
    this[Symbol.dispose]();
    let http: Deno.HttpClient;
    try {
      http = Deno.createHttpClient({
        caCerts: [authority],
        // Over HTTP/2 a request that gets no answer would leave a connection behind that the next one waits on, too.
        http2: false,
        poolIdleTimeout: IDLE_CONNECTION_MS,
      });
    } catch (cause) {
      throw noCredentials(`${this.#folder}/ca.crt: ${messageOf(cause)}`, cause);
    }
    this.#client = { authority, http };
    return http;
  }

  async #read(name: "token" | "ca.crt" | "namespace"): Promise<string> {
    try {
      return await Deno.readTextFile(`${this.#folder}/${name}`);
    } catch (cause) {
      throw noCredentials(`${this.#folder}/${name}: ${messageOf(cause)}`, cause);
    }
  }
}

/** What kubelet tells every container. */
function serverOfPod(): string | undefined {
  const host = Deno.env.get("KUBERNETES_SERVICE_HOST");
  if (host === undefined || host === "") return undefined;
  const port = Deno.env.get("KUBERNETES_SERVICE_PORT") ?? "443";
  return `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function noCredentials(reason: string, cause?: unknown): UnavailableError {
  return new UnavailableError(`no credentials for the Kubernetes API: ${reason}`, { cause });
}

async function readBounded(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error("the answer is too long");
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What went wrong, with what `fetch` hides behind its own message. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
