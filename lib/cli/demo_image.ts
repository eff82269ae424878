/**
 * The image of the demo: made without any tool, pulled as a container runtime does it.
 *
 * @module
 */
import { VerificationError } from "../errors.ts";
import { type Digest, parseDigest, sha256Digest, splitDigest } from "../oci/digest.ts";
import { parseManifest } from "../oci/manifest.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../oci/media_types.ts";
import { SOURCE_HEADER } from "../registry/messages.ts";

/** Sizes of the demo's layers, in bytes. */
export const DEMO_LAYER_SIZES: readonly number[] = [8 << 20, 2 << 20, 256 << 10];

/** What the demo pulls. */
export const DEMO_REPOSITORY = "demo.example/team/app";
export const DEMO_TAG = "v1";

/** A content that was pulled. */
export interface PulledContent {
  /** What it is to the image, e.g. `layer 1`. */
  readonly role: string;
  readonly digest: Digest;
  readonly size: number;
  /** Value of {@linkcode SOURCE_HEADER}: who delivered it. */
  readonly source: string;
}

/** An OCI image-layout folder, the store of a node. */
export class DemoStore {
  /**
   * @param path The folder.
   */
  constructor(readonly path: string) {}

  /** Makes an empty layout. */
  async create(): Promise<void> {
    await Deno.mkdir(`${this.path}/blobs/sha256`, { recursive: true });
    await Deno.writeTextFile(`${this.path}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}\n');
    await this.#writeIndex([]);
  }

  /** Puts an image in that exists nowhere else. */
  async addImage(): Promise<void> {
    const layers = await Promise.all(DEMO_LAYER_SIZES.map(async (size) => {
      const digest = await this.write(randomBytes(size));
      return { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size };
    }));
    const config = encode({
      architecture: "amd64",
      os: "linux",
      rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
    });
    const manifest = encode({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: {
        mediaType: "application/vnd.oci.image.config.v1+json",
        digest: await this.write(config),
        size: config.length,
      },
      layers,
    });
    await this.tag(await this.write(manifest), manifest.length);
  }

  /**
   * Writes a content.
   *
   * @param bytes The content.
   * @returns Its digest.
   */
  async write(bytes: Uint8Array): Promise<Digest> {
    const digest = sha256Digest(bytes);
    const path = `${this.path}/blobs/sha256/${splitDigest(digest).hex}`;
    await Deno.writeFile(`${path}.part`, bytes);
    await Deno.rename(`${path}.part`, path);
    return digest;
  }

  /** Names the image. */
  async tag(digest: Digest, size: number): Promise<void> {
    await this.#writeIndex([{
      mediaType: OCI_MANIFEST,
      digest,
      size,
      annotations: { "org.opencontainers.image.ref.name": DEMO_TAG },
    }]);
  }

  async #writeIndex(manifests: readonly object[]): Promise<void> {
    const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
    await Deno.writeTextFile(`${this.path}/index.json.part`, JSON.stringify(index));
    await Deno.rename(`${this.path}/index.json.part`, `${this.path}/index.json`);
  }
}

/**
 * Pulls the image through a mirror into a store.
 *
 * @param mirror URL of the mirror.
 * @param store Where to.
 * @returns What was pulled, in order.
 * @throws {VerificationError} If an answer is not what was asked for.
 */
export async function pullDemoImage(mirror: string, store: DemoStore): Promise<PulledContent[]> {
  const pulled: PulledContent[] = [];
  const pull = async (role: string, path: string): Promise<Uint8Array> => {
    const { bytes, digest, source } = await get(`${mirror}/v2/team/app/${path}?ns=demo.example`);
    await store.write(bytes);
    pulled.push({ role, digest, size: bytes.length, source });
    return bytes;
  };
  const manifestBytes = await pull("manifest", `manifests/${DEMO_TAG}`);
  const children = parseManifest(manifestBytes)?.children ?? [];
  for (const [index, { digest }] of children.entries()) {
    await pull(index === 0 ? "config" : `layer ${index}`, `blobs/${digest}`);
  }
  await store.tag(sha256Digest(manifestBytes), manifestBytes.length);
  return pulled;
}

async function get(url: string): Promise<{ bytes: Uint8Array; digest: Digest; source: string }> {
  const response = await fetch(url);
  const bytes = await response.bytes();
  if (response.status !== 200) {
    throw new VerificationError(`${url}: ${response.status} ${new TextDecoder().decode(bytes)}`);
  }
  const digest = parseDigest(response.headers.get("Docker-Content-Digest") ?? "");
  if (sha256Digest(bytes) !== digest) throw new VerificationError(`${url}: wrong bytes`);
  return { bytes, digest, source: response.headers.get(SOURCE_HEADER) ?? "unknown" };
}

function encode(document: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(document));
}

function randomBytes(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  const limit = 65_536; // Of one call of getRandomValues.
  for (let at = 0; at < size; at += limit) {
    crypto.getRandomValues(bytes.subarray(at, Math.min(size, at + limit)));
  }
  return bytes;
}
