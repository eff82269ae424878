/**
 * Measures a pull: gets an image from peers in the way in which containerd would have this mirror get it, keeps nothing,
 * and tells how long each content took. This node's own store is left out.
 *
 * @module
 */
import { NotFoundError, UnavailableError } from "../errors.ts";
import type { DigestPath, DistributionPath } from "../oci/distribution.ts";
import type { ReferenceFilter } from "../oci/filter.ts";
import { type ManifestChild, parseManifest } from "../oci/manifest.ts";
import { isIndexMediaType } from "../oci/media_types.ts";
import { isForPlatform } from "../oci/platform.ts";
import { formatReference, type Reference, referenceKey } from "../oci/reference.ts";
import type { Router } from "../routing/router.ts";
import type { ContentReader } from "../store/store.ts";
import type { Mirror } from "../transfer/mirror.ts";
import { placeOf } from "../transfer/place_of.ts";
import type { MeasuredContent, Measurement } from "./node_activity.ts";

/** Longest measurement, in milliseconds. */
export const MEASURE_TIMEOUT_MS = 120_000;

/** Most bytes of a measurement. */
export const MAX_MEASURED_BYTES = 4 * 1024 ** 3;

/** Most contents of a measurement. */
export const MAX_MEASURED_CONTENTS = 256;

/** Longest search for peers, in milliseconds. */
export const MEASURE_LOOKUP_MS = 1000;

/** Most peers that are told. */
export const MAX_FOUND_PEERS = 32;

const FIRST_PULL =
  "nothing for the first pull of the cluster; else run kagami doctor on a node that has it";

/** What a measurement needs. */
export interface MeasureParts {
  readonly mirror: Pick<Mirror, "manifest" | "blob">;
  readonly router: Pick<Router, "lookup">;
  readonly filter: ReferenceFilter;
  /** `<os>/<architecture>` that is taken from an index. */
  readonly platform: string;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
}

/** Measures one pull at a time. */
export class Measurer {
  readonly #parts: MeasureParts;
  #isBusy = false;

  /**
   * @param parts What it needs.
   */
  constructor(parts: MeasureParts) {
    this.#parts = parts;
  }

