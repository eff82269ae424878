/**
 * Hands the events of a store to one watcher.
 *
 * @module
 */
import type { StoreEvent } from "./store.ts";

/**
 * Most events that wait for a slow watcher. Beyond it they are replaced by one `reset`, which says the same: look
 * at everything.
 */
export const MAX_WAITING_EVENTS = 1024;

/** Queue from callbacks to an async iterator, bounded. */
export class EventChannel {
  #waiting: StoreEvent[] = [];
  #wake = Promise.withResolvers<void>();

  /**
   * Adds an event.
   *
   * @param event What changed.
   */
  push(event: StoreEvent): void {
    if (this.#waiting.length >= MAX_WAITING_EVENTS) this.#waiting = [{ type: "reset" }];
    else this.#waiting.push(event);
    this.#wake.resolve();
  }

  /**
   * Yields events as they come.
   *
   * @param signal Ends the stream.
   */
  async *events(signal: AbortSignal): AsyncGenerator<StoreEvent> {
    const stop = () => this.#wake.resolve();
    signal.addEventListener("abort", stop, { once: true });
    try {
      while (!signal.aborted) {
        const event = this.#waiting.shift();
        if (event !== undefined) {
          yield event;
          continue;
        }
        await this.#wake.promise;
        this.#wake = Promise.withResolvers();
      }
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }
}
