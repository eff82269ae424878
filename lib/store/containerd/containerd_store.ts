/**
 * containerd's content and image store.
 *
 * @module
 */
import { NotFoundError, UnavailableError } from "../../errors.ts";
import { ExpiringMap } from "../../expiring_set.ts";
import { type Digest, isDigest, splitDigest } from "../../oci/digest.ts";
import type { Logger } from "../../observability/logger.ts";
import { checkRange, FileReader } from "../file_reader.ts";
import { imageEntries, sourcesIn, type StoredContent } from "../image_entries.ts";
import { ManifestInspector } from "../manifest_inspector.ts";
import type {
  ByteRange,
  ContentReader,
  Descriptor,
  Source,
  Store,
  StoreEntry,
  StoreEvent,
  StoreStatus,
} from "../store.ts";
import { ContainerdClient, LIST_TIMEOUT_MS } from "./containerd_client.ts";
import { ContainerdWatcher } from "./containerd_watcher.ts";
import { GrpcReader } from "./grpc_reader.ts";
import { ContainerdIngests } from "./ingests.ts";
import { METHODS, type StringMap } from "./schema.ts";

/** Label with the repositories that a content was pulled from, separated by commas; the host has no port. */
export const SOURCE_LABEL_PREFIX = "containerd.io/distribution.source.";

/** Labels with the digests that a content refers to. */
export const CHILD_LABEL_PREFIX = "containerd.io/gc.ref.content";

/** Time limit of the question whether containerd is there, in milliseconds. */
export const STATUS_TIMEOUT_MS = 1000;

/**
 * How long it holds that containerd has a content, in milliseconds, if the file is still there: one question is enough for
 * a request, and for all nodes that want the same at the same time.
 */
export const PRESENT_MS = 100;

/** Most contents of which that is remembered; the oldest go first. */
export const MAX_PRESENT = 256;

/** Options of {@linkcode ContainerdStore}. */
export interface ContainerdStoreOptions {
  /** Path of containerd's socket. */
  readonly sock: string;
  /** containerd namespace, `k8s.io` on Kubernetes nodes. */
  readonly namespace: string;
  /** containerd's content directory, as this process sees it. */
  readonly contentPath: string;
  readonly log: Logger;
}

/** Store over a running containerd. Not there yet, or restarted: calls fail until it is back. */
export class ContainerdStore implements Store {
  readonly name = "containerd";
  readonly ingests: ContainerdIngests;
  readonly #client: ContainerdClient;
  readonly #sock: string;
  readonly #contentPath: string;
  readonly #watcher: ContainerdWatcher;
  readonly #inspector = new ManifestInspector();
  /** Sizes of what containerd has just said that it has. */
  readonly #present = new ExpiringMap<number>({ ttlMs: PRESENT_MS, limit: MAX_PRESENT });

  /**
   * @param options Socket, namespace, and content directory.
   */
  constructor(options: ContainerdStoreOptions) {
    this.#client = new ContainerdClient(options);
    this.#sock = options.sock;
    this.#contentPath = options.contentPath;
    this.ingests = new ContainerdIngests({ ...options, client: this.#client });
    this.#watcher = new ContainerdWatcher({
      client: this.#client,
      namespace: options.namespace,
      contentPath: options.contentPath,
      log: options.log,
    });
  }

  async resolve(reference: string): Promise<Digest> {
    const { image } = await this.#client.call(METHODS.getImage, { name: reference });
    const digest = image?.target?.digest ?? "";
    if (isDigest(digest)) return digest;
    throw new NotFoundError(`image ${reference} points to no digest`);
  }