  /**
   * Measures.
   *
   * @param reference The image.
   * @param signal Ends it.
   * @returns What came, and how fast.
   * @throws {UnavailableError} If a measurement is under way.
   */
  async measure(reference: Reference, signal: AbortSignal): Promise<Measurement> {
    if (this.#isBusy) throw new UnavailableError("another measurement is under way");
    this.#isBusy = true;
    try {
      const timeout = AbortSignal.timeout(MEASURE_TIMEOUT_MS);
      return await new Walk(this.#parts, reference, AbortSignal.any([signal, timeout])).run();
    } finally {
      this.#isBusy = false;
    }
  }
}

/** One measurement. */
class Walk {
  readonly #parts: MeasureParts;
  readonly #reference: Reference;
  readonly #signal: AbortSignal;
  readonly #found: { peer: string; afterMs: number }[] = [];
  readonly #contents: MeasuredContent[] = [];
  #digest: string | undefined;

  constructor(parts: MeasureParts, reference: Reference, signal: AbortSignal) {
    this.#parts = parts;
    this.#reference = reference;
    this.#signal = signal;
  }

  async run(): Promise<Measurement> {
    if (!this.#parts.filter.allows(this.#reference)) {
      return this.#done(
        "not mirrored, by configuration",
        "see --mirrored-registries and --registry-filters",
      );
    }
    await this.#lookUp();
    if (this.#found.length === 0) return this.#done("no peer has the image", FIRST_PULL);
    let next: Reference | undefined = this.#reference;
    while (next !== undefined) {
      const children = await this.#manifest(next);
      if (children === undefined) {
        return this.#done(
          "the manifest did not come",
          "run kagami doctor with the image on this node",
        );
      }
      const platform = children.find((child) => isForPlatform(child, this.#parts.platform));
      if (this.#contents.at(-1)!.kind !== "index") return await this.#blobs(children);
      if (platform === undefined) {
        return this.#done(`the index has nothing for ${this.#parts.platform}`);
      }
      next = this.#pathTo(platform);
    }
    return this.#done();
  }

  async #lookUp(): Promise<void> {
    const { router, now } = this.#parts;
    const startedAt = now();
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(MEASURE_LOOKUP_MS)]);
    const options = { count: MAX_FOUND_PEERS, signal };
    for await (const peer of router.lookup(referenceKey(this.#reference), options)) {
      this.#found.push({ peer: placeOf(peer), afterMs: now() - startedAt });
    }
  }

  /** Undefined if it does not come. */
  async #manifest(reference: Reference): Promise<readonly ManifestChild[] | undefined> {
    const { mirror, now } = this.#parts;
    const path: DistributionPath = {
      ...reference,
      kind: "manifests",
      key: referenceKey(reference),
    };
    const startedAt = now();
    try {
      const { descriptor, bytes, from } = await mirror.manifest(path, this.#signal);
      const manifest = parseManifest(bytes);
      this.#digest ??= descriptor.digest;
      this.#contents.push({
        kind: isIndexMediaType(manifest?.mediaType ?? "") ? "index" : "manifest",
        digest: descriptor.digest,
        size: bytes.length,
        from,
        durationMs: now() - startedAt,
      });
      return manifest?.children;
    } catch (error) {
      this.#contents.push({
        kind: "manifest",
        digest: reference.digest ?? "",
        size: 0,
        durationMs: now() - startedAt,
        failure: this.#reason(error),
      });
      return undefined;
    }
  }

  async #blobs(children: readonly ManifestChild[]): Promise<Measurement> {
    let left = MAX_MEASURED_BYTES;
    for (const [index, child] of children.entries()) {
      if (this.#signal.aborted) return this.#done("it took too long");
      if (index >= MAX_MEASURED_CONTENTS || child.size > left) {
        return this.#done("the image is larger than what is measured");
      }
      await this.#blob(index === 0 ? "config" : "layer", child);
      left -= child.size;
    }
    const isWhole = this.#contents.every(({ failure }) => failure === undefined);
    return isWhole
      ? this.#done()
      : this.#done("not all of it came", "run kagami doctor with the image on this node");
  }

  async #blob(kind: "config" | "layer", child: ManifestChild): Promise<void> {
    const { mirror, now } = this.#parts;
    const path: DigestPath = { ...this.#pathTo(child), kind: "blobs", key: child.digest };
    const startedAt = now();
    let size = 0;
    let from: string | undefined;
    let firstByteMs: number | undefined;
    let failure: string | undefined;
    try {
      const blob = await mirror.blob(path, undefined, this.#signal);
      from = blob.from;
      await drain(blob.reader, this.#signal, (bytes) => {
        firstByteMs ??= now() - startedAt;
        size += bytes;
      });
    } catch (error) {
      failure = this.#reason(error);
    }
    this.#contents.push({
      kind,
      digest: child.digest,
      size,
      ...(from === undefined ? {} : { from }),
      ...(firstByteMs === undefined ? {} : { firstByteMs }),
      durationMs: now() - startedAt,
      ...(failure === undefined ? {} : { failure }),
    });
  }

  #pathTo({ digest }: ManifestChild): Reference & { digest: ManifestChild["digest"] } {
    const { registry, repository } = this.#reference;
    return { registry, repository, digest };
  }

  #reason(error: unknown): string {
    if (this.#signal.aborted) return "it took too long";
    const { message, cause } = error as Error;
    return error instanceof NotFoundError && cause instanceof Error
      ? `${message}: ${cause.message}`
      : message;
  }

  #done(incomplete?: string, remedy?: string): Measurement {
    const sum = (of: "size" | "durationMs") =>
      this.#contents.reduce((all, one) => all + one[of], 0);
    return {
      image: formatReference(this.#reference),
      ...(this.#digest === undefined ? {} : { digest: this.#digest }),
      found: this.#found,
      contents: this.#contents,
      size: sum("size"),
      durationMs: sum("durationMs"),
      ...(incomplete === undefined ? {} : { incomplete }),
      ...(remedy === undefined ? {} : { remedy }),
    };
  }
}

/** Reads all of a content, and keeps nothing. */
async function drain(
  reader: ContentReader,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): Promise<void> {
  const close = () => void reader.close();
  signal.addEventListener("abort", close, { once: true });
  try {
    const own = reader.next === undefined ? new Uint8Array(256 * 1024) : undefined;
    while (true) {
      const count = own === undefined
        ? (await reader.next!())?.length ?? 0
        : await reader.read(own);
      if (count === 0) return;
      onBytes(count);
    }
  } finally {
    signal.removeEventListener("abort", close);
    await reader.close();
  }
}
