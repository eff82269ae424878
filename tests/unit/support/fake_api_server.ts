/**
 * As much of a Kubernetes API server as Leases need: versions, conflicts, tokens, and faults. The integration tests do
 * the same against a real one where there is one.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import { createServer } from "node:https";
import { closeServer, listen } from "../../../lib/net/listen.ts";
import { AUTHORITY, SERVER } from "./tls_certificates.ts";

/** A Lease as it goes over the wire. */
export interface WireLease {
  metadata: { name: string; resourceVersion: string; annotations?: Record<string, string> };
  spec: {
    holderIdentity?: string;
    leaseDurationSeconds?: number;
    leaseTransitions?: number;
    renewTime?: string;
  };
}

/** A request as it came in. */
export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly token: string | undefined;
  readonly status: number;
}

/** The server, with what a test can do to it. */
export interface FakeApiServer extends AsyncDisposable {
  /** Leases by `<namespace>/<name>`; a test may change them. */
  readonly leases: Map<string, WireLease>;
  /** All requests so far. */
  readonly requests: ApiRequest[];
  /** Tokens that are accepted. */
  tokens: Set<string>;
  /** Makes requests fail: with a status, by hanging, or by a closed connection. */
  fault: number | "hang" | "reset" | undefined;
  /** Called before a write is carried out. */
  beforeWrite: (() => void) | undefined;
  /** Connections so far. */
  readonly connections: number;
  /** Its URL. */
  readonly server: string;
  /** Folder with `token`, `ca.crt` and `namespace`, as in a pod. */
  readonly credentials: string;
}

const LEASES = /^\/apis\/coordination\.k8s\.io\/v1\/namespaces\/([^/]+)\/leases(?:\/([^/]+))?$/;

const REASONS: Record<number, string> = {
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  409: "Conflict",
  500: "InternalError",
};

async function readBody(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}

function statusOf(code: number, message: string) {
  return {
    kind: "Status",
    apiVersion: "v1",
    status: "Failure",
    message,
    reason: REASONS[code],
    code,
  };
}

/** Starts a server that accepts the token `token`, for a pod in the namespace `mirrors`. */
export async function startFakeApiServer(): Promise<FakeApiServer> {
  const folder = await Deno.makeTempDir();
  const leases = new Map<string, WireLease>();
  let version = 100;
  let audits = 0;

  function store(namespace: string, name: string, lease: WireLease): object {
    const metadata = { ...lease.metadata, name, resourceVersion: `${++version}` };
    const stored = { ...lease, metadata };
    leases.set(`${namespace}/${name}`, stored);
    return { ...stored, kind: "Lease" };
  }

  function answer(method: string, path: string, body: string): [number, unknown] {
    const [, namespace = "", name] = LEASES.exec(path) ?? [];
    if (namespace === "") return [404, statusOf(404, "the server could not find the resource")];
    const current = name === undefined ? undefined : leases.get(`${namespace}/${name}`);
    if (method !== "GET") self.beforeWrite?.();
    if (method === "POST" && name === undefined) {
      const lease = JSON.parse(body) as WireLease;
      const full = `${namespace}/${lease.metadata.name}`;
      if (leases.has(full)) {
        return [409, statusOf(409, `leases "${lease.metadata.name}" already exists`)];
      }
      return [201, store(namespace, lease.metadata.name, lease)];
    }
    if (name === undefined) return [405, statusOf(405, "method not allowed")];
    const now = leases.get(`${namespace}/${name}`);
    if (current === undefined || now === undefined) {
      return [404, statusOf(404, `leases.coordination.k8s.io "${name}" not found`)];
    }
    if (method === "GET") return [200, { ...current, kind: "Lease" }];
    const lease = JSON.parse(body) as WireLease;
    if (lease.metadata.resourceVersion !== now.metadata.resourceVersion) {
      const message = `Operation cannot be fulfilled on leases.coordination.k8s.io "${name}": ` +
        "the object has been modified; please apply your changes to the latest version and try again";
      return [409, statusOf(409, message)];
    }
    return [200, store(namespace, name, lease)];
  }

  let connections = 0;
  const server = createServer(SERVER, async (request, response) => {
    const { method = "", url = "" } = request;
    const body = await readBody(request);
    const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? "")?.[1];
    const note = (status: number) => self.requests.push({ method, path: url, token, status });
    if (self.fault === "hang") return void note(0);
    if (self.fault === "reset") return note(0), void request.socket.destroy();
    const [status, value] = typeof self.fault === "number"
      ? [self.fault, statusOf(self.fault, `it answers\n${self.fault}`)]
      : !self.tokens.has(token ?? "")
      ? [401, statusOf(401, "Unauthorized")]
      : answer(method, url, body);
    note(status);
    // Headers that differ each time, as the real one sends them.
    const headers = { "Content-Type": "application/json", "Audit-Id": `audit-${++audits}` };
    response.writeHead(status, headers).end(JSON.stringify(value));
  });
  const port = await listen(server, { host: "127.0.0.1", port: 0 });
  server.on("secureConnection", () => connections += 1);
  for (
    const [name, text] of [["token", "token"], ["ca.crt", AUTHORITY], ["namespace", "mirrors"]]
  ) {
    await Deno.writeTextFile(`${folder}/${name}`, text!);
  }
  const self: FakeApiServer = {
    leases,
    requests: [],
    tokens: new Set(["token"]),
    fault: undefined,
    beforeWrite: undefined,
    get connections() {
      return connections;
    },
    server: `https://127.0.0.1:${port}`,
    credentials: folder,
    async [Symbol.asyncDispose]() {
      await closeServer(server, Promise.resolve(), 0);
      await Deno.remove(folder, { recursive: true });
    },
  };
  return self;
}
