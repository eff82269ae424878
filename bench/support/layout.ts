/**
 * OCI image layouts to serve from.
 *
 * @module
 */
import { createHash, randomFillSync } from "node:crypto";
import { type Digest, parseDigest, sha256Digest } from "../../lib/oci/digest.ts";

/** Bytes that are written at a time. */
const PIECE = 1 << 20;

/** Writes a layout, blob by blob. */
export class LayoutWriter {
  readonly path: string;
  readonly #manifests: object[] = [];

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes an empty layout.
   *
   * @param path Its folder; made.
   * @returns The writer.
   */
  static async create(path: string): Promise<LayoutWriter> {
    await Deno.mkdir(`${path}/blobs/sha256`, { recursive: true });
    await Deno.writeTextFile(`${path}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
    const writer = new LayoutWriter(path);
    await writer.#writeIndex();
    return writer;
  }

  /**
   * Adds a blob of random bytes.
   *
   * @param size Its size in bytes.
   * @returns Its digest.
   */
  async addBlob(size: number): Promise<Digest> {
    const hash = createHash("sha256");
    const piece = new Uint8Array(Math.min(PIECE, size));
    const part = `${this.path}/part`;
    const file = await Deno.open(part, { write: true, create: true, truncate: true });
    try {
      for (let left = size; left > 0; left -= piece.length) {
        const bytes = randomFillSync(piece).subarray(0, Math.min(piece.length, left));
        hash.update(bytes);
        for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      }
    } finally {
      file.close();
    }
    const digest = parseDigest(`sha256:${hash.digest("hex")}`);
    await Deno.rename(part, this.blobPath(digest));
    return digest;
  }

  /**
   * Adds a manifest of a given size, padded with an annotation.
   *
   * @param tag Its tag.
   * @param size Its size in bytes.
   * @returns Its digest.
   */
  async addManifest(tag: string, size: number): Promise<Digest> {
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const document = (padding: string) =>
      new TextEncoder().encode(JSON.stringify({
        schemaVersion: 2,
        mediaType,
        layers: [],
        annotations: { padding },
      }));
    const bytes = document("x".repeat(size - document("").length));
    const digest = sha256Digest(bytes);
    await Deno.writeFile(this.blobPath(digest), bytes);
    const annotations = { "org.opencontainers.image.ref.name": tag };
    this.#manifests.push({ mediaType, digest, size: bytes.length, annotations });
    await this.#writeIndex();
    return digest;
  }

  /**
   * Path of a blob's file.
   *
   * @param digest Its digest.
   * @returns The path.
   */
  blobPath(digest: Digest): string {
    return `${this.path}/blobs/${digest.replace(":", "/")}`;
  }

  async #writeIndex(): Promise<void> {
    const index = { schemaVersion: 2, manifests: this.#manifests };
    await Deno.writeTextFile(`${this.path}/index.json`, JSON.stringify(index));
  }
}
