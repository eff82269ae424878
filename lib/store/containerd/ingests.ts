/**
 * What containerd is downloading.
 *
 * Each download is a folder `ingest/<id>` with the files `ref` (`<namespace>/<number>/<kind>-<digest>`) and `data`, which
 * grows strictly in order. The folder tells where the bytes are, `Content.ListStatuses` that containerd is at it.
 *
 * @module
 */
import { type Digest, isDigest, splitDigest } from "../../oci/digest.ts";
import type { Logger } from "../../observability/logger.ts";
import { GrowingReader } from "../growing_reader.ts";
import type { ByteRange, ContentReader, Ingest, Ingests } from "../store.ts";
import { watchFolders } from "../watch_folders.ts";
import type { ContainerdClient } from "./containerd_client.ts";
import { METHODS } from "./schema.ts";

/** How long an answer of containerd is good for who looks for a single download, in milliseconds. */
export const STATUSES_TTL_MS = 40;

/** Most downloads that are remembered. containerd runs a few for each image that it pulls. */
export const MAX_INGESTS = 1024;

/** Options of {@linkcode ContainerdIngests}. */
export interface ContainerdIngestsOptions {
  readonly client: ContainerdClient;
  readonly namespace: string;
  /** containerd's content directory, as this process sees it. */
  readonly contentPath: string;
  readonly log: Logger;
}

/** The downloads of one containerd. */
export class ContainerdIngests implements Ingests {
  readonly #options: ContainerdIngestsOptions;
  /** Text of the file `ref`, by folder. It never changes. */
  readonly #refs = new Map<string, string>();
  #latest: { readonly at: number; readonly ingests: Promise<Ingest[]> } | undefined;

  /**
   * @param options Client and content directory.
   */
  constructor(options: ContainerdIngestsOptions) {
    this.#options = options;
  }

  async list(): Promise<Ingest[]> {
    const { client, namespace } = this.#options;
    const [{ statuses }] = await Promise.all([
      client.call(METHODS.listStatuses, { filters: [] }),
      this.#readRefs(),
    ]);
    return statuses.flatMap(({ ref, offset, total }) => {
      const digest = ref.slice(ref.indexOf("-") + 1);
      const folder = this.#folderOf(namespace, ref);
      if (!isDigest(digest) || folder === undefined || Number(total) <= 0) return [];
      return [this.#ingest(digest, folder, Number(offset), Number(total))];
    });
  }

  async find(digest: Digest): Promise<Ingest | undefined> {
    const now = performance.now();
    if (this.#latest === undefined || now - this.#latest.at > STATUSES_TTL_MS) {
      // One look serves all who ask at the same time.
      this.#latest = { at: now, ingests: this.list() };
    }
    return (await this.#latest.ingests).find((ingest) => ingest.digest === digest);
  }

  watch(onChange: () => void, signal: AbortSignal): void {
    const { contentPath } = this.#options;
    watchFolders([`${contentPath}/ingest`], onChange, signal);
  }

  #ingest(digest: Digest, folder: string, offset: number, total: number): Ingest {
    const { contentPath } = this.#options;
    const { algorithm, hex } = splitDigest(digest);
    return {
      digest,
      offset,
      total,
      open: (range?: ByteRange, signal?: AbortSignal): Promise<ContentReader> =>
        GrowingReader.open({
          path: `${contentPath}/ingest/${folder}/data`,
          finalPath: `${contentPath}/blobs/${algorithm}/${hex}`,
          total,
          ...(range === undefined ? {} : { range }),
          ...(signal === undefined ? {} : { signal }),
        }),
    };
  }

  #folderOf(namespace: string, ref: string): string | undefined {
    for (const [folder, text] of this.#refs) {
      // Between them stands a number that containerd gives out.
      if (text.startsWith(`${namespace}/`) && text.endsWith(`/${ref}`)) return folder;
    }
    return undefined;
  }

  async #readRefs(): Promise<void> {
    const root = `${this.#options.contentPath}/ingest`;
    const folders = new Set<string>();
    try {
      for await (const { name } of Deno.readDir(root)) folders.add(name);
    } catch (error) {
      // Without the folder there is nothing to serve, whatever containerd says.
      if (!(error instanceof Deno.errors.NotFound)) {
        this.#options.log.debug("cannot look at downloads in progress", { root, error });
      }
    }
    for (const folder of this.#refs.keys()) {
      if (!folders.has(folder)) this.#refs.delete(folder);
    }
    for (const folder of folders) {
      if (this.#refs.has(folder) || this.#refs.size >= MAX_INGESTS) continue;
      const text = await readText(`${root}/${folder}/ref`);
      if (text !== undefined) this.#refs.set(folder, text);
    }
  }
}

/** Undefined if the file is not there, or not written yet. */
async function readText(path: string): Promise<string | undefined> {
  try {
    return (await Deno.readTextFile(path)).trim() || undefined;
  } catch {
    return undefined; // Gone again, or not to be read; the next look tells.
  }
}
