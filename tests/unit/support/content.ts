/**
 * Bytes to test with.
 *
 * @module
 */
import { type Digest, sha256Digest } from "../../../lib/oci/digest.ts";

/** Content with its digest. */
export interface TestContent {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly digest: Digest;
}

/**
 * Makes bytes that look random and are the same in every run.
 *
 * @param size Number of bytes.
 * @param seed Other seeds give other bytes.
 * @returns The content.
 */
export function makeContent(size: number, seed = 1): TestContent {
  const bytes = new Uint8Array(size);
  let state = seed >>> 0 || 1;
  for (let index = 0; index < size; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[index] = state & 0xff;
  }
  return { bytes, digest: sha256Digest(bytes) };
}

/** Makes a small but complete OCI manifest, with further fields such as `subject`. */
export function makeManifest(
  config: TestContent,
  layers: readonly TestContent[],
  fields: Readonly<Record<string, unknown>> = {},
): TestContent {
  const descriptor = (content: TestContent, mediaType: string) => ({
    mediaType,
    digest: content.digest,
    size: content.bytes.length,
  });
  const bytes = new TextEncoder().encode(JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: descriptor(config, "application/vnd.oci.image.config.v1+json"),
    layers: layers.map((layer) => descriptor(layer, "application/vnd.oci.image.layer.v1.tar+gzip")),
    ...fields,
  }));
  return { bytes, digest: sha256Digest(bytes) };
}
