/**
 * Tells of each part of an image where it would come from now, and why.
 *
 * @module
 */
import type { Location } from "../debug/node_status.ts";
import { isDigest } from "../oci/digest.ts";
import { type DistributionPath, formatDistributionPath } from "../oci/distribution.ts";
import type { ReferenceFilter } from "../oci/filter.ts";
import { type ManifestChild, parseManifest } from "../oci/manifest.ts";
import { isIndexMediaType, MANIFEST_MEDIA_TYPES } from "../oci/media_types.ts";
import { isForPlatform } from "../oci/platform.ts";
import { formatReference, type Reference, referenceKey } from "../oci/reference.ts";
import { OWN_CHALLENGE } from "../registry/answers.ts";
import { SOURCE_HEADER, UPSTREAM_SOURCE } from "../registry/messages.ts";
import { placeOf } from "../transfer/place_of.ts";
import type { HttpAnswer } from "./http_asker.ts";
import type { NodeClient } from "./node_client.ts";
import { aligned, formatBytes } from "./text.ts";

/** Parts that are looked for at the same time. */
export const PARTS_AT_ONCE = 4;

/** Most parts of an image that are looked for. */
export const MAX_PARTS = 256;

/** A part of an image. */
export interface ImagePart {
  readonly kind: "tag" | "index" | "manifest" | "config" | "layer";
  /** Digest, or for a tag the full reference. */
  readonly key: string;
  /** Bytes, where it is known. */
  readonly size?: number;
  readonly platform?: string;
  readonly from: "local" | "peers" | "in progress" | "upstream";
  readonly why: string;
  /** Bytes that are there of a part in progress: on this node, else on the peer that has the most. */
  readonly done?: number;
  /** `host:port` of all peers that announce it. */
  readonly peers: readonly string[];
  readonly remedy?: string;
}

/** An image and its parts. */
export interface ImageReport {
  /** Full reference. */
  readonly image: string;
  readonly parts: readonly ImagePart[];
  /** Why there may be more parts. */
  readonly incomplete?: string;
}

/** What is needed to look. */
export interface LocateImageParts {
  readonly node: NodeClient;
  readonly filter: ReferenceFilter;
  /** `Authorization` header that the mirror wants. */
  readonly authorization?: string;
  /** `<os>/<architecture>` of this node. */
  readonly platform: string;
  readonly signal: AbortSignal;
}

const FIRST_PULL =
  "nothing for the first pull of the cluster; else run the doctor on a node that has it";

const PRIVATE = {
  from: "upstream",
  why: "private: only who proves upstream that they may have it gets it from here",
  remedy: "nothing, if pulls send credentials that the registry accepts; see private-images.md",
} as const;

type Wanted = Pick<ImagePart, "kind" | "size" | "platform"> & { readonly path: DistributionPath };

/**
 * Looks for all parts of an image, as far as they can be known.
 *
 * @param reference The image.
 * @param parts What is needed to look.
 * @returns Where they are. An index is followed for this node's platform.
 * @throws {UnavailableError} If the mirror does not answer.
 */
export async function locateImage(
  reference: Reference,
  parts: LocateImageParts,
): Promise<ImageReport> {
  const image = formatReference(reference);
  const found: ImagePart[] = [];
  const done = (incomplete?: string): ImageReport => ({
    image,
    parts: found,
    ...(incomplete === undefined ? {} : { incomplete }),
  });
  let digest: string | undefined = reference.digest;
  if (digest === undefined) {
    const path = manifestPath(reference);
    found.push(await locatePart({ kind: "tag", path }, parts));
    digest = (await askMirror(path, "HEAD", parts)).headers.get("docker-content-digest") ??
      undefined;
    if (digest === undefined) return done(await unknownTag(path.key, parts));
  }
  let next: ManifestChild | undefined = childOf(digest);
  while (next !== undefined) {
    const path = manifestPath(pathTo(reference, next.digest));
    const { status, bytes } = await fetchManifest(path, parts);
    const manifest = status === 200 ? parseManifest(bytes) : undefined;
    const isIndex = isIndexMediaType(manifest?.mediaType ?? next.mediaType);
    const wanted = { ...sizeOf(next, bytes, status), ...platformOf(next) };
    found.push(
      await locatePart({ kind: isIndex ? "index" : "manifest", path, ...wanted }, parts),
    );
    if (manifest === undefined) return done("the manifest is not to be had here");
    const { children } = manifest;
    next = isIndex ? children.find((child) => isForPlatform(child, parts.platform)) : undefined;
    const others = children.filter((child) => child !== next);
    const rest = others.map((child, index): Wanted => ({
      kind: isIndex ? "manifest" : index === 0 ? "config" : "layer",
      path: {
        ...pathTo(reference, child.digest),
        kind: isIndex ? "manifests" : "blobs",
        key: child.digest,
      },
      size: child.size,
      ...platformOf(child),
    }));
    found.push(...await locateAll(rest.slice(0, MAX_PARTS), parts));
    if (rest.length > MAX_PARTS) return done(`${rest.length - MAX_PARTS} more were not looked for`);
    if (isIndex && next === undefined) return done(`the index has nothing for ${parts.platform}`);
  }
  return done();
}

