/**
 * Images for the conformance tests: one of each kind that the specification speaks of.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { type Digest, sha256Digest } from "../../../lib/oci/digest.ts";
import { DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../../../lib/oci/media_types.ts";
import { makeImage, type TestImage } from "../../unit/store/compliance.ts";
import { makeManifest, type TestContent } from "../../unit/support/content.ts";

/** Registry that clients mean who name none. */
export const REGISTRY = "docker.io";

/** Repository of all images. */
export const REPOSITORY = "conformance/app";

/** Artifact type that {@linkcode SIGNATURE} states. */
export const SIGNATURE_TYPE = "application/vnd.example.signature.v1";

/** Annotations of {@linkcode SIGNATURE}. */
export const SIGNATURE_ANNOTATIONS = { "org.example.key": "value", "org.example.name": 'Zoë "1"' };

function json(document: object): TestContent {
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  return { bytes, digest: sha256Digest(bytes) };
}

function describe({ digest, bytes }: TestContent, mediaType: string = OCI_MANIFEST) {
  return { mediaType, digest, size: bytes.length };
}

/** An image. */
export const IMAGE: TestImage = makeImage(1, [300_000, 1, 70_000]);

const ARM_IMAGE = makeImage(2);

/** An image for two platforms. */
export const INDEX: TestImage = {
  manifest: json({
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [
      { ...describe(IMAGE.manifest), platform: { os: "linux", architecture: "amd64" } },
      { ...describe(ARM_IMAGE.manifest), platform: { os: "linux", architecture: "arm64" } },
    ],
  }),
  blobs: [IMAGE, ARM_IMAGE].flatMap(({ manifest, blobs }) => [...blobs, manifest]),
};

const [DOCKER_CONFIG, DOCKER_LAYER] = makeImage(3, [5000]).blobs;

/** An image in Docker's form. */
export const DOCKER_IMAGE: TestImage = {
  manifest: json({
    schemaVersion: 2,
    mediaType: DOCKER_MANIFEST,
    config: describe(DOCKER_CONFIG!, "application/vnd.docker.container.image.v1+json"),
    layers: [describe(DOCKER_LAYER!, "application/vnd.docker.image.rootfs.diff.tar.gzip")],
  }),
  blobs: [DOCKER_CONFIG!, DOCKER_LAYER!],
};

const [CONFIG, LAYER] = makeImage(4, [1000]).blobs;
const subject = describe(IMAGE.manifest);

/** A manifest that refers to the image, and says as what. */
export const SIGNATURE: TestImage = {
  manifest: makeManifest(CONFIG!, [LAYER!], {
    artifactType: SIGNATURE_TYPE,
    subject,
    annotations: SIGNATURE_ANNOTATIONS,
  }),
  blobs: [CONFIG!, LAYER!],
};

/** One that says it by the type of its config. */
export const SBOM: TestImage = {
  manifest: makeManifest(CONFIG!, [LAYER!], { subject }),
  blobs: [CONFIG!, LAYER!],
};

/** An index that refers to the image, and does not say as what. */
export const REFERRING_INDEX: TestImage = {
  manifest: json({
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [describe(ARM_IMAGE.manifest)],
    subject,
  }),
  blobs: [...ARM_IMAGE.blobs, ARM_IMAGE.manifest],
};

/** One that refers to another image. */
export const OTHER_SIGNATURE: TestImage = {
  manifest: makeManifest(CONFIG!, [LAYER!], { subject: describe(ARM_IMAGE.manifest) }),
  blobs: [CONFIG!, LAYER!],
};

/** Longest tag, of all kinds of characters that may be in one. */
export const LONG_TAG = `${"aZ0_9.b-".repeat(16).slice(0, 127)}z`;

/** Images by their tags, in the order in which a list has them. */
export const TAGS: Readonly<Record<string, TestImage>> = {
  "1.0": IMAGE,
  "Index": INDEX,
  [LONG_TAG]: IMAGE,
  "sbom": SBOM,
  "sbom-index": REFERRING_INDEX,
  "sig": SIGNATURE,
  "sig-other": OTHER_SIGNATURE,
};

/** A repository whose name has all that a name may have, for an image of its own. */
export const ODD_REPOSITORY = "a__b/c.d/e--f/9_g";

/** A registry other than {@linkcode REGISTRY}, with the same repository but one tag. */
export const OTHER_REGISTRY = "registry.example:5000";

/**
 * Makes an image all of whose digests are of sha512.
 *
 * @returns The image.
 */
export function makeSha512Image(): TestImage {
  const sha512 = ({ bytes }: TestContent): TestContent => ({
    bytes,
    digest: `sha512:${createHash("sha512").update(bytes).digest("hex")}` as Digest,
  });
  const [config, ...layers] = makeImage(5, [100_000]).blobs.map(sha512);
  return { manifest: sha512(makeManifest(config!, layers)), blobs: [config!, ...layers] };
}
