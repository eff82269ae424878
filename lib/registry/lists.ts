/**
 * Tags and referrers of a repository, as far as the local store has them (end-8 and end-12 of the distribution
 * specification). Peers are not asked: nobody could tell whether what they know is all. Of a repository that the store
 * has nothing of there is no list, so that a client goes on to the upstream registry.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#content-discovery
 * @module
 */
import { NotFoundError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import type { ListPath } from "../oci/distribution.ts";
import { DistributionError } from "../oci/distribution_error.ts";
import { type ReferenceFilter, withoutPort } from "../oci/filter.ts";
import { MAX_MANIFEST_SIZE, parseManifest } from "../oci/manifest.ts";
import { OCI_INDEX } from "../oci/media_types.ts";
import type { Store, StoreEntry } from "../store/store.ts";
import { readAll } from "../transfer/read_all.ts";

/** A list as it is sent. */
export interface ListDocument {
  readonly contentType: string;
  /** JSON. */
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** What bounds a list: the parameters `n`, `last` and `artifactType`, and what a link to the next part repeats. */
type Query = URLSearchParams;

/** Lists what the local store has. */
export class Lists {
  readonly #store: Store;
  readonly #filter: ReferenceFilter;
  readonly #maxIndexSize: number;
  /** Under way now. Whoever asks meanwhile gets the same: in a large store a listing takes a while. */
  #listing: Promise<StoreEntry[]> | undefined;

  /**
   * @param store What is listed.
   * @param filter What is mirrored; nothing else is listed.
   * @param maxIndexSize Size of an index of referrers, in bytes, beyond which the rest comes in another one.
   */
  constructor(store: Store, filter: ReferenceFilter, maxIndexSize: number = MAX_MANIFEST_SIZE) {
    this.#store = store;
    this.#filter = filter;
    this.#maxIndexSize = maxIndexSize;
  }

  /**
   * Makes a list.
   *
   * @param path What is asked for.
   * @param query Parameters of the request.
   * @param signal Ends it.
   * @returns The list.
   * @throws {DistributionError} `NAME_UNKNOWN` if the store has nothing of the repository, `UNSUPPORTED` if `n` is not a
   * number.
   * @throws {UnavailableError} If the store cannot be asked.
   */
  async list(path: ListPath, query: Query, signal: AbortSignal): Promise<ListDocument> {
    const limit = parseLimit(query.get("n"));
    const entries = this.#filter.allows(path) ? await this.#entries() : [];
    const own = entries.filter((entry) => isOf(entry, path));
    if (own.length === 0) {
      throw new DistributionError("NAME_UNKNOWN", "nothing of this repository is held here", {
        detail: { name: path.repository },
      });
    }
    if (path.subject === undefined) return this.#tags(path, own, query, limit);
    const digests = new Set(own.map(({ digest }) => digest));
    // A referrer lies in the repository of what it refers to, and may have no name that tells so.
    const nameless = entries.filter(({ kind, sources }) => kind === "image" && sources.length < 1);
    if (digests.has(path.subject)) { for (const { digest } of nameless) digests.add(digest); }
    return await this.#referrers(path, path.subject, [...digests].sort(), query, signal);
  }

  #entries(): Promise<StoreEntry[]> {
    return this.#listing ??= this.#store.list().finally(() => this.#listing = undefined);
  }

  #tags(path: ListPath, own: readonly StoreEntry[], query: Query, limit: number): ListDocument {
    const name = `${path.registry}/${path.repository}:`;
    const last = query.get("last") ?? "";
    const tags = own.filter(({ kind, key }) => kind === "tag" && key.startsWith(name))
      .map(({ key }) => key.slice(name.length))
      .filter((tag) => tag > last && this.#filter.allows({ ...path, tag }))
      .sort();
    const page = tags.slice(0, limit);
    const hasMore = page.length < tags.length;
    return {
      contentType: "application/json",
      text: JSON.stringify({ name: path.repository, tags: page }),
      headers: hasMore ? linkTo(`${path.repository}/tags/list`, query, page.at(-1)) : {},
    };
  }

  async #referrers(
    path: ListPath,
    subject: Digest,
    candidates: readonly Digest[],
    query: Query,
    signal: AbortSignal,
  ): Promise<ListDocument> {
    const wanted = query.get("artifactType") ?? "";
    const last = query.get("last") ?? "";
    const found: { readonly digest: Digest; readonly text: string }[] = [];
    let left = this.#maxIndexSize;
    for (const digest of candidates.filter((candidate) => candidate > last)) {
      signal.throwIfAborted();
      const referrer = await this.#referrer(digest, subject);
      if (referrer === undefined || (wanted !== "" && referrer.artifactType !== wanted)) continue;
      const text = JSON.stringify(referrer);
      found.push({ digest, text });
      left -= text.length;
      if (left < 0) break;
    }
    // The one that did not fit begins the next index, unless it is alone.
    const hasMore = left < 0 && found.length > 1;
    if (hasMore) found.pop();
    const manifests = found.map(({ text }) => text).join(",");
    const name = `${path.repository}/referrers/${subject}`;
    return {
      contentType: OCI_INDEX,
      text: `{"schemaVersion":2,"mediaType":"${OCI_INDEX}","manifests":[${manifests}]}`,
      headers: {
        ...(wanted === "" ? {} : { "OCI-Filters-Applied": "artifactType" }),
        ...(hasMore ? linkTo(name, query, found.at(-1)?.digest) : {}),
      },
    };
  }

  /** Descriptor of a manifest that refers to the subject; undefined if the content does not. */
  async #referrer(digest: Digest, subject: Digest): Promise<Referrer | undefined> {
    try {
      const descriptor = await this.#store.descriptor(digest);
      if (descriptor.subject !== subject) return undefined;
      const bytes = await readAll(await this.#store.open(digest), MAX_MANIFEST_SIZE);
      const referral = parseManifest(bytes)?.referral;
      if (referral === undefined) return undefined;
      const { mediaType, size } = descriptor;
      const { artifactType, annotations } = referral;
      return {
        mediaType,
        digest,
        size,
        ...(artifactType === undefined ? {} : { artifactType }),
        ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      };
    } catch (error) {
      if (error instanceof NotFoundError) return undefined; // It went since it was listed, or it is corrupt.
      throw error;
    }
  }
}

/** A descriptor in the index of referrers. */
interface Referrer {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

function isOf({ sources }: StoreEntry, { registry, repository }: ListPath): boolean {
  return sources.some((source) =>
    source.repository === repository &&
    (source.registry === registry || source.registry === withoutPort(registry))
  );
}

function parseLimit(text: string | null): number {
  if (text === null) return Infinity;
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  throw new DistributionError("UNSUPPORTED", "n is not a number of tags", { status: 400 });
}

/** `Link` header to the next part (RFC 8288); none behind an empty one. */
function linkTo(name: string, query: Query, last: string | undefined): Record<string, string> {
  if (last === undefined) return {};
  const next = new URLSearchParams(query);
  next.set("last", last);
  return { Link: `</v2/${name}?${next}>; rel="next"` };
}
