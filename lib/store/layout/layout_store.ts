/**
 * A store over an OCI image-layout folder, such as `skopeo copy docker://… oci:<folder>:<tag>` writes. Seeds a
 * cluster without a registry, and runs the demo where there is no containerd.
 *
 * @see https://github.com/opencontainers/image-spec/blob/main/image-layout.md
 * @module
 */
import { KagamiError, NotFoundError, UnavailableError } from "../../errors.ts";
import { type Digest, DIGEST_ALGORITHMS, isDigest, splitDigest } from "../../oci/digest.ts";
import { isTag, parseReference } from "../../oci/reference.ts";
import { EventChannel } from "../event_channel.ts";
import { FileReader } from "../file_reader.ts";
import { imageEntries, type ImageName, sourcesIn, type StoredContent } from "../image_entries.ts";
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
import { watchFolders } from "../watch_folders.ts";

/** Annotations of index.json that name an image, the more telling one first. */
const NAME_ANNOTATIONS = ["io.containerd.image.name", "org.opencontainers.image.ref.name"] as const;

/** Options of {@linkcode LayoutStore}. */
export interface LayoutStoreOptions {
  /** The folder that holds `index.json` and `blobs`. */
  readonly path: string;
  /**
   * `<registry>/<repository>` of images that the folder names by their tag alone, as `skopeo` does. Such images can
   * be had only by digest if it is left out.
   */
  readonly repository?: string;
}

/** Store over an OCI image-layout folder. */
export class LayoutStore implements Store {
  readonly name = "oci-layout";
  readonly #path: string;
  readonly #repository: string | undefined;
  readonly #inspector = new ManifestInspector();

  /**
   * @param options Folder, and repository of bare tags.
   */
  constructor(options: LayoutStoreOptions) {
    this.#path = options.path;
    this.#repository = options.repository;
  }

  async resolve(reference: string): Promise<Digest> {
    const image = (await this.#images()).find(({ name }) => name === reference);
    if (image === undefined) throw new NotFoundError(`no image ${reference} in ${this.#path}`);
    return image.target;
  }

  async sources(digest: Digest): Promise<readonly Source[]> {
    await this.descriptor(digest);
    return sourcesIn(await this.list(), digest);
  }

  async descriptor(digest: Digest): Promise<Descriptor> {
    // The size without opening the file: what it is, is known after the first time.
    const size = this.#sizeOf(digest);
    const { mediaType, subject } = await this.#inspector.inspect(
      digest,
      () => this.#openFile(digest),
    );
    return { digest, mediaType, size, ...(subject === undefined ? {} : { subject }) };
  }

  open(digest: Digest, range?: ByteRange): Promise<ContentReader> {
    return this.#openFile(digest, range);
  }

  async #openFile(digest: Digest, range?: ByteRange): Promise<ContentReader> {
    try {
      return await FileReader.open(this.#blobPath(digest), range);
    } catch (error) {
      throw this.#asStoreError(error);
    }
  }

  #sizeOf(digest: Digest): number {
    try {
      const { isFile, size } = Deno.statSync(this.#blobPath(digest));
      if (isFile) return size;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw this.#asStoreError(error);
    }
    throw new NotFoundError(`no ${digest} in ${this.#path}`);
  }

  #blobPath(digest: Digest): string {
    const { algorithm, hex } = splitDigest(digest);
    return `${this.#path}/blobs/${algorithm}/${hex}`;
  }

  async list(): Promise<StoreEntry[]> {
    const images = await this.#images();
    const contents = new Map<Digest, StoredContent>();
    for (const digest of await this.#digests()) {
      try {
        const { children } = await this.#inspector.inspect(digest, () => this.#openFile(digest));
        contents.set(digest, { sources: [], children });
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error; // It may go while we look.
      }
    }
    return imageEntries(images, contents);
  }

  async *watch(signal: AbortSignal): AsyncIterable<StoreEvent> {
    const channel = new EventChannel();
    channel.push({ type: "reset" });
    const folders = ["", "/blobs", ...ALGORITHM_FOLDERS].map((folder) => this.#path + folder);
    watchFolders(folders, (path) => {
      const digest = digestOfPath(path);
      channel.push(digest === undefined ? { type: "changed" } : { type: "changed", digest });
    }, signal);
    yield* channel.events(signal);
  }

  async status(): Promise<StoreStatus> {
    try {
      const images = await this.#images();
      return { ready: true, detail: `${images.length} images in ${this.#path}` };
    } catch (error) {
      return { ready: false, detail: error instanceof Error ? error.message : String(error) };
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #images(): Promise<ImageName[]> {
    const file = `${this.#path}/index.json`;
    let index: unknown;
    try {
      index = JSON.parse(await Deno.readTextFile(file));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new UnavailableError(
        `cannot read ${file}: ${reason}; write it with skopeo copy … oci:${this.#path}:<tag>`,
        { cause },
      );
    }
    const manifests = (index as { manifests?: unknown } | null)?.manifests;
    return Array.isArray(manifests) ? manifests.flatMap((entry) => this.#imageName(entry)) : [];
  }

  #imageName(entry: unknown): ImageName[] {
    const { digest, annotations } = (entry ?? {}) as {
      digest?: unknown;
      annotations?: Record<string, unknown>;
    };
    if (typeof digest !== "string" || !isDigest(digest)) return [];
    const names = NAME_ANNOTATIONS.map((annotation) => annotations?.[annotation])
      .filter((name) => typeof name === "string")
      .map((name) => this.#fullName(name));
    return [{ name: names.find((name) => name !== undefined) ?? digest, target: digest }];
  }

  #fullName(name: string): string | undefined {
    if (isTag(name)) {
      return this.#repository === undefined ? undefined : `${this.#repository}:${name}`;
    }
    try {
      parseReference(name);
      return name;
    } catch {
      return undefined;
    }
  }

  async #digests(): Promise<Digest[]> {
    const digests: Digest[] = [];
    for (const algorithm of Object.keys(DIGEST_ALGORITHMS)) {
      try {
        for await (const { name } of Deno.readDir(`${this.#path}/blobs/${algorithm}`)) {
          const digest = `${algorithm}:${name}`;
          if (isDigest(digest)) digests.push(digest);
        }
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw this.#asStoreError(error);
      }
    }
    return digests;
  }

  #asStoreError(error: unknown): Error {
    if (error instanceof KagamiError) return error;
    const reason = error instanceof Error ? error.message : String(error);
    return new UnavailableError(`cannot read ${this.#path}: ${reason}`, { cause: error });
  }
}

const ALGORITHM_FOLDERS = Object.keys(DIGEST_ALGORITHMS).map((algorithm) => `/blobs/${algorithm}`);

function digestOfPath(path: string): Digest | undefined {
  const [hex, algorithm] = path.split("/").reverse();
  const digest = `${algorithm}:${hex}`;
  return isDigest(digest) ? digest : undefined;
}
