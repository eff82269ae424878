/**
 * JSON over a libp2p stream: one value, and the end.
 *
 * @module
 */
import { type Stream, StreamBufferError } from "@libp2p/interface";
import { byteStream } from "@libp2p/utils";
import { concatenate } from "../../concatenate.ts";

/** What may come at once beyond a limit before it is noticed, in bytes. */
const ROOM_BYTES = 64 * 1024;

/**
 * Reads a stream to its end.
 *
 * @param stream The stream.
 * @param limit Most bytes.
 * @param signal Ends it.
 * @returns All of its bytes.
 * @throws {RangeError} If there are more.
 * @throws If the stream breaks, or the signal is aborted.
 */
export async function readToEnd(
  stream: Stream,
  limit: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  // Iterating over the stream itself would wait for ever for an end that came before the iteration began.
  const bytes = byteStream(stream, { maxBufferSize: limit + ROOM_BYTES });
  const parts: Uint8Array[] = [];
  let size = 0;
  while (true) {
    const part = await bytes.read({ signal }).catch((error) => {
      throw error instanceof StreamBufferError ? tooLong(error) : error;
    });
    if (part === null) break;
    size += part.byteLength;
    if (size > limit) throw tooLong();
    parts.push(part.subarray());
  }
  return concatenate(parts);
}

function tooLong(cause?: unknown): RangeError {
  return new RangeError("message is too long", { cause });
}

/**
 * Reads one JSON value.
 *
 * @param bytes Its text.
 * @returns The value; undefined if it is none.
 */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

/**
 * Writes one JSON value.
 *
 * @param value The value.
 * @returns Its text.
 */
export function encodeJson(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value));
}
