/**
 * Lists the tagged images of this node, and who else has them. Peers are looked up only while somebody looks at the list.
 *
 * @module
 */
import type { ReferenceFilter } from "../oci/filter.ts";
import { parseReference } from "../oci/reference.ts";
import { locate, type LocateParts } from "./locate.ts";
import type { ImageList, ImageView } from "./node_activity.ts";

/** Most images of a list. */
export const MAX_LISTED_IMAGES = 50;

/** How long it is believed who has an image, in milliseconds. */
export const LOCATED_TTL_MS = 60_000;

/** Images that are looked up at the same time. */
export const LOOKUPS_AT_ONCE = 2;

/** Most images of which it is remembered who has them; those looked up first go first. */
export const MAX_LOCATED_IMAGES = 1024;

/** Longest filter, in characters. */
export const MAX_FILTER_LENGTH = 256;

interface Located {
  readonly peers: NonNullable<ImageView["located"]>["peers"];
  readonly complete: boolean;
  readonly at: number;
}

/** See the module. */
export class Images {
  readonly #parts: LocateParts;
  readonly #filter: ReferenceFilter;
  readonly #located = new Map<string, Located>();
  readonly #wanted = new Set<string>();
  readonly #signal: AbortSignal;
  #lookups = 0;

  /**
   * @param parts Where to look.
   * @param filter What is mirrored.
   * @param signal Ends all lookups.
   */
  constructor(parts: LocateParts, filter: ReferenceFilter, signal: AbortSignal) {
    this.#parts = parts;
    this.#filter = filter;
    this.#signal = signal;
  }

  /**
   * Lists images by name.
   *
   * @param filter Part of the names that are wanted.
   * @returns The first of them. Who has them may be known only some seconds later.
   * @throws {UnavailableError} If the store cannot be asked.
   */
  async list(filter: string): Promise<ImageList> {
    const wanted = filter.slice(0, MAX_FILTER_LENGTH).toLowerCase();
    const tags = (await this.#parts.store.list()).filter(({ kind }) => kind === "tag");
    const matching = tags
      .filter(({ key }) => key.toLowerCase().includes(wanted))
      .sort((a, b) => a.key < b.key ? -1 : 1);
    const shown = matching.slice(0, MAX_LISTED_IMAGES);
    for (const { key } of shown) if (!this.#isKnown(key)) this.#wanted.add(key);
    this.#lookUp();
    return {
      images: shown.map(({ key, digest }) => ({
        name: key,
        digest,
        isMirrored: isAllowed(this.#filter, key),
        ...this.#locationOf(key),
      })),
      matching: matching.length,
      total: tags.length,
    };
  }

  #isKnown(key: string): boolean {
    const known = this.#located.get(key);
    return known !== undefined && this.#parts.now() - known.at < LOCATED_TTL_MS;
  }

  #locationOf(key: string): Pick<ImageView, "located"> {
    const known = this.#located.get(key);
    if (known === undefined) return {};
    const { at, ...located } = known;
    return { located: { ...located, agoMs: Math.round(this.#parts.now() - at) } };
  }

  #lookUp(): void {
    while (this.#lookups < LOOKUPS_AT_ONCE && this.#wanted.size > 0 && !this.#signal.aborted) {
      const key = this.#wanted.values().next().value!;
      this.#wanted.delete(key);
      this.#lookups += 1;
      void this.#locate(key).finally(() => {
        this.#lookups -= 1;
        this.#lookUp();
      });
    }
  }

  /** A lookup that fails leaves what is known; the next list tries again. */
  async #locate(key: string): Promise<void> {
    try {
      const { peers, complete } = await locate(this.#parts, key, this.#signal);
      this.#located.delete(key);
      this.#located.set(key, { peers, complete, at: this.#parts.now() });
      if (this.#located.size > MAX_LOCATED_IMAGES) {
        this.#located.delete(this.#located.keys().next().value!);
      }
    } catch {
      // The router cannot look up now, which the state of the node tells.
    }
  }
}

function isAllowed(filter: ReferenceFilter, name: string): boolean {
  try {
    return filter.allows(parseReference(name));
  } catch {
    return filter.passesAll; // containerd also holds names that are no references.
  }
}
