/**
 * Image references: `<registry>/<repository>[:<tag>][@<digest>]`, in full form, as containerd names images.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
 * @module
 */
import { InvalidReferenceError } from "../errors.ts";
import { type Digest, isDigest, parseDigest } from "./digest.ts";

/**
 * Longest repository name, and longest registry host, accepted in characters. Clients limit both of them together
 * to as much (distribution specification, "Pulling manifests"), so that nothing they can ask for is refused.
 */
export const MAX_NAME_LENGTH = 255;

const REPOSITORY_PATTERN =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG_PATTERN = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const REGISTRY_PATTERN =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:.]+\])(?::[0-9]{1,5})?$/;

/** A parsed reference. At least one of tag and digest is set. */
export interface Reference {
  /** Registry host, with port if it has one, e.g. `docker.io` or `localhost:5000`. */
  readonly registry: string;
  /** Repository, e.g. `library/nginx`. */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** A reference by tag alone. */
export interface TagReference {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
}

/**
 * @param text A repository name without registry.
 * @returns True if the distribution specification allows it.
 */
export function isRepository(text: string): boolean {
  return text.length <= MAX_NAME_LENGTH && REPOSITORY_PATTERN.test(text);
}

/**
 * @param text A tag.
 * @returns True if the distribution specification allows it.
 */
export function isTag(text: string): boolean {
  return TAG_PATTERN.test(text);
}

/**
 * @param text A host with an optional port; IPv6 in brackets.
 * @returns True if it can name a registry.
 */
export function isRegistry(text: string): boolean {
  return text.length <= MAX_NAME_LENGTH && REGISTRY_PATTERN.test(text);
}

/**
 * Parses a full reference. Nothing is filled in: `nginx` alone is refused, since a store only knows full names.
 *
 * @param text Reference such as `docker.io/library/nginx:1.27` or `ghcr.io/a/b@sha256:…`.
 * @returns The parts.
 * @throws {InvalidReferenceError} If registry, repository, or both of tag and digest are missing or malformed.
 *
 * @example
 * ```ts
 * parseReference("docker.io/library/nginx:1.27").repository; // "library/nginx"
 * ```
 */
export function parseReference(text: string): Reference {
  const fail = (reason: string) =>
    new InvalidReferenceError(`image reference ${JSON.stringify(text)}: ${reason}`);
  const slash = text.indexOf("/");
  if (slash <= 0) throw fail("must start with <registry>/");
  const registry = text.slice(0, slash);
  if (!isRegistry(registry)) throw fail(`${JSON.stringify(registry)} is not a registry host`);
  let rest = text.slice(slash + 1);

  let digest: Digest | undefined;
  const at = rest.indexOf("@");
  if (at >= 0) {
    const digestText = rest.slice(at + 1);
    if (!isDigest(digestText)) throw fail(`${JSON.stringify(digestText)} is not a digest`);
    digest = parseDigest(digestText);
    rest = rest.slice(0, at);
  }
  let tag: string | undefined;
  const colon = rest.indexOf(":");
  if (colon >= 0) {
    tag = rest.slice(colon + 1);
    if (!isTag(tag)) throw fail(`${JSON.stringify(tag)} is not a tag`);
    rest = rest.slice(0, colon);
  }
  if (!isRepository(rest)) throw fail(`${JSON.stringify(rest)} is not a repository name`);
  if (tag === undefined && digest === undefined) throw fail("needs a tag or a digest");
  return {
    registry,
    repository: rest,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** Registry of names that have none. */
const DEFAULT_REGISTRY = "docker.io";

/**
 * Parses a reference as people write it, and fills in what Docker and Kubernetes would: registry, `library/` and tag.
 *
 * @param text Reference such as `nginx`, `user/app:1` or `ghcr.io/a/b`.
 * @returns The parts.
 * @throws {InvalidReferenceError} If a part of it is malformed.
 *
 * @example
 * ```ts
 * formatReference(normalizeReference("nginx")); // "docker.io/library/nginx:latest"
 * ```
 */
export function normalizeReference(text: string): Reference {
  const slash = text.indexOf("/");
  const first = slash < 0 ? "" : text.slice(0, slash);
  // A name without a point or a port is a user's, unless it is the one host that needs neither.
  const hasRegistry = /[.:[]|^localhost$/.test(first);
  const host = hasRegistry
    ? first.replace(/^index\.docker\.io$/, DEFAULT_REGISTRY)
    : DEFAULT_REGISTRY;
  let rest = hasRegistry ? text.slice(slash + 1) : text;
  if (host === DEFAULT_REGISTRY && !rest.includes("/")) rest = `library/${rest}`;
  if (!/[:@]/.test(rest)) rest += ":latest";
  return parseReference(`${host}/${rest}`);
}

/**
 * The text under which a reference is advertised and looked up, the same as Spegel's: the digest where there
 * is one, else registry, repository and tag.
 *
 * @param reference The reference.
 * @returns `sha256:…` or `docker.io/library/nginx:1.27`.
 */
export function referenceKey(reference: Reference): string {
  return reference.digest ?? `${reference.registry}/${reference.repository}:${reference.tag}`;
}

/**
 * @param reference The reference.
 * @returns Its full text.
 */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${reference.registry}/${reference.repository}${tag}${digest}`;
}