function childOf(digest: string): ManifestChild | undefined {
  return isDigest(digest) ? { digest, mediaType: "", size: 0 } : undefined;
}

function pathTo({ registry, repository }: Reference, digest: ManifestChild["digest"]): Reference & {
  digest: ManifestChild["digest"];
} {
  return { registry, repository, digest };
}

function manifestPath(reference: Reference): DistributionPath {
  return { ...reference, kind: "manifests", key: referenceKey(reference) };
}

function sizeOf(child: ManifestChild, bytes: Uint8Array, status: number): { size?: number } {
  const size = child.size || (status === 200 ? bytes.length : 0);
  return size === 0 ? {} : { size };
}

function platformOf({ platform }: ManifestChild): { platform?: string } {
  return platform === undefined ? {} : { platform };
}

async function locateAll(
  wanted: readonly Wanted[],
  parts: LocateImageParts,
): Promise<ImagePart[]> {
  const found: ImagePart[] = [];
  for (let at = 0; at < wanted.length; at += PARTS_AT_ONCE) {
    const some = wanted.slice(at, at + PARTS_AT_ONCE);
    found.push(...await Promise.all(some.map((part) => locatePart(part, parts))));
  }
  return found;
}

function askMirror(
  path: DistributionPath,
  method: "GET" | "HEAD",
  { node, authorization, signal }: LocateImageParts,
): Promise<HttpAnswer> {
  const headers = {
    Accept: path.kind === "manifests" ? MANIFEST_MEDIA_TYPES.join(", ") : "*/*",
    ...(authorization === undefined ? {} : { Authorization: authorization }),
  };
  return node.registry(formatDistributionPath(path), { method, headers, signal });
}

/** Which image a download belongs to is known when the pull has ended; until then all of them are told. */
async function unknownTag(key: string, { node, signal }: LocateImageParts): Promise<string> {
  const { local: { downloads = [] } } = await node.locate(key, signal);
  const unknown = "nobody here knows what the tag stands for";
  if (downloads.length === 0) return unknown;
  const list = downloads.map(({ digest, offset, total, from }) => {
    const source = from === undefined
      ? ""
      : from === "upstream"
      ? `, from ${from}`
      : ", from a peer";
    return `  ${shortDigest(digest)}  ${portion(offset, total)}${source}`;
  });
  return [`${unknown}, before its first pull has ended; containerd is getting now:`, ...list]
    .join("\n");
}

/** Only what is to be had is asked for: a GET for what nobody has makes the mirror announce that containerd gets it. */
async function fetchManifest(path: DistributionPath, parts: LocateImageParts): Promise<HttpAnswer> {
  const head = await askMirror(path, "HEAD", parts);
  return head.status === 200 ? await askMirror(path, "GET", parts) : head;
}

async function locatePart(wanted: Wanted, parts: LocateImageParts): Promise<ImagePart> {
  const { path, ...rest } = wanted;
  const { key } = path;
  const refusal = parts.filter.refusal(path);
  if (refusal !== undefined) {
    const option = refusal.because === "registry" ? "--mirrored-registries" : "--registry-filters";
    const [why, remedy] = refusal.because === "registry"
      ? [`filtered: ${option} does not name ${path.registry}`, `add ${path.registry} to ${option}`]
      : [
        `filtered: ${option} has ${refusal.expression.source}, which matches`,
        `take the expression out of ${option}`,
      ];
    return { ...rest, key, from: "upstream", why, peers: [], remedy };
  }
  const location = await parts.node.locate(key, parts.signal);
  const { status, headers } = await askMirror(path, "HEAD", parts);
  const peers = location.peers.map(placeOf);
  const source = status === 200 ? headers.get(SOURCE_HEADER) ?? "" : undefined;
  const isPrivate = status === 401 && headers.get("www-authenticate") !== OWN_CHALLENGE;
  return {
    ...rest,
    key,
    peers,
    ...isPrivate ? PRIVATE : verdict(location, source, status),
  };
}

