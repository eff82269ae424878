/**
 * A small HTTP/1.1 client for the one thing that mirrors ask each other: a GET or HEAD without a body.
 *
 * `fetch` costs twice the CPU for a passing stream (docs/architecture, "Measured choices"), has no bound on
 * connecting or on a stalled body, and cannot read into a caller's buffer. What this client does not
 * understand it refuses: the caller then asks another peer or lets containerd go upstream.
 *
 * @see RFC 9112
 * @module
 */
import { KagamiError, PeerError } from "../errors.ts";
import { PEER_NAME } from "../net/certificate.ts";
import type { ConnectionPool } from "./connection_pool.ts";
import { Deadline } from "./deadline.ts";

/** Longest response head (status line and headers) in bytes. Mirrors send below 1 KiB. */
export const MAX_HEAD_BYTES = 16 * 1024;

/** Time limits of a request, in milliseconds. */
export interface HttpTimeouts {
  /** Until the connection stands. */
  readonly connectMs: number;
  /** From the request until the response head is complete; starts anew with each interim response. */
  readonly headMs: number;
  /** The same with all interim responses. */
  readonly interimMs: number;
  /** Longest wait for the next byte of the body. */
  readonly stallMs: number;
}

/** A request to a peer. */
export interface HttpRequest {
  /** IPv4 or IPv6 literal without brackets. */
  readonly address: string;
  readonly port: number;
  readonly method: "GET" | "HEAD";
  /** Path and query; must be free of control characters and blanks. */
  readonly target: string;
  /** Header names and values; `Host` and `Connection` are added. */
  readonly headers: Readonly<Record<string, string>>;
  readonly timeouts: HttpTimeouts;
  /** Certificate (PEM) of the one server that is spoken to, over TLS; plain HTTP without it. */
  readonly certificate?: string;
  /** Where connections are kept; without one each request has a connection of its own. */
  readonly pool?: ConnectionPool;
  /** Called when there is a connection to send the request on. */
  readonly onConnected?: () => void;
  /** Called for each interim response: the server works on the answer. */
  readonly onInterim?: () => void;
  /** Ends the request and its body. */
  readonly signal?: AbortSignal;
}

/** A response whose body is still to be read. */
export interface HttpResponse {
  readonly status: number;
  /** Header values by lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
  /** Value of `Content-Length`; undefined if there is none. */
  readonly contentLength: number | undefined;
  /**
   * Reads the next bytes of the body.
   *
   * @param into Filled from its beginning.
   * @returns Number of bytes, 0 at the end that `Content-Length` announced.
   * @throws {PeerError} If the body stalls, breaks or ends early.
   */
  read(into: Uint8Array): Promise<number>;
  /**
   * Ends the response: its connection is kept if the body was read to its end, else closed. Safe to call twice, and while
   * a read is under way.
   */
  close(): void;
}

const HEAD_END = [13, 10, 13, 10];
const STATUS_LINE = /^HTTP\/1\.[01] ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;
const UNSAFE_TEXT = /[^\x21-\x7e]/;
const UNSAFE_HEADER = /[^\t\x20-\x7e]/;
const latin1 = new TextDecoder("latin1");
const encoder = new TextEncoder();

/**
 * Sends a request and waits for the response head.
 *
 * @param request What to send, and the time limits.
 * @returns The response; the caller must `close` it.
 * @throws {PeerError} If the peer cannot be reached, is too slow, or does not speak clean HTTP/1.1.
 */
export async function httpRequest(request: HttpRequest): Promise<HttpResponse> {
  const head = formatHead(request);
  const kept = request.pool?.take(placeOf(request));
  if (kept !== undefined) {
    try {
      return await exchange(request, head, kept);
    } catch (error) {
      // Closed by the peer while it was idle; a connection of its own decides.
      if (request.signal?.aborted || !isClosedBeforeHead(error)) throw error;
    }
  }
  return await exchange(request, head, await connect(request));
}

