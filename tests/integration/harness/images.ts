/**
 * Images to test with: real ones, which containerd can unpack.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

/** What to make. */
export interface ImageOptions {
  /** Sizes of the layers, in bytes. */
  readonly layers: readonly number[];
  /** Other seeds make other layers. */
  readonly seed: number;
  /** More than one makes an index. Default: the machine's own. */
  readonly platforms?: readonly string[];
}

/** An image in an OCI layout. */
export interface ImageLayout {
  readonly path: string;
  /** Digest of the index or manifest. */
  readonly digest: string;
  /** Digests of the layers of the first platform. */
  readonly layers: readonly string[];
  /** Digest of the first platform's config. */
  readonly config: string;
}

/** Name of the image within its layout. */
export const LAYOUT_TAG = "image";

const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";

/** The platform of this machine, as images call it. */
export const PLATFORM = Deno.build.arch === "aarch64" ? "arm64" : "amd64";

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Bytes that do not compress, the same in every run. */
function noise(size: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(size / 4));
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer, 0, size);
}

/** A tar archive with one file. */
function tar(name: string, content: Uint8Array): Uint8Array {
  const padded = Math.ceil(content.length / 512) * 512;
  const archive = new Uint8Array(512 + padded + 1024);
  const put = (text: string, at: number) => archive.set(new TextEncoder().encode(text), at);
  put(name, 0);
  put("0000644\0", 100);
  put("0000000\0", 108);
  put("0000000\0", 116);
  put(content.length.toString(8).padStart(11, "0") + "\0", 124);
  put("00000000000\0", 136);
  put("        ", 148);
  put("0", 156);
  put("ustar\x0000", 257);
  const sum = archive.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  put(sum.toString(8).padStart(6, "0") + "\0 ", 148);
  archive.set(content, 512);
  return archive;
}

/**
 * Makes an image as an OCI layout.
 *
 * @param path Folder of the layout; made.
 * @param options What to make.
 */
export async function makeImage(path: string, options: ImageOptions): Promise<ImageLayout> {
  const platforms = options.platforms ?? [PLATFORM];
  await Deno.mkdir(`${path}/blobs/sha256`, { recursive: true });
  const put = async (bytes: Uint8Array, mediaType: string) => {
    const digest = sha256(bytes);
    await Deno.writeFile(`${path}/blobs/${digest.replace(":", "/")}`, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const putJson = (document: object, mediaType: string) =>
    put(new TextEncoder().encode(JSON.stringify(document)), mediaType);

  const manifests = [];
  for (const [number, architecture] of platforms.entries()) {
    const layers = [];
    const diffIds = [];
    // One after the other: all layers at the same time may be more than there is memory for.
    for (const [index, size] of options.layers.entries()) {
      const seed = options.seed * 1000 + number * 100 + index + 1;
      const archive = tar(`layer-${index}`, noise(size, seed));
      // Stored, not compressed: noise does not shrink, and making images is not what is tested.
      layers.push(await put(gzipSync(archive, { level: 0 }), LAYER));
      diffIds.push(sha256(archive));
    }
    const config = await putJson({
      architecture,
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: diffIds },
    }, "application/vnd.oci.image.config.v1+json");
    const manifest = await putJson(
      { schemaVersion: 2, mediaType: MANIFEST, config, layers },
      MANIFEST,
    );
    const platform = { architecture, os: "linux" };
    manifests.push({ descriptor: { ...manifest, platform }, layers, config });
  }
  const [first] = manifests;
  const top = manifests.length === 1 ? first!.descriptor : await putJson({
    schemaVersion: 2,
    mediaType: INDEX,
    manifests: manifests.map(({ descriptor }) => descriptor),
  }, INDEX);
  const annotations = { "org.opencontainers.image.ref.name": LAYOUT_TAG };
  const index = { schemaVersion: 2, manifests: [{ ...top, annotations }] };
  await Deno.writeTextFile(`${path}/index.json`, JSON.stringify(index));
  await Deno.writeTextFile(`${path}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
  return {
    path,
    digest: top.digest,
    layers: first!.layers.map(({ digest }) => digest),
    config: first!.config.digest,
  };
}
