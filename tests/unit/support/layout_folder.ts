/**
 * An OCI image-layout folder to test with.
 *
 * @module
 */
import { DIGEST_ALGORITHMS, splitDigest } from "../../../lib/oci/digest.ts";
import type { TestContent } from "./content.ts";

interface Image {
  readonly manifest: TestContent;
  readonly blobs: readonly TestContent[];
}

/** A layout in a temporary folder, removed when disposed. */
export class LayoutFolder implements AsyncDisposable {
  readonly path: string;
  readonly #images = new Map<string, Image>();

  private constructor(path: string) {
    this.path = path;
  }

  /** Makes an empty layout. */
  static async create(): Promise<LayoutFolder> {
    const folder = new LayoutFolder(await Deno.makeTempDir({ prefix: "kagami-layout-" }));
    for (const algorithm of Object.keys(DIGEST_ALGORITHMS)) {
      await Deno.mkdir(`${folder.path}/blobs/${algorithm}`, { recursive: true });
    }
    await Deno.writeTextFile(`${folder.path}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
    await folder.#writeIndex();
    return folder;
  }

  /** Adds an image; content first, its name last, each renamed into place. */
  async add(name: string, image: Image): Promise<void> {
    for (const content of [...image.blobs, image.manifest]) {
      await this.#write(this.blobPath(content), content.bytes);
    }
    this.#images.set(name, image);
    await this.#writeIndex();
  }

  /** Removes a name, and content that no other name needs. */
  async remove(name: string): Promise<void> {
    const gone = this.#images.get(name);
    this.#images.delete(name);
    await this.#writeIndex();
    const kept = new Set([...this.#images.values()].flatMap(digestsOf));
    for (const content of gone === undefined ? [] : [gone.manifest, ...gone.blobs]) {
      if (!kept.has(content.digest)) await Deno.remove(this.blobPath(content));
    }
  }

  /** Path of a content's file. */
  blobPath(content: TestContent): string {
    const { algorithm, hex } = splitDigest(content.digest);
    return `${this.path}/blobs/${algorithm}/${hex}`;
  }

  async #writeIndex(): Promise<void> {
    const manifests = [...this.#images].map(([name, { manifest }]) => ({
      mediaType: JSON.parse(new TextDecoder().decode(manifest.bytes)).mediaType,
      digest: manifest.digest,
      size: manifest.bytes.length,
      annotations: { "org.opencontainers.image.ref.name": name },
    }));
    const text = JSON.stringify({ schemaVersion: 2, manifests });
    await this.#write(`${this.path}/index.json`, new TextEncoder().encode(text));
  }

  async #write(path: string, bytes: Uint8Array): Promise<void> {
    await Deno.writeFile(`${path}.part`, bytes);
    await Deno.rename(`${path}.part`, path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

function digestsOf(image: Image): string[] {
  return [image.manifest, ...image.blobs].map((content) => content.digest);
}
