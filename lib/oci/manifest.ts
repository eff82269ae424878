/**
 * Reading manifests and indexes: media type and the content they refer to.
 *
 * @see https://github.com/opencontainers/image-spec/blob/main/manifest.md
 * @module
 */
import { type Digest, isDigest } from "./digest.ts";
import {
  DOCKER_MANIFEST,
  isIndexMediaType,
  isManifestMediaType,
  OCI_INDEX,
  OCI_MANIFEST,
} from "./media_types.ts";

/**
 * Largest manifest that is read, in bytes. The distribution specification (1.1, "Pushing manifests") tells
 * registries to accept at least 4 MiB, and containerd reads no more than that for a manifest.
 */
export const MAX_MANIFEST_SIZE = 4 * 1024 * 1024;

/** A descriptor inside of a manifest. */
export interface ManifestChild {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Length in bytes as the manifest states it. */
  readonly size: number;
  /** Only within an index: the platform as `<os>/<architecture>[/<variant>]`. */
  readonly platform?: string;
}

/** What a manifest that refers to another one (a signature, an SBOM) says of itself. */
export interface Referral {
  /** The manifest that is referred to. It need not exist. */
  readonly subject: Digest;
  /** What the referring manifest is. Only an index can be without. */
  readonly artifactType?: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/** What a manifest says. */
export interface Manifest {
  readonly mediaType: string;
  /** Index: its manifests. Manifest: config first, then the layers in order. */
  readonly children: readonly ManifestChild[];
  /** Only of a manifest with a `subject`. */
  readonly referral?: Referral;
}

type Json = Readonly<Record<string, unknown>>;

function asObject(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Json
    : undefined;
}

function mediaTypeOf(document: Json): string | undefined {
  const stated = document["mediaType"];
  if (typeof stated === "string") return isManifestMediaType(stated) ? stated : undefined;
  // The field is optional in OCI documents; the shape tells which one it is.
  if (document["schemaVersion"] !== 2) return undefined;
  if (Array.isArray(document["manifests"])) return OCI_INDEX;
  const config = asObject(document["config"]);
  if (config === undefined || !Array.isArray(document["layers"])) return undefined;
  return config["mediaType"] === "application/vnd.docker.container.image.v1+json"
    ? DOCKER_MANIFEST
    : OCI_MANIFEST;
}

function platformOf(value: unknown): string | undefined {
  const platform = asObject(value);
  if (platform === undefined) return undefined;
  const { os, architecture, variant } = platform as Record<string, unknown>;
  if (typeof os !== "string" || typeof architecture !== "string") return undefined;
  return `${os}/${architecture}${
    typeof variant === "string" && variant !== "" ? `/${variant}` : ""
  }`;
}

function childOf(value: unknown): ManifestChild | undefined {
  const descriptor = asObject(value);
  const digest = descriptor?.["digest"];
  if (descriptor === undefined || typeof digest !== "string" || !isDigest(digest)) return undefined;
  const size = descriptor["size"];
  const platform = platformOf(descriptor["platform"]);
  return {
    digest,
    mediaType: typeof descriptor["mediaType"] === "string" ? descriptor["mediaType"] : "",
    size: typeof size === "number" && Number.isSafeInteger(size) && size >= 0 ? size : 0,
    ...(platform === undefined ? {} : { platform }),
  };
}

/** An artifact type that is missing or empty is the config's media type (distribution specification, end-12a). */
function referralOf(document: Json): Referral | undefined {
  const subject = childOf(document["subject"])?.digest;
  if (subject === undefined) return undefined;
  const artifactType = [document["artifactType"], asObject(document["config"])?.["mediaType"]]
    .find((type) => typeof type === "string" && type !== "") as string | undefined;
  const annotations = Object.entries(asObject(document["annotations"]) ?? {})
    .filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return {
    subject,
    ...(artifactType === undefined ? {} : { artifactType }),
    annotations: Object.fromEntries(annotations),
  };
}

/**
 * Parses a manifest or index. Children that are malformed are left out, so that one odd entry does not hide
 * the rest of an image.
 *
 * @param bytes The document, at most {@linkcode MAX_MANIFEST_SIZE} bytes.
 * @returns The manifest, or `undefined` if the bytes are not a manifest or index that Kagami knows.
 */
export function parseManifest(bytes: Uint8Array): Manifest | undefined {
  if (bytes.length > MAX_MANIFEST_SIZE) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
  const document = asObject(parsed);
  const mediaType = document === undefined ? undefined : mediaTypeOf(document);
  if (document === undefined || mediaType === undefined) return undefined;
  const list = (field: string): unknown[] => {
    const value = document[field];
    return Array.isArray(value) ? value : [];
  };
  const children = isIndexMediaType(mediaType)
    ? list("manifests")
    : [document["config"], ...list("layers")];
  const referral = referralOf(document);
  return {
    mediaType,
    children: children.map(childOf).filter((child) => child !== undefined),
    ...(referral === undefined ? {} : { referral }),
  };
}
