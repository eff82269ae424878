/**
 * What Kagami needs of a content store. The registry serves from it, sync advertises what it lists.
 * Implementations: `containerd/`, `layout/` (OCI image-layout folder) and `memory_store.ts`; all of them
 * pass `tests/unit/store/compliance.ts`.
 *
 * @module
 */
import type { Libc } from "../net/libc.ts";
import type { Digest } from "../oci/digest.ts";

/** What is known of a piece of content without reading all of it. */
export interface Descriptor {
  readonly digest: Digest;
  /** Media type without parameters; `application/octet-stream` for a blob of unknown type. */
  readonly mediaType: string;
  /** Length in bytes. */
  readonly size: number;
  /** Only of a manifest that refers to another one: that one's digest. */
  readonly subject?: Digest;
}

/** A byte range, both ends inclusive, already checked against the content's size. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Sequential reader of one content or of a range of it. The caller owns the buffers, so that they can be
 * pooled. At most one `read` may be under way at a time.
 */
export interface ContentReader {
  /** Whole size of the content in bytes, whatever the range. */
  readonly size: number;
  /** First and last byte that this reader yields; `end` is `start - 1` for empty content. */
  readonly start: number;
  readonly end: number;
  /**
   * Text that changes whenever the stored bytes may have changed (for a file: inode, size and modification
   * time), so that a content once verified need not be verified again. Left out by readers that cannot know.
   */
  readonly version?: string;
  /**
   * Reads the next bytes.
   *
   * @param into Filled from its beginning; must not be empty.
   * @returns Number of bytes read (at least 1), or 0 at the end of the range.
   * @throws {VerificationError} If the content turns out shorter than announced.
   */
  read(into: Uint8Array): Promise<number>;
  /**
   * Hands out the next bytes from the reader's own memory, where it has them there anyway. Either this or `read` is used
   * for a reader, not both.
   *
   * @returns The bytes, which must be left alone after the next call; undefined at the end of the range.
   * @throws Like `read`.
   */
  next?(): Promise<Uint8Array | undefined>;
  /**
   * Lends the open file that the bytes lie in, so that the kernel can pass the next ones on by itself. Counts as a read, and
   * may alternate with `read`. Left out by readers of anything else than a file.
   *
   * @param libc Calls of the C library.
   * @param take Takes bytes of the file.
   * @returns What `take` returned; undefined if there is no file to lend.
   */
  lend?(libc: Libc, take: TakeFromFile): Promise<number | undefined>;
  /** Frees descriptors and connections. Safe to call twice, and while a read is under way. */
  close(): Promise<void>;
}

/**
 * Takes bytes of an open file.
 *
 * @param file Its descriptor, good until the promise is settled.
 * @param position Position of the next byte, from the beginning of the file.
 * @param left Bytes from there to the end of the range.
 * @returns Number of bytes taken, 0 or more.
 */
export type TakeFromFile = (file: number, position: number, left: number) => Promise<number>;

/** A registry and repository that content is known to come from. */
export interface Source {
  /**
   * Registry host. With its port when learnt from an image's name; containerd's
   * `containerd.io/distribution.source.<host>` labels carry the host without one.
   */
  readonly registry: string;
  /** Repository below the registry, e.g. `library/nginx`. */
  readonly repository: string;
}

/** Something a node can tell others it has. */
export interface StoreEntry {
  /**
   * - `tag`: a tagged image; `key` is the full reference, e.g. `docker.io/library/nginx:1.27`.
   * - `image`: what an image name points to directly (index or manifest); `key` is its digest.
   * - `content`: any other manifest, config or layer; `key` is its digest.
   */
  readonly kind: "tag" | "image" | "content";
  /** The text that peers look up. */
  readonly key: string;
  /** Digest of the content, or the digest that the tag points to. */
  readonly digest: Digest;
  /**
   * Where it comes from: from image names, from labels, and for content without labels (imported images)
   * from the images that refer to it. Empty when unknown.
   */
  readonly sources: readonly Source[];
}

/**
 * A change in the store. `entry` events make advertising prompt; `reset` says that events may have been
 * missed (start of the stream, containerd restarted), so that only a full listing is the truth.
 */
