/**
 * A peer that serves one content, well or with a chosen fault.
 *
 * @module
 */
import type { Peer } from "../../../lib/routing/router.ts";
import {
  type RawHandler,
  type RawServer,
  send,
  startRawServer,
  untilClosed,
} from "./raw_server.ts";
import type { TestContent } from "./content.ts";

/** What a peer does to a GET. */
export type Fault =
  | "none"
  | "not found"
  | "server error"
  | "hangs before the head"
  | "hangs in the body"
  | "breaks in the body"
  | "trickles"
  | "wrong bytes"
  | "wrong bytes in the second half"
  | "shorter than announced"
  | "cut short"
  | "too long"
  | "200 to a range"
  | "breaks, then 200 to a range"
  | "wrong digest header";

/** Time between the bytes of a peer that trickles, in milliseconds. */
const TRICKLE_MS = 50;

/** What a content is cut short or too long by, in bytes. */
const WRONG_BY = 1000;

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
  const server = startRawServer(faultHandler(content, fault, { "Content-Type": mediaType }));
  const peer = { id, addresses: ["127.0.0.1"], registryPort: server.port };
  return Object.assign(server, { peer });
}

/**
 * Answers requests for one content, well or with a chosen fault.
 *
 * @param content What there is.
 * @param fault What is done wrong.
 * @param headers Further headers of the answer.
 * @returns The handler.
 */
export function faultHandler(
  content: TestContent,
  fault: Fault,
  headers: Readonly<Record<string, string>> = {},
): RawHandler {
  const told = toldBytes(content.bytes, fault);
  const size = told.length;
  const further = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return async (request, connection) => {
    if (fault === "hangs before the head") return await untilClosed(connection);
    if (fault === "not found" || fault === "server error") {
      const status = fault === "not found" ? "404 Not Found" : "500 Internal Server Error";
      return await send(connection, `HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
    }
    const match = /^bytes=([0-9]+)-([0-9]*)$/.exec(request.headers.get("range") ?? "");
    const isPart = match !== null && !fault.endsWith("200 to a range");
    const start = isPart ? Number(match[1]) : 0;
    const end = isPart && match[2] ? Math.min(Number(match[2]), size - 1) : size - 1;
    const body = told.slice(start, end + 1);
    const digest = fault === "wrong digest header" ? `sha256:${"0".repeat(64)}` : content.digest;
    const range = isPart ? `Content-Range: bytes ${start}-${end}/${size}\r\n` : "";
    await send(
      connection,
      `HTTP/1.1 ${
        isPart ? "206 Partial Content" : "200 OK"
      }\r\nContent-Length: ${body.length}\r\n` +
        `${further}Docker-Content-Digest: ${digest}\r\n${range}\r\n`,
    );
    if (request.method === "HEAD") return;
    if (fault === "trickles") return await trickle(connection, body);
    const isCut = fault === "breaks in the body" || fault === "hangs in the body" ||
      fault === "shorter than announced" || (fault.startsWith("breaks,") && match === null);
    await send(connection, isCut ? body.subarray(0, Math.floor(body.length / 2)) : body);
    if (fault === "hangs in the body") await untilClosed(connection);
  };
}

/** The content as the peer claims it to be. */
function toldBytes(bytes: Uint8Array, fault: Fault): Uint8Array {
  const { length } = bytes;
  if (fault === "wrong bytes") return bytes.map((byte) => byte ^ 0xff);
  if (fault === "wrong bytes in the second half") {
    return bytes.map((byte, index) => index < length / 2 ? byte : byte ^ 0xff);
  }
  if (fault === "cut short") return bytes.subarray(0, length - WRONG_BY);
  if (fault === "too long") {
    const longer = new Uint8Array(length + WRONG_BY);
    longer.set(bytes);
    return longer;
  }
  return bytes;
}

async function trickle(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; at++) {
    await send(connection, bytes.subarray(at, at + 1));
    await new Promise((resolve) => setTimeout(resolve, TRICKLE_MS));
  }
}
