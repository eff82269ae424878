/**
 * Connections to peers that are kept for the next request. A lane that fetches a content in ranges would otherwise
 * connect for each of them.
 *
 * @module
 */

/** How long an idle connection is kept, in milliseconds; less than servers keep it. */
export const IDLE_CONNECTION_MS = 5000;

/** Most idle connections to one peer. */
export const MAX_IDLE_PER_PEER = 4;

/** Most idle connections in all; the oldest go first. */
export const MAX_IDLE_CONNECTIONS = 64;

interface Idle {
  readonly connection: Deno.Conn;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** Keeps idle connections by the address that they lead to. */
export class ConnectionPool implements Disposable {
  readonly #idle = new Map<string, Idle[]>();
  #count = 0;
  #closed = false;

  /** Number of idle connections. */
  get size(): number {
    return this.#count;
  }

  /**
   * Takes a connection; it may have been closed by the peer meanwhile.
   *
   * @param address Where it leads to.
   * @returns The connection that was used last; undefined if there is none.
   */
  take(address: string): Deno.Conn | undefined {
    const idle = this.#idle.get(address)?.pop();
    if (idle === undefined) return undefined;
    this.#forget(address);
    clearTimeout(idle.timer);
    return idle.connection;
  }

  /**
   * Gives a connection back whose last answer has been read to its end.
   *
   * @param address Where it leads to.
   * @param connection The connection; closed if there is no room for it.
   */
  give(address: string, connection: Deno.Conn): void {
    const kept = this.#idle.get(address) ?? [];
    if (this.#closed || kept.length >= MAX_IDLE_PER_PEER) return connection.close();
    if (this.#count >= MAX_IDLE_CONNECTIONS) this.#closeOldest();
    const timer = setTimeout(() => this.#expire(address, connection), IDLE_CONNECTION_MS);
    // An idle connection is no reason for the process to live on.
    Deno.unrefTimer(Number(timer));
    // Put back at the end, so that the map is in order of use.
    this.#idle.delete(address);
    this.#idle.set(address, [...kept, { connection, timer }]);
    this.#count += 1;
  }

  #expire(address: string, connection: Deno.Conn): void {
    const kept = this.#idle.get(address) ?? [];
    const at = kept.findIndex((idle) => idle.connection === connection);
    if (at < 0) return;
    kept.splice(at, 1);
    this.#forget(address);
    connection.close();
  }

  #closeOldest(): void {
    const [address, [oldest]] = this.#idle.entries().next().value!;
    clearTimeout(oldest!.timer);
    this.#expire(address, oldest!.connection);
  }

  #forget(address: string): void {
    this.#count -= 1;
    if (this.#idle.get(address)?.length === 0) this.#idle.delete(address);
  }

  /** Closes all idle connections, and those that are given back later. */
  [Symbol.dispose](): void {
    this.#closed = true;
    while (this.#count > 0) this.#closeOldest();
  }
}
