/**
 * A store whose content has been checked against its digest before the first byte of it leaves the node.
 *
 * containerd fails a pull, without asking another source, when a body is complete and wrong. A digest over the
 * bytes as they pass by notices too late: the wrong bytes are gone by then, and the client resumes behind
 * them. So each content is hashed once, before it is first served; `ContentReader.version` tells when that
 * has to be done again. Content that is wrong is treated as if it were not there, until it is replaced.
 *
 * @module
 */
import { NotFoundError, VerificationError } from "../errors.ts";
import { type Digest, hasherFor, splitDigest } from "../oci/digest.ts";
import type { Logger } from "../observability/logger.ts";
import type {
  ByteRange,
  ContentReader,
  Descriptor,
  Store,
  StoreEntry,
  StoreEvent,
} from "./store.ts";

/** Contents that are hashed at the same time; more would only make each of them slower. */
export const MAX_CONCURRENT_VERIFICATIONS = 2;

/** Size of the reads while hashing, in bytes. */
export const VERIFICATION_BUFFER_SIZE = 1024 * 1024;

/** Verified contents that are remembered; some 200 bytes each. */
export const MAX_VERIFIED_CONTENTS = 65_536;

/** Options of {@linkcode VerifiedStore}. */
export interface VerifiedStoreOptions {
  readonly log: Logger;
  /** Called for each content that turns out to be corrupt. */
  readonly onCorrupt?: (digest: Digest) => void;
}

/** Wraps a store and serves only what matches its digest. */
export class VerifiedStore implements Store {
  readonly #inner: Store;
  readonly #options: VerifiedStoreOptions;
  /** Version that was found right, by digest, oldest first. */
  readonly #verified = new Map<Digest, string>();
  /** Version that was found wrong, by digest. */
  readonly #corrupt = new Map<Digest, string>();
  readonly #running = new Map<Digest, Promise<void>>();
  readonly #waiting: (() => void)[] = [];
  readonly #watchers = new Set<(event: StoreEvent) => void>();
  readonly #abort = new AbortController();
  #active = 0;

  /**
   * @param inner The store to wrap; closed together with this one.
   * @param options Log and callbacks.
   */
  constructor(inner: Store, options: VerifiedStoreOptions) {
    this.#inner = inner;
    this.#options = options;
  }

  get name(): string {
    return this.#inner.name;
  }

  resolve(reference: string): Promise<Digest> {
    return this.#inner.resolve(reference);
  }

  async descriptor(digest: Digest): Promise<Descriptor> {
    const descriptor = await this.#inner.descriptor(digest);
    if (this.#corrupt.has(digest)) await this.#recheck(digest);
    return descriptor;
  }

  /** Opens corrupt content once more: it may have been replaced by then. */
  async #recheck(digest: Digest): Promise<void> {
    await (await this.open(digest)).close();
  }

  async open(digest: Digest, range?: ByteRange): Promise<ContentReader> {
    while (true) {
      const reader = await this.#inner.open(digest, range);
      const version = versionOf(reader);
      if (this.#verified.get(digest) === version) return reader;
      await reader.close();
      if (this.#corrupt.get(digest) === version) throw corruptError(digest);
      await this.#verifyOnce(digest);
    }
  }

  async #verifyOnce(digest: Digest): Promise<void> {
    let running = this.#running.get(digest);
    if (running === undefined) {
      running = this.#verify(digest).finally(() => this.#running.delete(digest));
      this.#running.set(digest, running);
    }
    await running;
  }

  async #verify(digest: Digest): Promise<void> {
    await this.#acquire();
    try {
      const reader = await this.#inner.open(digest);
      try {
        const matches = await this.#matches(digest, reader);
        if (matches) this.#remember(digest, versionOf(reader));
        else this.#condemn(digest, versionOf(reader));
      } finally {
        await reader.close();
      }
    } finally {
      this.#release();
    }
  }

  async #matches(digest: Digest, reader: ContentReader): Promise<boolean> {
    const hash = hasherFor(digest);
    const buffer = new Uint8Array(Math.min(VERIFICATION_BUFFER_SIZE, Math.max(1, reader.size)));
    try {
      while (true) {
        this.#abort.signal.throwIfAborted();
        const count = await reader.read(buffer);
        if (count === 0) return hash.digest("hex") === splitDigest(digest).hex;
        hash.update(buffer.subarray(0, count));
      }
    } catch (error) {
      if (error instanceof VerificationError) return false;
      throw error;
    }
  }

  #remember(digest: Digest, version: string): void {
    this.#corrupt.delete(digest);
    this.#verified.delete(digest);
    this.#verified.set(digest, version);
    const oldest = this.#verified.keys().next();
    if (this.#verified.size > MAX_VERIFIED_CONTENTS && !oldest.done) {
      this.#verified.delete(oldest.value);
    }
  }

  #condemn(digest: Digest, version: string): void {
    this.#verified.delete(digest);
    this.#corrupt.set(digest, version);
    this.#options.log.error("stored content does not match its digest and is not served", {
      digest,
      remedy: `remove it so that it is pulled anew: ctr -n k8s.io content rm ${digest}`,
    });
    this.#options.onCorrupt?.(digest);
    for (const notify of this.#watchers) notify({ type: "changed", digest });
  }

  async #acquire(): Promise<void> {
    if (this.#active >= MAX_CONCURRENT_VERIFICATIONS) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      await promise;
      return;
    }
    this.#active += 1;
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#active -= 1;
    else next();
  }

  async list(): Promise<StoreEntry[]> {
    const entries = await this.#inner.list();
    if (this.#corrupt.size === 0) return entries;
    const listed = new Set(entries.map((entry) => entry.digest));
    // What is gone from the store needs no memory; it is judged anew when it comes back.
    for (const digest of this.#corrupt.keys()) {
      if (!listed.has(digest)) this.#corrupt.delete(digest);
    }
    return entries.filter((entry) => !this.#corrupt.has(entry.digest));
  }

  async *watch(signal: AbortSignal): AsyncIterable<StoreEvent> {
    const own: StoreEvent[] = [];
    let wake = Promise.withResolvers<void>();
    const notify = (event: StoreEvent) => {
      own.push(event);
      wake.resolve();
    };
    this.#watchers.add(notify);
    const inner = this.#inner.watch(signal)[Symbol.asyncIterator]();
    try {
      let pending = inner.next();
      while (true) {
        const result = await Promise.race([pending, wake.promise]);
        // Renewed before events are handed out: one that comes meanwhile wakes the next round.
        wake = Promise.withResolvers();
        yield* own.splice(0);
        if (result === undefined) continue;
        if (result.done) return;
        pending = inner.next();
        yield result.value;
      }
    } finally {
      this.#watchers.delete(notify);
      // Not awaited: it waits for the pending event. The signal is what ends the inner watch.
      inner.return?.().catch(() => {});
    }
  }

  status(): ReturnType<Store["status"]> {
    return this.#inner.status();
  }

  close(): Promise<void> {
    this.#abort.abort();
    return this.#inner.close();
  }
}

function versionOf(reader: ContentReader): string {
  return reader.version ?? String(reader.size);
}

function corruptError(digest: Digest): NotFoundError {
  return new NotFoundError(`stored content does not match ${digest}`);
}