  async descriptor(digest: Digest): Promise<Descriptor> {
    const size = this.#presentSize(digest) ?? await this.#askSize(digest);
    const { mediaType, subject } = await this.#inspector.inspect(
      digest,
      async () => await this.#openFile(digest) ?? this.#openCall(digest, size),
    );
    return { digest, mediaType, size, ...(subject === undefined ? {} : { subject }) };
  }

  async sources(digest: Digest): Promise<readonly Source[]> {
    const { info } = await this.#client.call(METHODS.contentInfo, { digest });
    if (info === null) throw new NotFoundError(`no content ${digest}`);
    const { sources } = storedContent(info.labels);
    // Imported content has no labels; the images that refer to it have names.
    return sources.length > 0 ? sources : sourcesIn(await this.list(), digest);
  }

  async open(digest: Digest, range?: ByteRange): Promise<ContentReader> {
    if (this.#present.get(digest) !== undefined) {
      const file = await this.#openFile(digest, range);
      if (file !== undefined) return file;
    }
    // A file alone means nothing: it may belong to another namespace, or be deleted already.
    const [size, file] = await Promise.allSettled([
      this.#size(digest),
      this.#openFile(digest, range),
    ]);
    if (size.status === "rejected") {
      if (file.status === "fulfilled") await file.value?.close();
      throw size.reason;
    }
    if (file.status === "rejected") throw file.reason;
    return file.value ?? this.#openCall(digest, size.value, range);
  }

  /** Size of what containerd has just said that it has, and what has not been deleted since. */
  #presentSize(digest: Digest): number | undefined {
    const size = this.#present.get(digest);
    if (size === undefined) return undefined;
    try {
      return Deno.statSync(this.#path(digest)).size === size ? size : undefined;
    } catch {
      return undefined; // containerd tells what that means.
    }
  }

  async #askSize(digest: Digest): Promise<number> {
    const size = await this.#size(digest);
    this.#present.set(digest, size);
    return size;
  }

  #path(digest: Digest): string {
    const { algorithm, hex } = splitDigest(digest);
    return `${this.#contentPath}/blobs/${algorithm}/${hex}`;
  }

  /** @returns Undefined if there is no such file, e.g. since the content directory is not mounted. */
  async #openFile(digest: Digest, range?: ByteRange): Promise<ContentReader | undefined> {
    const path = this.#path(digest);
    try {
      return await FileReader.open(path, range);
    } catch (cause) {
      if (cause instanceof NotFoundError) return undefined;
      if (cause instanceof Deno.errors.PermissionDenied) {
        throw new UnavailableError(`may not read ${path}; Kagami needs read access to it`, {
          cause,
        });
      }
      throw cause;
    }
  }

  #openCall(digest: Digest, size: number, range?: ByteRange): ContentReader {
    checkRange(range, size);
    return new GrpcReader(this.#client, digest, size, range ?? { start: 0, end: size - 1 });
  }

  async #size(digest: Digest): Promise<number> {
    const { info } = await this.#client.call(METHODS.contentInfo, { digest });
    if (info === null) throw new NotFoundError(`no content ${digest}`);
    return Number(info.size);
  }

  async list(): Promise<StoreEntry[]> {
    const [{ images }, contents] = await Promise.all([
      this.#client.call(METHODS.listImages, { filters: [] }, LIST_TIMEOUT_MS),
      this.#contents(),
    ]);
    const names = images.flatMap(({ name, target }) => {
      const digest = target?.digest ?? "";
      return isDigest(digest) ? [{ name, target: digest }] : [];
    });
    return imageEntries(names, contents);
  }

  async #contents(): Promise<Map<Digest, StoredContent>> {
    const contents = new Map<Digest, StoredContent>();
    const call = this.#client.stream(METHODS.listContent, { filters: [] }, LIST_TIMEOUT_MS);
    try {
      for await (const { info } of call as AsyncIterable<{ info: ContentInfo[] }>) {
        for (const { digest, labels } of info) {
          if (isDigest(digest)) contents.set(digest, storedContent(labels));
        }
      }
    } catch (error) {
      throw this.#client.asStoreError(error);
    } finally {
      call.cancel();
    }
    return contents;
  }

  watch(signal: AbortSignal): AsyncIterable<StoreEvent> {
    return this.#watcher.watch(signal);
  }

  async status(): Promise<StoreStatus> {
    try {
      const { version } = await this.#client.call(METHODS.version, {}, STATUS_TIMEOUT_MS);
      return { ready: true, detail: `containerd ${version}` };
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      if (!await isOrphan(this.#sock)) return { ready: false, detail };
      const reason = "its socket was replaced, and only the old one is mounted here";
      return { ready: false, lost: true, detail: `${detail}; ${reason}: restart this container` };
    }
  }

  close(): Promise<void> {
    this.#client.close();
    return Promise.resolve();
  }
}

/**
 * Whether a socket has lost its place in the file system. A container has the socket itself mounted, not its folder; when
 * containerd starts anew, it makes another one, which never appears in the container.
 */
async function isOrphan(sock: string): Promise<boolean> {
  try {
    return (await Deno.stat(sock)).nlink === 0;
  } catch {
    return false;
  }
}

interface ContentInfo {
  readonly digest: string;
  readonly labels: StringMap;
}

/** Reads sources and children from a content's labels. */
function storedContent(labels: StringMap): StoredContent {
  const sources: Source[] = [];
  const children: Digest[] = [];
  for (const [label, value] of Object.entries(labels)) {
    if (label.startsWith(SOURCE_LABEL_PREFIX)) {
      const registry = label.slice(SOURCE_LABEL_PREFIX.length);
      for (const repository of value.split(",")) {
        if (repository !== "") sources.push({ registry, repository });
      }
    } else if (label.startsWith(CHILD_LABEL_PREFIX) && isDigest(value)) {
      children.push(value);
    }
  }
  return { sources, children };
}
