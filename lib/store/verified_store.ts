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
import { NotFoundError, UnavailableError, VerificationError } from "../errors.ts";
import { type ChunkList, ChunkListBuilder } from "../oci/chunk_list.ts";
import type { Digest } from "../oci/digest.ts";
import type { Logger } from "../observability/logger.ts";
import type { Span, Tracing } from "../observability/tracing.ts";
import { sleep } from "../sleep.ts";
import { SmallContents } from "./small_contents.ts";
import type {
  ByteRange,
  ContentReader,
  Descriptor,
  Ingests,
  Source,
  Store,
  StoreEntry,
  StoreEvent,
} from "./store.ts";

/** Size of the reads while hashing, in bytes. */
export const VERIFICATION_BUFFER_SIZE = 1024 * 1024;

/**
 * Contents that are hashed at the same time; more would only make each of them slower. Those of a single read do not
 * count: a manifest must not wait for layers.
 */
export const MAX_CONCURRENT_VERIFICATIONS = 2;

/** Verified contents that are remembered; some 200 bytes each. */
export const MAX_VERIFIED_CONTENTS = 65_536;

/** Memory for lists of chunks, in bytes: those of some 200 GB of content. */
export const MAX_CHUNK_LIST_MEMORY = 8 * 1024 * 1024;

/** New contents that wait to be verified before anybody asks for them; beyond it they wait for being asked for. */
export const MAX_EARLY_VERIFICATIONS = 1024;

/** How long at most such a content waits until nothing is on its way to this node, in milliseconds. */
export const MAX_EARLY_DELAY_MS = 30_000;

/** How often that is looked at, in milliseconds. */
const BUSY_LOOK_MS = 200;

/** A content that was found right. */
interface Verified {
  readonly version: string;
  /** Left out for content of one chunk, and where memory has no room for it. */
  readonly chunks?: ChunkList;
}

/** Options of {@linkcode VerifiedStore}. */
export interface VerifiedStoreOptions {
  readonly log: Logger;
  /** Called for each content that turns out to be corrupt. */
  readonly onCorrupt?: (digest: Digest) => void;
  /** Whether content is on its way to this node; what nobody has asked for yet is verified afterwards. */
  readonly isBusy?: () => boolean;
  /** Left out where traces are off. */
  readonly tracing?: Tracing;
}

/** Wraps a store and serves only what matches its digest. */
export class VerifiedStore implements Store {
  readonly #inner: Store;
  readonly #options: VerifiedStoreOptions;
  /** What was found right, by digest, oldest first. */
  readonly #verified = new Map<Digest, Verified>();
  readonly #small = new SmallContents();
  #chunkMemory = 0;
  /** Contents that the last listing had; undefined before the first one. */
  #listed: ReadonlySet<Digest> | undefined;
  /** New contents that are still to be verified. */
  readonly #early = new Set<Digest>();
  #isVerifyingEarly = false;
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

  /** Whoever writes the content verifies it: an ingest yields its last bytes only after that. */
  get ingests(): Ingests {
    return this.#inner.ingests ?? NO_INGESTS;
  }

  resolve(reference: string): Promise<Digest> {
    return this.#inner.resolve(reference);
  }

  async descriptor(digest: Digest): Promise<Descriptor> {
    const descriptor = await this.#inner.descriptor(digest);
    if (this.#corrupt.has(digest)) await this.#recheck(digest);
    return descriptor;
  }

  sources(digest: Digest): Promise<readonly Source[]> {
    return this.#inner.sources(digest);
  }

  /** Opens corrupt content once more: it may have been replaced by then. */
  async #recheck(digest: Digest): Promise<void> {
    await (await this.open(digest)).close();
  }