/** Where a kept connection leads to: with another certificate it is another server. */
function placeOf({ address, port, certificate }: HttpRequest): string {
  return `${hostAndPort(address, port)} ${certificate ?? ""}`;
}

/** Nobody is there who has the certificate: the server was started anew, or is another one. */
export class OtherServerError extends PeerError {}

/** The connection ended before a byte of the response came. */
class NoResponseError extends PeerError {}

function isClosedBeforeHead(error: unknown): boolean {
  return error instanceof PeerError && error.cause instanceof NoResponseError;
}

async function exchange(
  request: HttpRequest,
  head: Uint8Array,
  connection: Deno.Conn,
): Promise<HttpResponse> {
  const abort = () => closeQuietly(connection);
  request.signal?.addEventListener("abort", abort, { once: true });
  // What waits on the connection ends with it.
  const deadline = new Deadline(abort);
  const giveUpAt = performance.now() + request.timeouts.interimMs;
  const restart = () => {
    const leftMs = Math.max(0, giveUpAt - performance.now());
    deadline.start(Math.min(request.timeouts.headMs, leftMs), "sent no response head");
  };
  try {
    if (request.signal?.aborted) throw new PeerError("request was aborted");
    request.onConnected?.();
    restart();
    await writeHead(connection, head);
    const { parsed, rest } = await readHead(connection, () => {
      restart();
      request.onInterim?.();
    });
    deadline.stop();
    return new SocketResponse(connection, request, parsed, rest, deadline, abort);
  } catch (cause) {
    request.signal?.removeEventListener("abort", abort);
    deadline[Symbol.dispose]();
    closeQuietly(connection);
    throw explain(request, deadline, cause);
  }
}

/** `address:port` with brackets for IPv6, for `Host` headers and messages. */
export function hostAndPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

function formatHead(request: HttpRequest): Uint8Array {
  if (UNSAFE_TEXT.test(request.target)) {
    throw new PeerError(`request target ${JSON.stringify(request.target)} has unsafe characters`);
  }
  const lines = [
    `${request.method} ${request.target} HTTP/1.1`,
    `Host: ${hostAndPort(request.address, request.port)}`,
    `Connection: ${request.pool === undefined ? "close" : "keep-alive"}`,
  ];
  for (const [name, value] of Object.entries(request.headers)) {
    if (UNSAFE_HEADER.test(value)) throw new PeerError(`header ${name} has unsafe characters`);
    lines.push(`${name}: ${value}`);
  }
  return encoder.encode(lines.join("\r\n") + "\r\n\r\n");
}

async function connect(request: HttpRequest): Promise<Deno.Conn> {
  const { certificate } = request;
  const abort = new AbortController();
  const forward = () => abort.abort();
  request.signal?.addEventListener("abort", forward, { once: true });
  if (request.signal?.aborted) abort.abort();
  const timer = setTimeout(forward, request.timeouts.connectMs);
  try {
    const connection = await Deno.connect({
      hostname: request.address,
      port: request.port,
      signal: abort.signal,
    });
    connection.setNoDelay(true);
    return certificate === undefined
      ? connection
      : await secured(connection, certificate, abort.signal);
  } catch (cause) {
    const where = hostAndPort(request.address, request.port);
    if (request.signal?.aborted) throw new PeerError(`request to ${where} was aborted`, { cause });
    const reason = abort.signal.aborted ? ` within ${request.timeouts.connectMs} ms` : "";
    const message = `cannot connect to ${where}${reason}`;
    const isOther = certificate !== undefined && isRefusal(cause);
    throw isOther ? new OtherServerError(message, { cause }) : new PeerError(message, { cause });
  } finally {
    clearTimeout(timer);
    request.signal?.removeEventListener("abort", forward);
  }
}

/**
 * Speaks TLS. The certificate is all that is trusted to have signed the server's, which is itself; public authorities,
 * which Deno always trusts as well, have nothing to do with the name.
 */
