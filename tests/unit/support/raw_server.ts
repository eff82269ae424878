/**
 * A TCP server whose every byte the test decides: for faults that a real registry cannot be made to show.
 *
 * @module
 */

/** One request as it came in. */
export interface RawRequest {
  readonly method: string;
  readonly target: string;
  /** Header values by lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
}

/** Answers a request; the connection is closed when it returns. */
export type RawHandler = (request: RawRequest, connection: Deno.TcpConn) => Promise<void>;

/** A running raw server. */
export interface RawServer extends AsyncDisposable {
  readonly port: number;
  /** All requests so far. */
  readonly requests: readonly RawRequest[];
}

const encoder = new TextEncoder();

/** Writes all of a text or of some bytes. */
export async function send(
  connection: Pick<Deno.Conn, "write">,
  data: string | Uint8Array,
): Promise<void> {
  const bytes = typeof data === "string" ? encoder.encode(data) : data;
  let written = 0;
  while (written < bytes.length) written += await connection.write(bytes.subarray(written));
}

/** Waits until the client closes the connection. */
export async function untilClosed(connection: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(1024);
  while (await connection.read(buffer) !== null);
}

async function readRequest(connection: Deno.Conn): Promise<RawRequest | undefined> {
  const buffer = new Uint8Array(1024);
  let text = "";
  while (!text.includes("\r\n\r\n")) {
    const count = await connection.read(buffer);
    if (count === null) return undefined;
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
  const [first = "", ...lines] = text.slice(0, text.indexOf("\r\n\r\n")).split("\r\n");
  const [method = "", target = ""] = first.split(" ");
  const headers = new Map(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
  }));
  return { method, target, headers };
}

/**
 * Starts a server, on a free port of the loopback address unless told otherwise.
 *
 * @param handler Answers each request.
 * @param hostname Address to listen on.
 * @param port Port to listen on, 0 for any free one.
 * @returns The server.
 */
export function startRawServer(
  handler: RawHandler,
  hostname = "127.0.0.1",
  port = 0,
): RawServer {
  const listener = Deno.listen({ hostname, port });
  const connections = new Set<Deno.Conn>();
  const running = new Set<Promise<void>>();
  const requests: RawRequest[] = [];

  async function serve(connection: Deno.TcpConn): Promise<void> {
    try {
      const request = await readRequest(connection);
      if (request === undefined) return;
      requests.push(request);
      await handler(request, connection);
    } catch {
      // The client closed first, or the server is being stopped.
    } finally {
      connections.delete(connection);
      try {
        connection.close();
      } catch {
        // Closed by the disposal below.
      }
    }
  }
  const accepting = (async () => {
    for await (const connection of listener) {
      connections.add(connection);
      const served = serve(connection);
      running.add(served);
      served.finally(() => running.delete(served));
    }
  })();
  return {
    port: listener.addr.port,
    requests,
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const connection of connections) connection.close();
      connections.clear();
      await accepting;
      await Promise.all(running);
    },
  };
}