  async open(digest: Digest, range?: ByteRange): Promise<ContentReader> {
    while (true) {
      const reader = await this.#inner.open(digest, range);
      const version = versionOf(reader);
      if (this.#verified.get(digest)?.version === version) return reader;
      await reader.close();
      if (this.#corrupt.get(digest) === version) throw corruptError(digest);
      await this.#verifyOnce(digest);
    }
  }

  /** What was found right is right for good; whether it is still here the caller has just asked. */
  kept(digest: Digest): Uint8Array | undefined {
    return this.#small.get(digest);
  }

  async #verifyOnce(digest: Digest): Promise<void> {
    let running = this.#running.get(digest);
    if (running === undefined) {
      running = this.#verify(digest).finally(() => this.#running.delete(digest));
      this.#running.set(digest, running);
    }
    await running;
  }

  /**
   * The list of a content's chunks.
   *
   * @param digest Digest of the content.
   * @returns The list; undefined if the content was not found right yet, has only one chunk, or memory had no room.
   * @throws {NotFoundError} If the store does not hold the content.
   * @throws {UnavailableError} If the store cannot be asked.
   */
  async chunkList(digest: Digest): Promise<ChunkList | undefined> {
    const verified = this.#verified.get(digest);
    if (verified?.chunks === undefined) return undefined;
    const reader = await this.#inner.open(digest);
    await reader.close();
    return versionOf(reader) === verified.version ? verified.chunks : undefined;
  }

  #verify(digest: Digest, pace: Pace = atOnce): Promise<void> {
    const { tracing } = this.#options;
    if (tracing === undefined) return this.#verifyNow(digest, pace);
    return tracing.run(
      "verify",
      { "kagami.digest": digest },
      (span) => this.#verifyNow(digest, pace, span),
    );
  }

