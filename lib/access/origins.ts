/**
 * Under which names this node has its content. A digest alone says nothing about whose content it is, and a client may
 * name any registry along with it: private content is handed out only under a name under which it came here.
 *
 * @module
 */
import { NotFoundError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import type { Source } from "../store/store.ts";
import { ExpiringSet } from "../expiring_set.ts";
import { isSameSource, type PrivateRegistries } from "./private_registries.ts";

/**
 * Most contents of which it is remembered that they were asked for, with proof and without; the oldest go first. Who
 * proves nothing can push out only what others asked for without proof.
 */
export const MAX_AWAITED = 4096;

/** How long that is remembered, in milliseconds: as long as a download may take. */
export const AWAITED_TTL_MS = 60 * 60_000;

/** Most names that are remembered of one content. */
export const MAX_AWAITED_NAMES = 16;

/** A content that is asked for, or was found, under a name. */
export interface NamedContent extends Source {
  readonly digest: Digest;
}

/** Options of {@linkcode Origins}. */
export interface OriginsOptions {
  readonly registries: PrivateRegistries;
  /** Where a content in the store comes from; fails if it is not there. */
  readonly sources: (digest: Digest) => Promise<readonly Source[]>;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
}

interface Awaited {
  readonly until: number;
  /** Names under which somebody proved that they may have it. */
  readonly names: readonly Source[];
}

/** Knows where content comes from: what the store has, and what is on its way into it. */
export class Origins {
  readonly #options: OriginsOptions;
  readonly #proven = new Map<Digest, Awaited>();
  readonly #unproven: ExpiringSet;
  readonly #now: () => number;

  /**
   * @param options What is private, and who knows where content comes from.
   */
  constructor(options: OriginsOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#unproven = new ExpiringSet({ ttlMs: AWAITED_TTL_MS, limit: MAX_AWAITED, now: this.#now });
  }

  /**
   * Notes that private content was asked for. While it comes, the store does not tell whose it is.
   *
   * @param content The content, and the name that was given along with it.
   * @param isProven Whether access to that name was proven.
   */
  note({ digest, registry, repository }: NamedContent, isProven: boolean): void {
    if (!isProven) return this.#unproven.add(digest);
    const name = { registry, repository };
    const others = this.#provenNames(digest)?.filter((one) => !isSameSource(one, name)) ?? [];
    this.#proven.delete(digest);
    const until = this.#now() + AWAITED_TTL_MS;
    this.#proven.set(digest, { until, names: [...others, name].slice(-MAX_AWAITED_NAMES) });
    const [oldest] = this.#proven.keys();
    if (this.#proven.size > MAX_AWAITED && oldest !== undefined) this.#proven.delete(oldest);
  }

  #provenNames(digest: Digest): readonly Source[] | undefined {
    const awaited = this.#proven.get(digest);
    if (awaited === undefined || awaited.until > this.#now()) return awaited?.names;
    this.#proven.delete(digest);
    return undefined;
  }

  /** Names of content that somebody waits for; undefined if nobody does. */
  #awaitedNames(digest: Digest): readonly Source[] | undefined {
    return this.#provenNames(digest) ?? (this.#unproven.has(digest) ? [] : undefined);
  }

  /**
   * Whether content may be handed out under a name, by somebody who may have what the name stands for.
   *
   * @param content The content and the name.
   * @returns False if it is private and came here under other names only.
   * @throws {UnavailableError} If the store cannot be asked.
   */
  async allows(content: NamedContent): Promise<boolean> {
    const { registries } = this.#options;
    const sources = await this.#sources(content.digest);
    const isPrivate = (source: Source) => registries.mayCover(source);
    // What can also be had elsewhere is no secret of the private registry.
    if (sources.some((source) => !isPrivate(source))) return true;
    // Only while the store does not tell: a name that somebody just gave proves little.
    const names = sources.length > 0 ? sources : this.#awaitedNames(content.digest);
    return names === undefined || names.some((source) => isSameSource(source, content));
  }

  async #sources(digest: Digest): Promise<readonly Source[]> {
    try {
      return await this.#options.sources(digest);
    } catch (error) {
      if (error instanceof NotFoundError) return [];
      throw error;
    }
  }
}