function verdict(
  location: Location,
  source: string | undefined,
  status: number,
): Pick<ImagePart, "from" | "why" | "done" | "remedy"> {
  const { local, peers, complete, milliseconds } = location;
  const others = `${peers.length} ${peers.length === 1 ? "peer has" : "peers have"} it`;
  if (source === "local") return { from: "local", why: `in this node's store; ${others}` };
  if (source === UPSTREAM_SOURCE) {
    return { from: "upstream", why: "upstream was asked what it stands for; nobody has it here" };
  }
  if (source !== undefined) return { from: "peers", why: `now from ${source}; ${others}` };
  if (status === 401) {
    const remedy = "give the doctor the mirror's credentials with --basic-auth-dir";
    return { from: "upstream", why: "the mirror refuses the credentials", remedy };
  }
  if (local.present) {
    const remedy = "look for the content in the mirror's log; if it is corrupt, remove the image";
    return { from: "upstream", why: `in this node's store, but not served (${status})`, remedy };
  }
  const progress = progressOf(location);
  if (progress !== undefined) return { from: "in progress", ...progress };
  const failure = local.failure === undefined ? "" : `; the store fails: ${local.failure}`;
  if (peers.length > 0) {
    const remedy = "raise --mirror-resolve-timeout, or run the doctor on those peers";
    return { from: "upstream", why: `${others}, and none delivers${failure}`, remedy };
  }
  const search = complete ? `${milliseconds} ms` : `${milliseconds} ms, not ended`;
  return {
    from: "upstream",
    why: `nobody announces it (${search})${failure}`,
    remedy: FIRST_PULL,
  };
}

function progressOf(
  { local: { download }, downloads = [] }: Location,
): Pick<ImagePart, "why" | "done"> | undefined {
  const others = downloads.map(({ peer, state, offset, total }) => {
    const from = state === "fetching" ? "upstream" : "a peer";
    return `${placeOf(peer)} has ${portion(offset, total)} so far, from ${from}`;
  });
  if (download === undefined) {
    const [best] = downloads;
    return best && { why: shortened(others, "; "), done: best.offset };
  }
  const { offset, total, from } = download;
  const parent = typeof from === "object"
    ? downloads.find(({ peer }) => peer.id === from.peer)?.peer
    : undefined;
  const source = typeof from !== "object"
    ? from
    : parent === undefined
    ? `peer ${from.peer}`
    : `peer ${placeOf(parent)}`;
  const here = `this node's containerd has ${portion(offset, total)} so far`;
  const why = source === undefined ? here : `${here}, from ${source}`;
  return { why: [why, ...others.slice(0, MAX_SHOWN)].join("; "), done: offset };
}

function portion(offset: number, total: number | undefined): string {
  if (total === undefined || total === 0) return formatBytes(offset);
  const percent = Math.floor(100 * offset / total);
  return `${formatBytes(offset)} of ${formatBytes(total)} (${percent} %)`;
}

/**
 * Writes the report for people.
 *
 * @param report The report.
 * @returns Lines, each with its newline.
 */
export function formatImageReport(report: ImageReport): string {
  const rows = report.parts.map((part) => [
    part.kind,
    shortDigest(part.key),
    part.platform ?? "",
    part.size === undefined ? "" : formatBytes(part.size),
    part.from,
    `${part.why}${part.peers.length === 0 ? "" : `: ${shortened(part.peers)}`}`,
  ]);
  const remedies = new Set(report.parts.map(({ remedy }) => remedy));
  return [
    report.image,
    "",
    ...aligned(rows),
    ...(report.incomplete === undefined ? [] : ["", report.incomplete]),
    "",
    ...[...remedies].filter((remedy) => remedy !== undefined).map((text) => `remedy: ${text}`),
    "",
  ].join("\n");
}

function shortDigest(key: string): string {
  return key.replace(/^(sha\d+:[0-9a-f]{12})[0-9a-f]+$/, "$1…");
}

const MAX_SHOWN = 8;

function shortened(peers: readonly string[], separator = ", "): string {
  const shown = peers.slice(0, MAX_SHOWN).join(separator);
  return peers.length > MAX_SHOWN ? `${shown} and ${peers.length - MAX_SHOWN} more` : shown;
}
