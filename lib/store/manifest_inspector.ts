/**
 * Tells what a stored content is: a manifest with its media type and children, or an opaque blob.
 *
 * @module
 */
import { type Digest, hasherFor, splitDigest } from "../oci/digest.ts";
import { MAX_MANIFEST_SIZE, parseManifest } from "../oci/manifest.ts";
import { OCTET_STREAM } from "../oci/media_types.ts";
import type { ContentReader } from "./store.ts";

/** Contents whose nature is remembered; a digest never changes it. Some 300 bytes each. */
export const MAX_INSPECTED_CONTENTS = 16_384;

/** What a content is. */
export interface Inspection {
  readonly mediaType: string;
  /** Content that it refers to; empty for blobs. */
  readonly children: readonly Digest[];
  /** The manifest that a manifest refers to by its `subject`. */
  readonly subject?: Digest;
}

const OPAQUE: Inspection = { mediaType: OCTET_STREAM, children: [] };
const OPENING_BRACE = 0x7b;

/** Inspects contents, each of them once. */
export class ManifestInspector {
  readonly #known = new Map<Digest, Inspection>();
  readonly #limit: number;

  /**
   * @param limit Contents that are remembered.
   */
  constructor(limit: number = MAX_INSPECTED_CONTENTS) {
    this.#limit = limit;
  }

  /**
   * Inspects a content.
   *
   * @param digest Its digest.
   * @param open Opens it; called only if it is not known yet. The reader is closed.
   * @returns What it is. Corrupt content counts as an opaque blob, and is looked at again the next time.
   */
  async inspect(digest: Digest, open: () => Promise<ContentReader>): Promise<Inspection> {
    const known = this.#known.get(digest);
    if (known !== undefined) return known;
    const reader = await open();
    try {
      const inspection = await readInspection(digest, reader);
      if (inspection === undefined) return OPAQUE;
      this.#remember(digest, inspection);
      return inspection;
    } finally {
      await reader.close();
    }
  }

  #remember(digest: Digest, inspection: Inspection): void {
    this.#known.set(digest, inspection);
    const oldest = this.#known.keys().next();
    if (this.#known.size > this.#limit && !oldest.done) this.#known.delete(oldest.value);
  }
}

async function readInspection(
  digest: Digest,
  reader: ContentReader,
): Promise<Inspection | undefined> {
  if (reader.size > MAX_MANIFEST_SIZE) return OPAQUE;
  const bytes = new Uint8Array(reader.size);
  let length = 0;
  while (length < bytes.length) {
    // The first byte decides for almost all layers, so it is read by itself.
    const count = await reader.read(length === 0 ? bytes.subarray(0, 1) : bytes.subarray(length));
    if (count === 0) return undefined;
    length += count;
    // A manifest that was damaged in a crash is mostly empty or full of zeros, and may be replaced by a whole one.
    if (bytes[0] === 0) return undefined;
    if (bytes[0] !== OPENING_BRACE) return OPAQUE;
  }
  if (hasherFor(digest).update(bytes).digest("hex") !== splitDigest(digest).hex) return undefined;
  const manifest = parseManifest(bytes);
  if (manifest === undefined) return OPAQUE;
  return {
    mediaType: manifest.mediaType,
    children: manifest.children.map((child) => child.digest),
    ...(manifest.referral === undefined ? {} : { subject: manifest.referral.subject }),
  };
}
