/**
 * JSON over a libp2p stream: one value, and the end.
 *
 * @module
 */
import type { Stream } from "@libp2p/interface";

/**
 * Reads a stream to its end.
 *
 * @param stream The stream.
 * @param limit Most bytes.
 * @param signal Ends it.
 * @returns All of its bytes.
 * @throws If the stream breaks, is too long, or the signal is aborted.
 */
export async function readToEnd(
  stream: Stream,
  limit: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const abort = () => stream.abort(new Error("took too long"));
  signal.addEventListener("abort", abort, { once: true });
  try {
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of stream) {
      const bytes = part instanceof Uint8Array ? part : part.subarray();
      size += bytes.length;
      if (size > limit) throw new RangeError("message is too long");
      parts.push(bytes);
    }
    const whole = new Uint8Array(size);
    parts.reduce((at, bytes) => (whole.set(bytes, at), at + bytes.length), 0);
    return whole;
  } finally {
    signal.removeEventListener("abort", abort);
  }
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
