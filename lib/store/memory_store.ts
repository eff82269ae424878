/**
 * A store in memory, for tests.
 *
 * @module
 */
import { NotFoundError, VerificationError } from "../errors.ts";
import { type Digest, sha256Digest } from "../oci/digest.ts";
import { parseManifest } from "../oci/manifest.ts";
import { OCTET_STREAM } from "../oci/media_types.ts";
import { EventChannel } from "./event_channel.ts";
import { checkRange } from "./file_reader.ts";
import { imageEntries, sourcesIn, type StoredContent } from "./image_entries.ts";
import type {
  ByteRange,
  ContentReader,
  Descriptor,
  Source,
  Store,
  StoreEntry,
  StoreEvent,
  StoreStatus,
} from "./store.ts";

interface MemoryContent {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly sources: readonly Source[];
  readonly children: readonly Digest[];
  readonly subject: Digest | undefined;
}

/**
 * Holds content and image names in memory.
 *
 * @example
 * ```ts
 * const store = new MemoryStore();
 * const digest = store.put(new TextEncoder().encode("layer"));
 * store.tag("docker.io/library/nginx:1.27", digest);
 * ```
 */
export class MemoryStore implements Store {
  readonly name = "memory";
  readonly #contents = new Map<Digest, MemoryContent>();
  readonly #images = new Map<string, Digest>();
  readonly #watchers = new Set<EventChannel>();

  /**
   * Adds content.
   *
   * @param bytes The content.
   * @param sources Where it comes from.
   * @param digest Digest to keep it under; a wrong one makes the content corrupt.
   * @returns The digest.
   */
  put(
    bytes: Uint8Array,
    sources: readonly Source[] = [],
    digest: Digest = sha256Digest(bytes),
  ): Digest {
    const manifest = parseManifest(bytes);
    this.#contents.set(digest, {
      bytes,
      mediaType: manifest?.mediaType ?? OCTET_STREAM,
      sources,
      children: manifest?.children.map((child) => child.digest) ?? [],
      subject: manifest?.referral?.subject,
    });
    this.#notify({ type: "changed", digest });
    return digest;
  }

  /** Removes content. */
  remove(digest: Digest): void {
    this.#contents.delete(digest);
    this.#notify({ type: "changed", digest });
  }

  /** Names an image. */
  tag(name: string, target: Digest): void {
    this.#images.set(name, target);
    this.#notify({ type: "changed", reference: name });
  }

  /** Removes an image's name. */
  untag(name: string): void {
    this.#images.delete(name);
    this.#notify({ type: "changed", reference: name });
  }

  #notify(event: StoreEvent): void {
    for (const watcher of this.#watchers) watcher.push(event);
  }

  resolve(reference: string): Promise<Digest> {
    const digest = this.#images.get(reference);
    if (digest !== undefined) return Promise.resolve(digest);
    return Promise.reject(new NotFoundError(`no image ${reference}`));
  }

  #content(digest: Digest): MemoryContent {
    const content = this.#contents.get(digest);
    if (content === undefined) throw new NotFoundError(`no content ${digest}`);
    return content;
  }

  async sources(digest: Digest): Promise<readonly Source[]> {
    this.#content(digest);
    return sourcesIn(await this.list(), digest);
  }

  // deno-lint-ignore require-await -- async turns what is thrown into a rejection
  async descriptor(digest: Digest): Promise<Descriptor> {
    const { mediaType, bytes, subject } = this.#content(digest);
    const size = bytes.length;
    return { digest, mediaType, size, ...(subject === undefined ? {} : { subject }) };
  }

  // deno-lint-ignore require-await -- async turns what is thrown into a rejection
  async open(digest: Digest, range?: ByteRange): Promise<ContentReader> {
    const { bytes } = this.#content(digest);
    checkRange(range, bytes.length);
    return new BytesReader(bytes, range ?? { start: 0, end: bytes.length - 1 });
  }

  list(): Promise<StoreEntry[]> {
    const images = [...this.#images].map(([name, target]) => ({ name, target }));
    return Promise.resolve(
      imageEntries(images, this.#contents as ReadonlyMap<Digest, StoredContent>),
    );
  }

  async *watch(signal: AbortSignal): AsyncIterable<StoreEvent> {
    const channel = new EventChannel();
    channel.push({ type: "reset" });
    this.#watchers.add(channel);
    try {
      yield* channel.events(signal);
    } finally {
      this.#watchers.delete(channel);
    }
  }

  status(): Promise<StoreStatus> {
    return Promise.resolve({ ready: true, detail: `${this.#contents.size} contents` });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

class BytesReader implements ContentReader {
  readonly size: number;
  readonly start: number;
  readonly end: number;
  readonly #bytes: Uint8Array;
  #at: number;
  #closed = false;

  constructor(bytes: Uint8Array, range: ByteRange) {
    this.#bytes = bytes;
    this.size = bytes.length;
    this.start = range.start;
    this.end = range.end;
    this.#at = range.start;
  }

  read(into: Uint8Array): Promise<number> {
    if (this.#closed) return Promise.reject(new VerificationError("the reader is closed"));
    const part = this.#bytes.subarray(this.#at, Math.min(this.end + 1, this.#at + into.length));
    into.set(part);
    this.#at += part.length;
    return Promise.resolve(part.length);
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }
}