async function secured(
  connection: Deno.TcpConn,
  certificate: string,
  signal: AbortSignal,
): Promise<Deno.TlsConn> {
  const tls = await Deno.startTls(connection, { hostname: PEER_NAME, caCerts: [certificate] });
  const close = () => closeQuietly(tls);
  signal.addEventListener("abort", close, { once: true });
  if (signal.aborted) close();
  try {
    await tls.handshake();
    return tls;
  } catch (error) {
    close();
    throw error;
  } finally {
    signal.removeEventListener("abort", close);
  }
}

/** Whether somebody said no, or is not who was expected; not a loss on the way. */
function isRefusal(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionRefused || error instanceof Deno.errors.InvalidData;
}

/** What ended a request, in words. */
function explain(request: HttpRequest, deadline: Deadline, cause: unknown): KagamiError {
  const where = hostAndPort(request.address, request.port);
  if (deadline.expired !== undefined) return new PeerError(`peer ${where} ${deadline.expired}`);
  if (request.signal?.aborted) return new PeerError(`request to ${where} was aborted`);
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new PeerError(`peer ${where}: ${reason}`, { cause });
}

async function writeHead(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  try {
    let written = 0;
    while (written < bytes.length) written += await connection.write(bytes.subarray(written));
  } catch (cause) {
    throw new NoResponseError("connection closed before the request was sent", { cause });
  }
}

interface ParsedHead {
  readonly status: number;
  /** Whether the connection can be used again. */
  readonly isKept: boolean;
  readonly headers: Map<string, string>;
  readonly contentLength: number | undefined;
}

async function readHead(
  connection: Deno.Conn,
  onInterim: () => void,
): Promise<{ parsed: ParsedHead; rest: Uint8Array }> {
  const buffer = new Uint8Array(MAX_HEAD_BYTES);
  let filled = 0;
  let searched = 0;
  while (true) {
    const end = findHeadEnd(buffer, searched, filled);
    if (end >= 0) {
      const parsed = parseHead(latin1.decode(buffer.subarray(0, end)));
      const rest = buffer.slice(end + HEAD_END.length, filled);
      // An interim response (1xx) is followed by the real one.
      if (parsed.status >= 200) return { parsed, rest };
      onInterim();
      buffer.set(rest);
      filled = rest.length;
      searched = 0;
      continue;
    }
    searched = Math.max(0, filled - HEAD_END.length + 1);
    if (filled === buffer.length) throw new PeerError(`response head over ${MAX_HEAD_BYTES} bytes`);
    const count = await readSome(connection, buffer.subarray(filled));
    if (count === null) {
      const message = "connection closed before the response head ended";
      throw filled === 0 ? new NoResponseError(message) : new PeerError(message);
    }
    filled += count;
  }
}

/** A reset is an end, too, and so is one without the farewell of TLS. */
async function readSome(connection: Deno.Conn, into: Uint8Array): Promise<number | null> {
  try {
    return await connection.read(into);
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionReset) return null;
    if (error instanceof Deno.errors.UnexpectedEof) return null;
    throw error;
  }
}

function findHeadEnd(buffer: Uint8Array, from: number, filled: number): number {
  for (let index = from; index + HEAD_END.length <= filled; index++) {
    if (HEAD_END.every((byte, offset) => buffer[index + offset] === byte)) return index;
  }
  return -1;
}

/**
 * Parses a response head.
 *
 * @param text Status line and header lines, without the empty line at the end.
 * @returns Status, headers and length.
 * @throws {PeerError} On anything that RFC 9112 does not allow, and on transfer encodings, which mirrors do not
 * use.
 */
