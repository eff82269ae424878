/**
 * A peer that serves one content, well or with a chosen fault.
 *
 * @module
 */
import type { Peer } from "../../../lib/routing/router.ts";
import { type RawServer, send, startRawServer, untilClosed } from "./raw_server.ts";
import type { TestContent } from "./content.ts";

/** What a peer does to a GET. */
export type Fault =
  | "none"
  | "not found"
  | "server error"
  | "hangs before the head"
  | "hangs in the body"
  | "breaks in the body"
  | "wrong bytes"
  | "shorter than announced"
  | "200 to a range"
  | "wrong digest header";

/** A running peer. */
export interface FaultPeer extends RawServer {
  readonly peer: Peer;
}

/**
 * Starts a peer.
 *
 * @param id Its identity.
 * @param content What it has.
 * @param fault What it does wrong.
 * @param mediaType Content type of the answer.
 * @returns The running peer.
 */
export function startFaultPeer(
  id: string,
  content: TestContent,
  fault: Fault = "none",
  mediaType = "application/octet-stream",
): FaultPeer {
  const server = startRawServer(async (request, connection) => {
    if (fault === "hangs before the head") return await untilClosed(connection);
    if (fault === "not found" || fault === "server error") {
      const status = fault === "not found" ? "404 Not Found" : "500 Internal Server Error";
      return await send(connection, `HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
    }
    const size = content.bytes.length;
    const match = /^bytes=([0-9]+)-([0-9]*)$/.exec(request.headers.get("range") ?? "");
    const isPart = match !== null && fault !== "200 to a range";
    const start = isPart ? Number(match[1]) : 0;
    const end = isPart && match[2] ? Math.min(Number(match[2]), size - 1) : size - 1;
    let body = content.bytes.slice(start, end + 1);
    if (fault === "wrong bytes") body = body.map((byte) => byte ^ 0xff);
    const digest = fault === "wrong digest header" ? `sha256:${"0".repeat(64)}` : content.digest;
    const range = isPart ? `Content-Range: bytes ${start}-${end}/${size}\r\n` : "";
    await send(
      connection,
      `HTTP/1.1 ${
        isPart ? "206 Partial Content" : "200 OK"
      }\r\nContent-Length: ${body.length}\r\n` +
        `Content-Type: ${mediaType}\r\nDocker-Content-Digest: ${digest}\r\n${range}\r\n`,
    );
    if (request.method === "HEAD") return;
    const isCut = fault === "breaks in the body" || fault === "hangs in the body" ||
      fault === "shorter than announced";
    await send(connection, isCut ? body.subarray(0, Math.floor(body.length / 2)) : body);
    if (fault === "hangs in the body") await untilClosed(connection);
  });
  const peer = { id, addresses: ["127.0.0.1"], registryPort: server.port };
  return Object.assign(server, { peer });
}
