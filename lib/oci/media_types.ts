/**
 * Media types of manifests and indexes.
 *
 * @see https://github.com/opencontainers/image-spec/blob/main/media-types.md
 * @module
 */

/** OCI image index: lists manifests, one for each platform. */
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
/** OCI image manifest: names a config and layers. */
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
/** Docker manifest list, the older form of an index. */
export const DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
/** Docker image manifest, schema 2. */
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
/** What a blob is served as when nothing better is known. */
export const OCTET_STREAM = "application/octet-stream";

const INDEXES: ReadonlySet<string> = new Set([OCI_INDEX, DOCKER_MANIFEST_LIST]);
const MANIFESTS: ReadonlySet<string> = new Set([OCI_MANIFEST, DOCKER_MANIFEST]);

/** All media types of manifests and indexes, in the order in which a client accepts them. */
export const MANIFEST_MEDIA_TYPES: readonly string[] = [...MANIFESTS, ...INDEXES];

/**
 * @param mediaType A media type without parameters.
 * @returns True for an index or manifest list.
 */
export function isIndexMediaType(mediaType: string): boolean {
  return INDEXES.has(mediaType);
}

/**
 * @param mediaType A media type without parameters.
 * @returns True for whatever is served below `/manifests/`.
 */
export function isManifestMediaType(mediaType: string): boolean {
  return INDEXES.has(mediaType) || MANIFESTS.has(mediaType);
}
