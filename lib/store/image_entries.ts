/**
 * From image names and stored content to what a node advertises.
 *
 * @module
 */
import type { Digest } from "../oci/digest.ts";
import { parseReference, type Reference } from "../oci/reference.ts";
import type { Source, StoreEntry } from "./store.ts";

/** A name in the store and what it points to. */
export interface ImageName {
  readonly name: string;
  readonly target: Digest;
}

/** A stored content. */
export interface StoredContent {
  /** Where it was fetched from, as far as the store knows by itself. */
  readonly sources: readonly Source[];
  /** Content that this one refers to: manifests of an index, config and layers of a manifest. */
  readonly children: readonly Digest[];
}

/**
 * Lists tags and content. A tag whose target is not stored is left out, since nobody could be served with it.
 * Content without sources of its own (imported images) takes those of the images that refer to it.
 *
 * @param images Names in the store, also those that are no references.
 * @param contents Complete content, by digest.
 * @returns Entries, each key once.
 */
export function imageEntries(
  images: readonly ImageName[],
  contents: ReadonlyMap<Digest, StoredContent>,
): StoreEntry[] {
  const named = namedSources(images, contents);
  const entries = new Map<string, StoreEntry>();
  for (const { name, target } of images) {
    const reference = tryParse(name);
    if (reference?.tag === undefined || !contents.has(target)) continue;
    // `name:tag@digest` also names a tag, but one that may have moved since; only plain tags are told.
    if (reference.digest !== undefined) continue;
    const source = { registry: reference.registry, repository: reference.repository };
    entries.set(name, { kind: "tag", key: name, digest: target, sources: [source] });
  }
  const targets = new Set(images.map((image) => image.target));
  for (const [digest, content] of contents) {
    const kind = targets.has(digest) ? "image" : "content";
    const sources = mergeSources(content.sources, named.get(digest));
    entries.set(digest, { kind, key: digest, digest, sources });
  }
  return [...entries.values()];
}

/**
 * Finds the sources of one content in a list.
 *
 * @param entries What a store listed.
 * @param digest The content.
 * @returns Its sources; none if it is not in the list.
 */
export function sourcesIn(entries: readonly StoreEntry[], digest: Digest): readonly Source[] {
  return entries.find(({ kind, key }) => kind !== "tag" && key === digest)?.sources ?? [];
}

/** Sources by image name, passed down to all content that the image refers to. */
function namedSources(
  images: readonly ImageName[],
  contents: ReadonlyMap<Digest, StoredContent>,
): Map<Digest, Map<string, Source>> {
  const named = new Map<Digest, Map<string, Source>>();
  for (const { name, target } of images) {
    const reference = tryParse(name);
    if (reference === undefined) continue;
    const source = { registry: reference.registry, repository: reference.repository };
    const key = keyOf(source);
    const open: Digest[] = [target];
    for (let digest = open.pop(); digest !== undefined; digest = open.pop()) {
      const content = contents.get(digest);
      if (content === undefined) continue;
      const sources = named.get(digest) ?? new Map<string, Source>();
      // What has the source has passed it on already.
      if (sources.has(key)) continue;
      named.set(digest, sources.set(key, source));
      open.push(...content.children);
    }
  }
  return named;
}

function tryParse(name: string): Reference | undefined {
  try {
    return parseReference(name);
  } catch {
    return undefined; // Stores also hold names that are no references, such as `sha256:<config>`.
  }
}

/** Joins sources; a host without its port gives way to the same repository with one. */
function mergeSources(
  labels: readonly Source[],
  named: ReadonlyMap<string, Source> = new Map(),
): Source[] {
  const names = [...named.values()];
  const others = labels.filter((source) =>
    !named.has(keyOf(source)) &&
    !names.some(({ registry, repository }) =>
      repository === source.repository && registry.replace(/:[0-9]+$/, "") === source.registry
    )
  );
  return [...names, ...new Map(others.map((source) => [keyOf(source), source])).values()];
}

function keyOf({ registry, repository }: Source): string {
  return `${registry}/${repository}`;
}
