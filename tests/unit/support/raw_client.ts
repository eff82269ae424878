/**
 * An HTTP/1.1 client whose every byte the test decides, and which hides nothing of the answer.
 *
 * @module
 */
import { send } from "./raw_server.ts";

/** Longest life of a connection, in milliseconds: a server that never answers fails the test. */
const LIFETIME_MS = 60_000;

/** An answer as it came in. */
export interface RawAnswer {
  readonly status: number;
  /** Header values by lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
  /** Exactly as many bytes as `Content-Length` announced. */
  readonly body: Uint8Array;
}

/** What was still to come when the server closed the connection. */
export interface RawEnd {
  readonly bytes: Uint8Array;
  /** True if the connection was reset rather than closed. */
  readonly reset: boolean;
}

/** A connection to a server on the loopback address. */
export class RawClient implements Disposable {
  readonly #connection: Deno.TcpConn;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #chunks: Uint8Array[] = [];
  #length = 0;
  #closed = false;

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
    this.#timer = setTimeout(() => this.close(), LIFETIME_MS);
  }

  /** Connects. */
  static async connect(port: number): Promise<RawClient> {
    return new RawClient(await Deno.connect({ hostname: "127.0.0.1", port }));
  }

  /** Sends text or bytes as they are. */
  send(data: string | Uint8Array): Promise<void> {
    return send(this.#connection, data);
  }

  /** Sends a request without a body. */
  ask(
    method: string,
    target: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const lines = Object.entries({ Host: "mirror", ...headers })
      .map(([name, value]) => `${name}: ${value}\r\n`);
    return this.send(`${method} ${target} HTTP/1.1\r\n${lines.join("")}\r\n`);
  }

  /** Sends a request and waits for its answer. */
  async request(
    method: string,
    target: string,
    headers?: Readonly<Record<string, string>>,
  ): Promise<RawAnswer> {
    await this.ask(method, target, headers);
    return await this.receive(method);
  }

  /**
   * Waits for the next answer.
   *
   * @param method Method of its request: HEAD has no body.
   * @throws If the connection ends before the whole answer is there.
   */
  async receive(method = "GET"): Promise<RawAnswer> {
    const { status, headers } = await this.receiveHead();
    const hasBody = method !== "HEAD" && status >= 200 && status !== 204 && status !== 304;
    const body = await this.take(hasBody ? Number(headers.get("content-length") ?? 0) : 0);
    return { status, headers, body };
  }

  /** Waits for the next head of an answer. */
  async receiveHead(): Promise<Omit<RawAnswer, "body">> {
    let text = "";
    while (true) {
      text = new TextDecoder("latin1").decode(this.#peek());
      if (text.includes("\r\n\r\n")) break;
      if (!await this.#read()) throw new Error(`no whole head, only ${JSON.stringify(text)}`);
    }
    const end = text.indexOf("\r\n\r\n");
    this.#remove(end + 4);
    const [first = "", ...lines] = text.slice(0, end).split("\r\n");
    const status = /^HTTP\/1\.1 ([0-9]{3}) /.exec(first)?.[1];
    if (status === undefined) throw new Error(`no status line: ${JSON.stringify(first)}`);
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(":");
      const name = line.slice(0, colon).toLowerCase();
      if (headers.has(name)) throw new Error(`header ${name} twice`);
      headers.set(name, line.slice(colon + 1).trim());
    }
    return { status: Number(status), headers };
  }

  /** Waits for so many bytes. */
  async take(count: number): Promise<Uint8Array> {
    while (this.#length < count) {
      if (!await this.#read()) {
        throw new Error(`connection ended after ${this.#length} of ${count} bytes`);
      }
    }
    return this.#remove(count);
  }

  /** Waits until the server closes the connection. */
  async ended(): Promise<RawEnd> {
    let reset = false;
    try {
      while (await this.#read());
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
      reset = true;
    }
    return { bytes: this.#remove(this.#length), reset };
  }

  /** Says that no more will be sent. */
  closeWrite(): Promise<void> {
    return this.#connection.closeWrite();
  }

  /** Closes the connection, whatever is under way on it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#connection.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #read(): Promise<boolean> {
    const chunk = new Uint8Array(65_536);
    const count = await this.#connection.read(chunk);
    if (count === null) return false;
    this.#chunks.push(chunk.subarray(0, count));
    this.#length += count;
    return true;
  }

  /** @returns All bytes that wait, as one piece. */
  #peek(): Uint8Array {
    const joined = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      joined.set(chunk, at);
      at += chunk.length;
    }
    this.#chunks.splice(0, Infinity, joined);
    return joined;
  }

  #remove(count: number): Uint8Array {
    const all = this.#peek();
    this.#chunks.splice(0, 1, all.subarray(count));
    this.#length -= count;
    return all.slice(0, count);
  }
}
