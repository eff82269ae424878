/**
 * A peer on a socket that serves one large content and its list of chunks, well or not.
 *
 * @module
 */
import type { ChunkList } from "../../../lib/oci/chunk_list.ts";
import type { Peer } from "../../../lib/routing/router.ts";
import type { TestContent } from "../support/content.ts";
import { type RawServer, send, startRawServer, untilClosed } from "../support/raw_server.ts";

/** Bytes of one write. */
const PIECE = 256 * 1024;

/** What a peer does that is not as usual. */
export interface ChunkPeerOptions {
  /** What it takes for the content. */
  readonly bytes?: Uint8Array;
  /** Its list; `"hangs"` never comes. Default: none, and it says so. */
  readonly list?: ChunkList | "hangs";
  /** Awaited before it answers with its list. */
  readonly beforeList?: () => Promise<void>;
  /** Awaited before each write, with its place in the content and the number of the request. */
  readonly before?: (at: number, request: number) => Promise<void>;
  /** Ends the body before this place. */
  readonly breakAt?: number;
  /** Zone that it is known to be in. */
  readonly zone?: string;
}

/** A running peer. */
export interface ChunkPeer extends RawServer {
  readonly peer: Peer;
  /** Ranges that were asked for, in their order: `<start>-<end>`. */
  readonly ranges: readonly string[];
}

/**
 * Starts a peer.
 *
 * @param id Its identity.
 * @param content What it has.
 * @param options What it does.
 * @returns The running peer.
 */
export function startChunkPeer(
  id: string,
  content: TestContent,
  options: ChunkPeerOptions = {},
): ChunkPeer {
  const { bytes = content.bytes, list, before, breakAt = Infinity, zone } = options;
  const ranges: string[] = [];
  const server = startRawServer(async ({ target, headers }, connection) => {
    if (target.startsWith("/kagami/")) {
      if (list === "hangs") return await untilClosed(connection);
      await options.beforeList?.();
      const status = list === undefined ? "404 Not Found" : "200 OK";
      const body = list?.bytes ?? new Uint8Array();
      await send(connection, `HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\n\r\n`);
      return await send(connection, body);
    }
    const size = bytes.length;
    const asked = /^bytes=(\d+)-(\d*)$/.exec(headers.get("range") ?? "");
    const start = Number(asked?.[1] ?? 0);
    const end = Math.min(size - 1, Number(asked?.[2] || size));
    const request = ranges.push(`${start}-${end}`) - 1;
    await send(
      connection,
      `HTTP/1.1 ${asked === null ? "200 OK" : "206 Partial Content"}\r\n` +
        `Content-Length: ${end - start + 1}\r\n` +
        (asked === null ? "" : `Content-Range: bytes ${start}-${end}/${size}\r\n`) +
        (list === undefined ? "" : "X-Kagami-Chunks: 1048576\r\n") + "\r\n",
    );
    for (let at = start; at <= end; at += PIECE) {
      await before?.(at, request);
      await send(connection, bytes.subarray(at, Math.min(at + PIECE, end + 1, breakAt)));
      if (at + PIECE > breakAt) return;
    }
  });
  const peer: Peer = {
    id,
    addresses: ["127.0.0.1"],
    registryPort: server.port,
    ...(zone === undefined ? {} : { zone }),
  };
  return Object.assign(server, { peer, ranges });
}
