/**
 * Notices changes in containerd's store.
 *
 * Events of containerd tell of images, but not of every content; the folder of blobs tells of content, but not of
 * names. Together they make changes prompt. What both miss is found by the next walk.
 *
 * @module
 */
import { DIGEST_ALGORITHMS, isDigest } from "../../oci/digest.ts";
import type { Logger } from "../../observability/logger.ts";
import { sleep } from "../../sleep.ts";
import { EventChannel } from "../event_channel.ts";
import type { StoreEvent } from "../store.ts";
import { watchFolders } from "../watch_folders.ts";
import type { ContainerdClient } from "./containerd_client.ts";
import { preflight } from "./preflight.ts";
import { METHODS } from "./schema.ts";

/** Pause between attempts to reach containerd, in milliseconds. */
export const RECONNECT_MS = 1000;

/**
 * Pause between markers until one comes back, in milliseconds. containerd does not say when a subscription has begun;
 * a marker that comes back does.
 */
export const MARKER_INTERVAL_MS = 50;

/** A subscription whose marker does not come back in this time is given up, in milliseconds. */
export const SUBSCRIBE_TIMEOUT_MS = 10_000;

const MARKER_TOPIC = "/kagami/subscribed";

/** Options of {@linkcode ContainerdWatcher}. */
export interface ContainerdWatcherOptions {
  readonly client: ContainerdClient;
  readonly namespace: string;
  readonly contentPath: string;
  readonly log: Logger;
}

/** Watches a containerd through restarts. */
export class ContainerdWatcher {
  readonly #options: ContainerdWatcherOptions;
  /** Last failure that was logged, so that an absence is told once and not every second. */
  #lastFailure: string | undefined;

  /**
   * @param options Client and content directory.
   */
  constructor(options: ContainerdWatcherOptions) {
    this.#options = options;
  }

  /**
   * Watches.
   *
   * @param signal Ends the watch.
   * @returns `reset` each time that events flow (again), and changes.
   */
  async *watch(signal: AbortSignal): AsyncGenerator<StoreEvent> {
    const channel = new EventChannel();
    const subscribing = this.#keepSubscribed(channel, signal);
    yield* channel.events(signal);
    await subscribing;
  }

  async #keepSubscribed(channel: EventChannel, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const attempt = new AbortController();
      try {
        await this.#subscribe(channel, AbortSignal.any([signal, attempt.signal]));
      } catch (error) {
        if (!signal.aborted) this.#tell(error);
      } finally {
        attempt.abort();
      }
      await sleep(RECONNECT_MS, signal);
    }
  }

  #tell(error: unknown): void {
    const { log } = this.#options;
    const message = error instanceof Error ? error.message : String(error);
    if (message === this.#lastFailure) return;
    this.#lastFailure = message;
    log.error("containerd does not answer, trying again every second", { error });
  }

  /** Forwards events until the stream ends. */
  async #subscribe(channel: EventChannel, signal: AbortSignal): Promise<void> {
    const { client, namespace, contentPath, log } = this.#options;
    await preflight({ client, contentPath, log });
    this.#lastFailure = undefined;
    const filters = [`namespace==${namespace},topic~="^/(images|content|kagami)/"`];
    const call = client.stream(METHODS.subscribe, { filters });
    const cancel = () => call.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    const marking = new AbortController();
    try {
      void this.#mark(cancel, AbortSignal.any([signal, marking.signal]));
      for await (const { topic } of call as AsyncIterable<{ topic: string }>) {
        const hasBegun = marking.signal.aborted;
        // Before it has, the reset to come says it all.
        if (hasBegun && topic !== MARKER_TOPIC) channel.push({ type: "changed" });
        if (hasBegun || topic !== MARKER_TOPIC) continue;
        marking.abort();
        channel.push({ type: "reset" });
        this.#watchBlobs(channel, signal);
      }
      throw new Error("the stream of events ended");
    } catch (error) {
      throw client.asStoreError(error);
    } finally {
      marking.abort();
      signal.removeEventListener("abort", cancel);
      call.cancel();
    }
  }

  /** Publishes markers until one is seen; gives up by `cancel`. */
  async #mark(cancel: () => void, signal: AbortSignal): Promise<void> {
    const event = { typeUrl: "google.protobuf.Empty", value: new Uint8Array() };
    const deadline = performance.now() + SUBSCRIBE_TIMEOUT_MS;
    while (!signal.aborted && performance.now() < deadline) {
      try {
        await this.#options.client.call(METHODS.publish, { topic: MARKER_TOPIC, event });
      } catch {
        break; // The subscription fails for the same reason.
      }
      await sleep(MARKER_INTERVAL_MS, signal);
    }
    if (!signal.aborted) cancel();
  }

  #watchBlobs(channel: EventChannel, signal: AbortSignal): void {
    const { contentPath } = this.#options;
    const algorithms = Object.keys(DIGEST_ALGORITHMS);
    // An empty store has none of the folders; the outer ones tell when the inner ones come.
    const folders = ["", "/blobs", ...algorithms.map((name) => `/blobs/${name}`)];
    watchFolders(folders.map((folder) => contentPath + folder), (path) => {
      const [hex, algorithm] = path.split("/").reverse();
      const digest = `${algorithm}:${hex}`;
      channel.push(isDigest(digest) ? { type: "changed", digest } : { type: "changed" });
    }, signal);
  }
}
