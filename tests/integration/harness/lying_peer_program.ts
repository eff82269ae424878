/**
 * A program that takes part in the DHT as any node does, but serves content with a fault. Each request that it gets for
 * content is a line on standard output.
 *
 * One argument: {@linkcode LyingPeerSetup} as JSON.
 *
 * @module
 */
import { sha256Digest } from "../../../lib/oci/digest.ts";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { StaticBootstrapper } from "../../../lib/routing/bootstrap/static.ts";
import { createLibp2pRouter } from "../../../lib/routing/libp2p/libp2p_router.ts";
import { CHUNKS_HEADER, CHUNKS_PATH } from "../../../lib/transfer/peer_client.ts";
import { makeContent, type TestContent } from "../../unit/support/content.ts";
import { type Fault, faultHandler } from "../../unit/support/fault_peer.ts";
import {
  type RawHandler,
  type RawRequest,
  send,
  startRawServer,
} from "../../unit/support/raw_server.ts";
import { lyingListOf } from "../../unit/transfer/fake_peers.ts";

/** What a lying peer is to do. */
export interface LyingPeerSetup {
  /** Router of a node to start from. */
  readonly bootstrap: string;
  /** Files of the content that it advertises. */
  readonly files: readonly string[];
  readonly fault: Fault;
  /** Whether it has a list of chunks that fits its lies, as far as one can. */
  readonly hasChunks: boolean;
  readonly ports: { readonly registry: number; readonly router: number };
}

/** A content that it serves well; whoever gets it knows of all the others. */
export const PROBE: TestContent = makeContent(1000);

const NOT_FOUND = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

function handlerFor(contents: readonly TestContent[], setup: LyingPeerSetup): RawHandler {
  const { fault, hasChunks } = setup;
  const headers = {
    "Content-Type": "application/octet-stream",
    ...(hasChunks ? { [CHUNKS_HEADER]: "1048576" } : {}),
  };
  const handlers = new Map(
    contents.map((content) => [content.digest, faultHandler(content, fault, headers)]),
  );
  handlers.set(PROBE.digest, faultHandler(PROBE, "none"));
  const contentOf = ({ target }: RawRequest) =>
    contents.find(({ digest }) => target.includes(digest));
  return async (request, connection) => {
    const { method, target } = request;
    const range = request.headers.get("range") ?? "";
    await Deno.stdout.write(new TextEncoder().encode(`${method} ${target} ${range}\n`));
    if (target.startsWith(CHUNKS_PATH)) {
      const content = contentOf(request);
      if (content === undefined || !hasChunks) return await send(connection, NOT_FOUND);
      const { bytes: list } = lyingListOf(content, content.bytes.map((byte) => byte ^ 0xff));
      await send(connection, `HTTP/1.1 200 OK\r\nContent-Length: ${list.length}\r\n\r\n`);
      return await send(connection, list);
    }
    const digest = contentOf(request)?.digest ??
      (target.includes(PROBE.digest) ? PROBE.digest : undefined);
    const handler = digest === undefined ? undefined : handlers.get(digest);
    if (handler === undefined) return await send(connection, NOT_FOUND);
    await handler(request, connection);
  };
}

async function main(setup: LyingPeerSetup): Promise<void> {
  const contents = await Promise.all(setup.files.map(async (file) => {
    const bytes = await Deno.readFile(file);
    return { bytes, digest: sha256Digest(bytes) };
  }));
  startRawServer(handlerFor(contents, setup), "0.0.0.0", setup.ports.registry);
  const router = await createLibp2pRouter({
    listenAddr: { host: undefined, port: setup.ports.router },
    registryPort: setup.ports.registry,
    bootstrapper: new StaticBootstrapper([setup.bootstrap]),
    log: silentLogger,
  });
  await router.advertise([...contents, PROBE].map(({ digest }) => digest));
}

if (import.meta.main) await main(JSON.parse(Deno.args[0]!));
