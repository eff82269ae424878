/**
 * The servers that bench/serve.ts compares, each as a process of its own over the same files.
 *
 * @module
 */
import { createCertificate, PEER_NAME } from "../../lib/net/certificate.ts";
import { createLogger } from "../../lib/observability/logger.ts";
import { StaticBootstrapper } from "../../lib/routing/bootstrap/static.ts";
import { createLibp2pRouter } from "../../lib/routing/libp2p/libp2p_router.ts";
import type { TransferOffer } from "../../lib/routing/transfer_offer.ts";
import { TOKEN_HEADER } from "../../lib/transfer/peer_client.ts";
import { eventually, ManagedProcess } from "../../tests/integration/harness/process.ts";
import { freePort } from "../../tests/unit/support/free_port.ts";
import type { LayoutWriter } from "./layout.ts";
import { withChildren } from "./process_usage.ts";
import { Service } from "./service.ts";

/** A running server. */
export interface RunningServer extends AsyncDisposable {
  /** Its processes. */
  readonly pids: readonly number[];
  /** What the load generator needs besides the URL. */
  readonly loadArguments?: readonly string[];
  /** URL of a content. */
  url(kind: "blobs" | "manifests", digest: string): string;
  /** Command line that runs a program where the server can be reached. Left out if that is anywhere. */
  command?(...words: [string, ...string[]]): [string, ...string[]];
}

/** Starts a server over a layout; its log and what else it writes goes to the folder. */
export type StartServer = (layout: LayoutWriter, folder: string) => Promise<RunningServer>;

/**
 * Kagami: the real program.
 *
 * @param layout What it serves.
 * @param folder Folder for its log.
 * @returns The server.
 */
export async function startKagami(layout: LayoutWriter, folder: string): Promise<RunningServer> {
  const service = await Service.start({ layout: layout.path, folder });
  return {
    pids: [service.pid],
    url: (kind, digest) => service.contentUrl(kind, digest),
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

/**
 * Kagami, as a peer that fetches over TLS sees it.
 *
 * @param layout What it serves.
 * @param folder Folder for its log and its certificate.
 * @returns The server.
 */
export async function startKagamiTls(
  layout: LayoutWriter,
  folder: string,
): Promise<RunningServer> {
  await using stack = new AsyncDisposableStack();
  const service = stack.use(await Service.start({ layout: layout.path, folder }));
  const { port, certificate, token } = await offerOf(service.routerAddress);
  await Deno.writeTextFile(`${folder}/certificate.pem`, certificate);
  const owned = stack.move();
  return {
    pids: [service.pid],
    loadArguments: [...trusting(`${folder}/certificate.pem`), `-header=${TOKEN_HEADER}:${token}`],
    url(kind, digest) {
      const { pathname, search } = new URL(service.contentUrl(kind, digest));
      return `https://127.0.0.1:${port}${pathname}${search}`;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** What the load generator needs for a server with such a certificate. */
function trusting(certificate: string): string[] {
  return [`-certificate=${certificate}`, `-name=${PEER_NAME}`];
}

/** Joins the cluster of a service for as long as it takes to ask it. */
async function offerOf(address: string): Promise<TransferOffer> {
  const router = await createLibp2pRouter({
    listenAddr: { host: "127.0.0.1", port: 0 },
    registryPort: 5000,
    bootstrapper: new StaticBootstrapper([address]),
    log: createLogger({ level: "ERROR" }),
  });
  try {
    const peer = await eventually("the service is found", async () => (await router.peers())[0]);
    const offer = await router.offers.ask(peer.id, AbortSignal.timeout(10_000));
    if (offer === undefined) throw new Error("the service speaks no TLS");
    return offer;
  } finally {
    await router.stop();
  }
}

/**
 * Go's `http.ServeContent`.
 *
 * @param program The built `bench/baseline/serve_content.go`.
 * @returns How to start it.
 */
export function goServer(program: string): StartServer {
  return (layout, folder) =>
    startFileServer(folder, {
      name: "go",
      command: (port) => [program, `127.0.0.1:${port}`, layout.path],
    });
}

/**
 * Go's `http.ServeContent` over TLS 1.3, with a certificate as Kagami's.
 *
 * @param program The built `bench/baseline/serve_content.go`.
 * @returns How to start it.
 */
export function goTlsServer(program: string): StartServer {
  return async (layout, folder) => {
    const [certificate, key] = [`${folder}/certificate.pem`, `${folder}/key.pem`];
    const made = createCertificate();
    await Deno.writeTextFile(certificate, made.certificate);
    await Deno.writeTextFile(key, made.key);
    return await startFileServer(folder, {
      name: "go-tls",
      command: (port) => [program, `127.0.0.1:${port}`, layout.path, certificate, key],
      scheme: "https",
      loadArguments: trusting(certificate),
    });
  };
}

/**
 * nginx with sendfile.
 *
 * @param program Path of nginx, or its name where it is on PATH.
 * @returns How to start it; its configuration, log and temporary files go to the folder.
 */
export function nginxServer(program: string): StartServer {
  return (layout, folder) => startNginx(program, layout, folder);
}

async function startNginx(
  program: string,
  layout: LayoutWriter,
  folder: string,
): Promise<RunningServer> {
  const config = `${folder}/nginx.conf`;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/nginx-${name};`).join("\n  ");
  const command = async (port: number) => {
    await Deno.writeTextFile(
      config,
      `daemon off;
user root;
worker_processes auto;
pid ${folder}/nginx.pid;
error_log stderr;
events { worker_connections 256; }
http {
  ${temporary}
  access_log off;
  sendfile on;
  tcp_nopush on;
  default_type application/octet-stream;
  keepalive_requests 1000000;
  server { listen 127.0.0.1:${port}; root ${layout.path}; }
}
`,
    );
    return [program, "-e", "stderr", "-p", folder, "-c", config];
  };
  return await startFileServer(folder, { name: "nginx", command });
}

/** A server of others over the files of a folder. */
interface FileServer {
  readonly name: string;
  readonly command: (port: number) => string[] | Promise<string[]>;
  /** Default: `http`. */
  readonly scheme?: "http" | "https";
  readonly loadArguments?: readonly string[];
}

async function startFileServer(
  folder: string,
  { name, command, scheme = "http", loadArguments = [] }: FileServer,
): Promise<RunningServer> {
  const port = freePort();
  const [program, ...args] = await command(port);
  const process = await ManagedProcess.start(name, `${folder}/${name}.log`, program!, args);
  try {
    await eventually(`${name} listens`, async () => {
      using _connection = await Deno.connect({ hostname: "127.0.0.1", port });
      return true;
    });
    return {
      pids: await withChildren(process.pid),
      loadArguments,
      url: (_kind, digest) => `${scheme}://127.0.0.1:${port}/blobs/${digest.replace(":", "/")}`,
      [Symbol.asyncDispose]: () => process.stop(),
    };
  } catch (error) {
    await process.stop();
    throw new Error(`${name} did not start:\n${await process.output()}`, { cause: error });
  }
}
