/**
 * Request paths of the distribution specification: end-2 (blobs), end-3 (manifests), end-8 (tags) and end-12
 * (referrers).
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints
 * @module
 */
import { type Digest, isDigest } from "./digest.ts";
import { DistributionError } from "./distribution_error.ts";
import { isRegistry, isRepository, isTag, type Reference, referenceKey } from "./reference.ts";

/** The two kinds of content that can be pulled. */
export type DistributionKind = "manifests" | "blobs";

/** What a request asks for. */
export interface DistributionPath extends Reference {
  readonly kind: DistributionKind;
  /** The text to look up: the digest, else the full tag reference. */
  readonly key: string;
}

/** A path that names content by digest. */
export type DigestPath = DistributionPath & { readonly digest: Digest };

/** A list that is asked for. */
export interface ListPath {
  readonly registry: string;
  readonly repository: string;
  /** The manifest whose referrers are asked for; left out, it is the tags. */
  readonly subject?: Digest;
}

/** All of the query that containerd sends. */
const NAMESPACE_ALONE = /^\?ns=([A-Za-z0-9.:-]+)$/;

const LIST_PATTERN = /^\/v2\/(.+)\/(?:tags\/list|referrers\/([^/]+))$/;
const PATH_PATTERN = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/;

/**
 * The upstream registry that a request means. What containerd sends is read without `URL.searchParams`, which takes longer
 * than all else about the path.
 *
 * @param url URL of the request.
 * @returns Value of its `ns` parameter; null if there is none.
 */
export function namespaceOf(url: URL): string | null {
  return NAMESPACE_ALONE.exec(url.search)?.[1] ?? url.searchParams.get("ns");
}

/**
 * Parses the path of a pull request.
 *
 * @param pathname Path of the URL, still percent-encoded, without the query.
 * @param namespace Value of the `ns` query parameter: the upstream registry that containerd means.
 * @param defaultRegistry Registry that is meant when a client sends no `ns`.
 * @returns What is asked for.
 * @throws {DistributionError} `NAME_UNKNOWN` if the path is no pull path, `NAME_INVALID`, `DIGEST_INVALID` or
 * `MANIFEST_UNKNOWN` if a part of it is malformed.
 *
 * @example
 * ```ts
 * parseDistributionPath("/v2/library/nginx/manifests/1.27", "docker.io", "docker.io").key;
 * // "docker.io/library/nginx:1.27"
 * ```
 */
export function parseDistributionPath(
  pathname: string,
  namespace: string | null,
  defaultRegistry: string,
): DistributionPath {
  const match = PATH_PATTERN.exec(decode(pathname));
  const [, repository, kind, last] = match ?? [];
  if (repository === undefined || kind === undefined || last === undefined) {
    throw new DistributionError("NAME_UNKNOWN", "path is not a manifest or blob of a repository", {
      detail: { path: pathname.slice(0, 256) },
    });
  }
  const registry = registryOf(repository, namespace, defaultRegistry);
  const reference = { registry, repository, ...identify(kind as DistributionKind, last) };
  return { ...reference, kind: kind as DistributionKind, key: referenceKey(reference) };
}

/**
 * Parses the path of a request for tags or referrers.
 *
 * @param pathname Path of the URL, still percent-encoded, without the query.
 * @param namespace Value of the `ns` query parameter.
 * @param defaultRegistry Registry that is meant when a client sends no `ns`.
 * @returns What is asked for; undefined if the path is none of them.
 * @throws {DistributionError} `NAME_INVALID` or `DIGEST_INVALID` if a part of it is malformed.
 */
export function parseListPath(
  pathname: string,
  namespace: string | null,
  defaultRegistry: string,
): ListPath | undefined {
  const [, repository, subject] = LIST_PATTERN.exec(decode(pathname)) ?? [];
  if (repository === undefined) return undefined;
  const registry = registryOf(repository, namespace, defaultRegistry);
  if (subject === undefined) return { registry, repository };
  if (!isDigest(subject)) throw invalidDigest(subject);
  return { registry, repository, subject };
}

/** Checks a repository's name, and tells the registry it belongs to. */
function registryOf(repository: string, namespace: string | null, defaultRegistry: string): string {
  if (!isRepository(repository)) {
    throw new DistributionError("NAME_INVALID", "invalid repository name", {
      detail: { name: repository.slice(0, 256) },
    });
  }
  const registry = namespace === null || namespace === "" ? defaultRegistry : namespace;
  if (isRegistry(registry)) return registry;
  throw new DistributionError("NAME_INVALID", "ns is not a registry host", {
    detail: { ns: registry.slice(0, 256) },
  });
}

function invalidDigest(text: string): DistributionError {
  return new DistributionError("DIGEST_INVALID", "invalid or unsupported digest", {
    detail: { digest: text.slice(0, 256) },
  });
}

function decode(pathname: string): string {
  if (!pathname.includes("%")) return pathname;
  try {
    return decodeURIComponent(pathname);
  } catch (cause) {
    throw new DistributionError("NAME_INVALID", "path is not valid percent-encoding", { cause });
  }
}

function identify(kind: DistributionKind, last: string): { digest: Digest } | { tag: string } {
  if (isDigest(last)) return { digest: last };
  if (kind === "blobs" || last.includes(":")) throw invalidDigest(last);
  if (!isTag(last)) {
    throw new DistributionError("MANIFEST_UNKNOWN", "invalid tag", {
      detail: { tag: last.slice(0, 256) },
    });
  }
  return { tag: last };
}

/**
 * Builds the path and query with which another mirror is asked for the same content.
 *
 * @param path What is wanted.
 * @returns Path and query, starting with `/v2/`.
 */
export function formatDistributionPath(path: DistributionPath): string {
  const last = path.digest ?? path.tag;
  return `/v2/${path.repository}/${path.kind}/${last}?ns=${encodeURIComponent(path.registry)}`;
}
