/**
 * Answers on a stream that another node of the DHT has opened, in place of kad-dht's own loop. That one sets up a time
 * limit of ten seconds for each message and leaves it running: a hundred thousand announcements, as many as come within
 * seconds when a node joins a cluster of twenty, held 100 MB for as long.
 *
 * @module
 */
import { InvalidMessageError, type Stream, TimeoutError } from "@libp2p/interface";
import { byteStream } from "@libp2p/utils";
import { decodeDhtMessage, type DhtMessage, encodeDhtMessage } from "./dht_message.ts";

/** A stream without messages is given up after this time, in milliseconds; the same as in go-libp2p-kad-dht. */
export const STREAM_IDLE_MS = 60_000;

/** Longest message in bytes. What Kagami, kad-dht and Spegel send is below 2 KiB. */
export const MAX_MESSAGE_BYTES = 64 * 1024;

/**
 * Answers all messages of a stream, one after the other, until the other side closes it.
 *
 * @param stream The stream.
 * @param handle Handles a message; what it returns is sent.
 * @param idleMs See {@linkcode STREAM_IDLE_MS}.
 */
export async function serveIncoming(
  stream: Stream,
  handle: (message: DhtMessage) => Promise<DhtMessage | undefined>,
  idleMs: number = STREAM_IDLE_MS,
): Promise<void> {
  const input = byteStream(stream);
  let isAnswering = false;
  let lastAt = performance.now();
  // One timer for the whole stream, which looks how long it has been idle: messages come by the thousand.
  const check = () => {
    const idle = isAnswering ? 0 : performance.now() - lastAt;
    if (idle >= idleMs) stream.abort(new TimeoutError(`no message within ${idleMs} ms`));
    else timer = setTimeout(check, idleMs - idle);
  };
  let timer = setTimeout(check, idleMs);
  try {
    let rest: Uint8Array = new Uint8Array();
    while (true) {
      const chunk = await input.read();
      if (chunk === null) break;
      isAnswering = true;
      rest = await answerAll(joined(rest, chunk.subarray()), stream, handle);
      isAnswering = false;
      lastAt = performance.now();
    }
    if (rest.length > 0) throw new InvalidMessageError("the stream ended within a message");
    await stream.close();
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)));
  } finally {
    clearTimeout(timer);
  }
}

/** Answers the messages that are whole, and returns the bytes that are left. */
async function answerAll(
  bytes: Uint8Array,
  stream: Stream,
  handle: (message: DhtMessage) => Promise<DhtMessage | undefined>,
): Promise<Uint8Array> {
  let at = 0;
  while (true) {
    const frame = nextFrame(bytes, at);
    // Copied, so that the few bytes do not keep all that came with them.
    if (frame === undefined) return bytes.slice(at);
    at = frame.end;
    const answer = await handle(decodeDhtMessage(bytes.subarray(frame.start, frame.end)));
    if (answer !== undefined && !stream.send(encodeDhtMessage(answer))) await stream.onDrain();
  }
}

/** Where the next message lies; undefined if it is not whole. */
function nextFrame(
  bytes: Uint8Array,
  from: number,
): { readonly start: number; readonly end: number } | undefined {
  let length = 0;
  let factor = 1;
  for (let at = from; at < bytes.length; at++) {
    length += (bytes[at]! & 0x7f) * factor;
    if (length > MAX_MESSAGE_BYTES || factor > MAX_MESSAGE_BYTES) {
      throw new InvalidMessageError(`a message is longer than ${MAX_MESSAGE_BYTES} bytes`);
    }
    if (bytes[at]! < 0x80) {
      const end = at + 1 + length;
      return end <= bytes.length ? { start: at + 1, end } : undefined;
    }
    factor *= 128;
  }
  return undefined;
}

function joined(rest: Uint8Array, chunk: Uint8Array): Uint8Array {
  if (rest.length === 0) return chunk;
  const whole = new Uint8Array(rest.length + chunk.length);
  whole.set(rest);
  whole.set(chunk, rest.length);
  return whole;
}
