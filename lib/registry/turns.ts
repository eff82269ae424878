/**
 * Requests of one connection take turns.
 *
 * A client may send requests ahead, before it has the answers (RFC 9112, 9.3.2), and `node:http` hands all of them out
 * at once. Each would hold a file and buffers until its answer can be sent, so that a single connection could take up
 * all memory.
 *
 * @module
 */

/** Most unanswered requests of one connection. Clients of registries send none ahead. */
export const MAX_PIPELINED_REQUESTS = 16;

interface Line {
  last: Promise<void>;
  length: number;
}

/** Runs the tasks of each connection one after the other, in the order in which they come. */
export class Turns {
  readonly #lines = new WeakMap<object, Line>();

  /**
   * Runs a task when all earlier ones of the connection are over.
   *
   * @param connection What the task belongs to.
   * @param task Must not reject.
   * @returns False if too many wait already; the task will not be run then.
   */
  take(connection: object, task: () => Promise<void>): boolean {
    const line = this.#lines.get(connection) ?? { last: Promise.resolve(), length: 0 };
    if (line.length >= MAX_PIPELINED_REQUESTS) return false;
    this.#lines.set(connection, line);
    line.length += 1;
    const running = line.length === 1 ? task() : line.last.then(task);
    line.last = running.then(() => {
      line.length -= 1;
    });
    return true;
  }
}