export type StoreEvent =
  | { readonly type: "reset" }
  | { readonly type: "changed"; readonly reference?: string; readonly digest?: Digest };

/** Whether the store can be used now, and why not. */
export type StoreStatus =
  | { readonly ready: true; readonly detail: string }
  | {
    readonly ready: false;
    readonly detail: string;
    /** True if it will never be ready again in this process: only a restart can help. */
    readonly lost?: boolean;
  };

/** A content that is being written into the store and not complete yet. */
export interface Ingest {
  readonly digest: Digest;
  /** Bytes that are there. */
  readonly offset: number;
  /** Size of the content in bytes. */
  readonly total: number;
  /**
   * Opens it for reading while it grows.
   *
   * @param range Part to read; its last bytes come only when the content is complete and was found right. All of it when
   * left out: the reader has to check it then.
   * @param signal Ends the wait for the first byte.
   * @returns The reader, as soon as its first byte is there. It fails when the content is given up or does not grow.
   * @throws {NotFoundError} If the first byte does not come.
   * @throws {RangeNotSatisfiableError} If the range does not lie within the content.
   */
  open(range?: ByteRange, signal?: AbortSignal): Promise<ContentReader>;
}

/** What is being written into a store. */
export interface Ingests {
  /**
   * Lists what is being written now.
   *
   * @throws {UnavailableError} If the store cannot be asked.
   */
  list(): Promise<Ingest[]>;
  /** Finds one of them; undefined if the content is not being written. May be some milliseconds behind. */
  find(digest: Digest): Promise<Ingest | undefined>;
  /** Calls when one may have begun or ended, until the signal is aborted. Calls may be missed. */
  watch(onChange: () => void, signal: AbortSignal): void;
}

/** A content store. All methods may be called concurrently. */
export interface Store {
  /** Short name for logs and metrics, e.g. `containerd`. */
  readonly name: string;

  /**
   * Finds the digest an image reference points to.
   *
   * @param reference Full reference with tag: `<registry>/<repository>:<tag>`.
   * @throws {NotFoundError} If the store does not know the reference.
   * @throws {UnavailableError} If the store cannot be asked.
   */
  resolve(reference: string): Promise<Digest>;

  /**
   * Describes a content.
   *
   * @throws {NotFoundError} If the store does not hold it completely.
   * @throws {UnavailableError} If the store cannot be asked.
   */
  descriptor(digest: Digest): Promise<Descriptor>;

  /**
   * Tells where a content comes from: what is noted at the content itself, else what the images that refer to it are
   * called.
   *
   * @returns Its sources; none if nothing is known.
   * @throws {NotFoundError} If the store does not hold it completely.
   * @throws {UnavailableError} If the store cannot be asked.
   */
  sources(digest: Digest): Promise<readonly Source[]>;

  /**
   * Opens a content for reading. Deleting the content while it is read does not break the reader.
   *
   * @param digest What to read.
   * @param range Part to read; all of it when left out.
   * @throws {NotFoundError} If the store does not hold it completely.
   * @throws {RangeNotSatisfiableError} If the range does not lie within the content.
   * @throws {UnavailableError} If the store cannot be asked.
   */
  open(digest: Digest, range?: ByteRange): Promise<ContentReader>;

  /**
   * Bytes of a small content, if they are in memory and known to match the digest. For whoever has just got its descriptor:
   * that it is still here is not looked at. Left out by stores that keep none.
   *
   * @param digest What to read.
   * @returns All of its bytes, to be left as they are.
   */
  kept?(digest: Digest): Uint8Array | undefined;

  /**
   * Lists all tags and all content, as they are now.
   *
   * @throws {UnavailableError} If the store cannot be asked.
   */
  list(): Promise<StoreEntry[]>;

  /**
   * Watches for changes. The first event is `reset`, sent as soon as no later change can be missed; the
   * iterator survives restarts of the store (another `reset`) and ends when the signal is aborted.
   */
  watch(signal: AbortSignal): AsyncIterable<StoreEvent>;

  /** What is being written into the store, where that can be seen. */
  readonly ingests?: Ingests;

  /** Says whether the store answers. Never throws. */
  status(): Promise<StoreStatus>;

  /** Frees connections. The store must not be used afterwards. */
  close(): Promise<void>;
}