  async #verifyNow(digest: Digest, pace: Pace, span?: Span): Promise<void> {
    const reader = await this.#inner.open(digest);
    const isSmall = reader.size <= VERIFICATION_BUFFER_SIZE;
    if (!isSmall) await this.#acquire();
    try {
      const { matches, list, bytes } = await this.#hash(digest, reader, pace);
      span?.set({ "kagami.size": reader.size, "kagami.matches": matches });
      if (matches) this.#remember(digest, versionOf(reader), list, bytes);
      else this.#condemn(digest, versionOf(reader));
    } finally {
      if (!isSmall) this.#release();
      await reader.close();
    }
  }

  async #hash(
    digest: Digest,
    reader: ContentReader,
    pace: Pace,
  ): Promise<ReturnType<ChunkListBuilder["finish"]> & { readonly bytes?: Uint8Array }> {
    const builder = new ChunkListBuilder(digest);
    const buffer = new Uint8Array(Math.min(VERIFICATION_BUFFER_SIZE, Math.max(1, reader.size)));
    let pieces = 0;
    try {
      while (true) {
        this.#abort.signal.throwIfAborted();
        const startedAt = performance.now();
        const count = await reader.read(buffer);
        // After a single piece the buffer still holds all of it.
        if (count === 0) {
          return pieces === 1 ? { ...builder.finish(), bytes: buffer } : builder.finish();
        }
        pieces += 1;
        builder.update(buffer.subarray(0, count));
        await pace(performance.now() - startedAt, this.#abort.signal);
      }
    } catch (error) {
      if (error instanceof VerificationError) return { matches: false, list: undefined };
      throw error;
    }
  }

  #remember(
    digest: Digest,
    version: string,
    list: ChunkList | undefined,
    bytes: Uint8Array | undefined,
  ): void {
    this.#corrupt.delete(digest);
    this.#forget(digest);
    if (bytes !== undefined) this.#small.set(digest, bytes);
    // A list that left no room for others would push out the content itself.
    const fits = list !== undefined && list.bytes.length <= MAX_CHUNK_LIST_MEMORY / 4;
    const chunks = fits && list.count > 1 ? list : undefined;
    this.#verified.set(digest, chunks === undefined ? { version } : { version, chunks });
    this.#chunkMemory += chunks?.bytes.length ?? 0;
    while (
      this.#verified.size > MAX_VERIFIED_CONTENTS || this.#chunkMemory > MAX_CHUNK_LIST_MEMORY
    ) {
      this.#forget(this.#verified.keys().next().value!);
    }
  }

  #forget(digest: Digest): void {
    this.#small.delete(digest);
    this.#chunkMemory -= this.#verified.get(digest)?.chunks?.bytes.length ?? 0;
    this.#verified.delete(digest);
  }

  #condemn(digest: Digest, version: string): void {
    this.#forget(digest);
    this.#corrupt.set(digest, version);
    this.#options.log.error("stored content does not match its digest and is not served", {
      digest,
      // Not the content alone: containerd fetches nothing that it has unpacked once.
      remedy: "remove the images that it belongs to, and pull them anew: crictl rmi <image>",
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
    const listed = new Set(entries.map((entry) => entry.digest));
    this.#verifyNew(listed);
    for (const [digest, version] of this.#corrupt) {
      // What is gone needs no memory, and what was replaced deserves another judgement: both when they are asked for.
      if (!listed.has(digest) || await this.#isReplaced(digest, version)) {
        this.#corrupt.delete(digest);
      }
    }
    return entries.filter((entry) => !this.#corrupt.has(entry.digest));
  }

  async #isReplaced(digest: Digest, version: string): Promise<boolean> {
    try {
      const reader = await this.#inner.open(digest);
      await reader.close();
      return versionOf(reader) !== version;
    } catch {
      return false; // It cannot be told now; the next listing tries again.
    }
  }

  /**
   * Verifies what has come since the last listing, so that nobody has to wait for it. What was there at the start waits
   * for being asked for: reading all of a store would cost more than it brings.
   */
  #verifyNew(listed: ReadonlySet<Digest>): void {
    for (const digest of this.#listed === undefined ? [] : listed) {
      if (this.#listed!.has(digest) || this.#early.size >= MAX_EARLY_VERIFICATIONS) continue;
      this.#early.add(digest);
    }
    this.#listed = listed;
    if (!this.#isVerifyingEarly) void this.#verifyEarly();
  }

  async #verifyEarly(): Promise<void> {
    this.#isVerifyingEarly = true;
    for (const digest of this.#early) {
      await this.#untilIdle();
      this.#early.delete(digest);
      if (this.#abort.signal.aborted) break;
      if (this.#verified.has(digest) || this.#running.has(digest)) continue;
      try {
        await this.#verify(digest, halfOfTheTime);
      } catch (error) {
        // Gone again, or the store is away: it is verified when somebody asks.
        this.#options.log.debug("content was not verified early", { digest, error });
      }
    }
    this.#isVerifyingEarly = false;
  }

  /** A pull needs the cores more: it has its content hashed as it comes, and by containerd. */
  async #untilIdle(): Promise<void> {
    const { signal } = this.#abort;
    const until = performance.now() + MAX_EARLY_DELAY_MS;
    while (this.#options.isBusy?.() && performance.now() < until && !signal.aborted) {
      await sleep(BUSY_LOOK_MS, signal);
    }
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
      let pending = this.#next(inner);
      while (true) {
        const result = await Promise.race([pending, wake.promise]);
        // Renewed before events are handed out: one that comes meanwhile wakes the next round.
        wake = Promise.withResolvers();
        yield* own.splice(0);
        if (result === undefined) continue;
        if (result.done) return;
        pending = this.#next(inner);
        yield result.value;
      }
    } finally {
      this.#watchers.delete(notify);
      // Not awaited: it waits for the pending event. The signal is what ends the inner watch.
      inner.return?.().catch(() => {});
    }
  }

  #next(inner: AsyncIterator<StoreEvent>): Promise<IteratorResult<StoreEvent>> {
    const pending = inner.next();
    // It may fail while the watcher is busy with the event before; it is looked at afterwards.
    pending.catch(() => {});
    return pending;
  }

  status(): ReturnType<Store["status"]> {
    return this.#inner.status();
  }

  close(): Promise<void> {
    this.#abort.abort(new UnavailableError("the store is closed"));
    return this.#inner.close();
  }
}

const NO_INGESTS: Ingests = {
  list: () => Promise.resolve([]),
  find: () => Promise.resolve(undefined),
  watch: () => {},
};

/** Waits after some work that took so long, in milliseconds. */
type Pace = (workedMs: number, signal: AbortSignal) => Promise<void>;

const atOnce: Pace = () => Promise.resolve();

const halfOfTheTime: Pace = (workedMs, signal) => sleep(workedMs, signal);

function versionOf(reader: ContentReader): string {
  return reader.version ?? String(reader.size);
}

function corruptError(digest: Digest): NotFoundError {
  return new NotFoundError(`stored content does not match ${digest}`);
}
