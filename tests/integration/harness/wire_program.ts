/**
 * Somebody on the way between nodes: listens where a node's peers come over TLS, while the node itself listens on
 * loopback alone.
 *
 * One argument: {@linkcode WireSetup} as JSON. Each connection that comes is a line on standard output.
 *
 * @module
 */
import { createCertificate } from "../../../lib/net/certificate.ts";
import { send, untilClosed } from "../../unit/support/raw_server.ts";

/** What it is to do. */
export interface WireSetup {
  /** Address to listen on. */
  readonly hostname: string;
  readonly port: number;
  /** Passes all on, and writes what passes to this file; left out, it poses as the node. */
  readonly recording?: string;
}

async function say(line: string): Promise<void> {
  await send({ write: (bytes) => Deno.stdout.write(bytes) }, `${line}\n`);
}

async function copy(from: Deno.Conn, to: Deno.Conn, file: Deno.FsFile): Promise<void> {
  const buffer = new Uint8Array(256 * 1024);
  try {
    for (let count; (count = await from.read(buffer)) !== null;) {
      file.writeSync(buffer.subarray(0, count));
      await send(to, buffer.subarray(0, count));
    }
  } catch {
    // One side is gone.
  }
  for (const connection of [from, to]) {
    try {
      connection.close();
    } catch {
      // Closed by the other direction.
    }
  }
}

async function record({ hostname, port }: WireSetup, recording: string): Promise<void> {
  const file = await Deno.open(recording, { write: true, create: true });
  const listener = Deno.listen({ hostname, port });
  await say("listening");
  for await (const connection of listener) {
    await say("connection");
    const node = await Deno.connect({ hostname: "127.0.0.1", port });
    void copy(connection, node, file);
    void copy(node, connection, file);
  }
}

/** Does all that a node does, but cannot have its key. */
async function pose({ hostname, port }: WireSetup): Promise<void> {
  const { certificate: cert, key } = createCertificate();
  const listener = Deno.listen({ hostname, port });
  await say("listening");
  for await (const connection of listener) {
    await say("connection");
    using server = Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key });
    const { port: own } = server.addr as Deno.NetAddr;
    const inner = await Deno.connect({ hostname: "127.0.0.1", port: own });
    using nowhere = await Deno.open("/dev/null", { write: true });
    void copy(connection, inner, nowhere);
    void copy(inner, connection, nowhere);
    const tls = await server.accept();
    try {
      await tls.handshake();
      const bytes = new Uint8Array(1024);
      const count = await tls.read(bytes);
      if (count !== null) {
        await say(`request ${new TextDecoder().decode(bytes.subarray(0, count))}`);
      }
      await untilClosed(tls);
    } catch {
      await say("refused");
    }
  }
}

const setup: WireSetup = JSON.parse(Deno.args[0] ?? "");
if (setup.recording === undefined) await pose(setup);
else await record(setup, setup.recording);