export function parseHead(text: string): ParsedHead {
  const [statusLine = "", ...lines] = text.split("\r\n");
  const status = STATUS_LINE.exec(statusLine)?.[1];
  if (status === undefined) throw new PeerError("malformed status line");
  const headers = new Map<string, string>();
  for (const line of lines) {
    const match = HEADER_LINE.exec(line);
    const [, name, value] = match ?? [];
    if (name === undefined || value === undefined) throw new PeerError("malformed header line");
    const key = name.toLowerCase();
    const earlier = headers.get(key);
    if (earlier !== undefined && key === "content-length" && earlier !== value) {
      throw new PeerError("contradicting Content-Length headers");
    }
    headers.set(
      key,
      earlier === undefined || key === "content-length" ? value : `${earlier}, ${value}`,
    );
  }
  if (headers.has("transfer-encoding")) throw new PeerError("Transfer-Encoding is not supported");
  const isKept = statusLine.startsWith("HTTP/1.1 ") &&
    !/\bclose\b/i.test(headers.get("connection") ?? "");
  return { status: Number(status), headers, contentLength: lengthOf(headers), isKept };
}

function lengthOf(headers: ReadonlyMap<string, string>): number | undefined {
  const text = headers.get("content-length");
  if (text === undefined) return undefined;
  const length = /^[0-9]{1,15}$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(length)) throw new PeerError("malformed Content-Length");
  return length;
}

class SocketResponse implements HttpResponse {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly contentLength: number | undefined;
  readonly #connection: Deno.Conn;
  readonly #request: HttpRequest;
  readonly #deadline: Deadline;
  readonly #abort: () => void;
  #rest: Uint8Array;
  #remaining: number;
  /** Whether the connection can be used again, once the body has been read. */
  #isKept: boolean;
  #reading = false;
  #closed = false;

  constructor(
    connection: Deno.Conn,
    request: HttpRequest,
    head: ParsedHead,
    rest: Uint8Array,
    deadline: Deadline,
    abort: () => void,
  ) {
    this.status = head.status;
    this.headers = head.headers;
    this.contentLength = head.contentLength;
    this.#connection = connection;
    this.#request = request;
    this.#deadline = deadline;
    this.#abort = abort;
    const hasBody = request.method === "GET" && head.status !== 204 && head.status !== 304;
    this.#remaining = hasBody ? head.contentLength ?? 0 : 0;
    this.#rest = rest.subarray(0, this.#remaining);
    // Bytes behind the body, or a body whose end only the connection's tells, make it of no further use.
    this.#isKept = head.isKept && rest.length <= this.#remaining &&
      (!hasBody || head.contentLength !== undefined);
  }

  async read(into: Uint8Array): Promise<number> {
    if (this.#remaining === 0) return 0;
    if (this.#closed) throw new PeerError("the body was closed before its end");
    const wanted = into.subarray(0, Math.min(into.length, this.#remaining));
    if (this.#rest.length > 0) return this.#take(wanted);
    this.#deadline.start(this.#request.timeouts.stallMs, "sent no byte of the body");
    this.#reading = true;
    try {
      const count = await this.#connection.read(wanted);
      if (count === null) throw new PeerError(`body ended ${this.#remaining} bytes early`);
      this.#remaining -= count;
      return count;
    } catch (cause) {
      this.#isKept = false;
      this.close();
      throw explain(this.#request, this.#deadline, cause);
    } finally {
      this.#reading = false;
      this.#deadline.stop();
    }
  }

  #take(wanted: Uint8Array): number {
    const part = this.#rest.subarray(0, wanted.length);
    wanted.set(part);
    this.#rest = this.#rest.subarray(part.length);
    this.#remaining -= part.length;
    return part.length;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { signal, pool } = this.#request;
    signal?.removeEventListener("abort", this.#abort);
    this.#deadline[Symbol.dispose]();
    const isWhole = this.#isKept && this.#remaining === 0 && !this.#reading && !signal?.aborted;
    if (pool !== undefined && isWhole) pool.give(placeOf(this.#request), this.#connection);
    else closeQuietly(this.#connection);
  }
}

function closeQuietly(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // Already closed by a deadline or an abort.
  }
}
