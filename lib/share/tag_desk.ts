/**
 * Asks upstream what tags stand for, once for all who ask at about the same time: one question a tag, whose answer is
 * remembered for a moment.
 *
 * @module
 */
import type { Logger } from "../observability/logger.ts";
import { referenceKey, type TagReference } from "../oci/reference.ts";
import type { Descriptor } from "../store/store.ts";

/** How long it is remembered what upstream said of a tag, or that it said nothing, in milliseconds. */
export const TAG_TTL_MS = 2000;

/** Longest wait for upstream, in milliseconds: less than those wait who ask. */
export const TAG_UPSTREAM_MS = 1800;

/** How long a registry that did not answer is not asked again, in milliseconds. */
export const UNREACHABLE_TTL_MS = 5000;

/** Most tags that are remembered. */
export const MAX_TAGS = 256;

/** Most questions to upstream at the same time. */
export const MAX_TAG_QUESTIONS = 16;

/** What happens, for metrics. All optional. */
export interface TagEvents {
  /** Upstream is asked. */
  asked?(): void;
  /** Somebody was told what a tag stands for. */
  answered?(): void;
}

/** Options of {@linkcode TagDesk}. */
export interface TagDeskOptions {
  /** Whether upstream may be asked about a tag, whoever wants to know. */
  readonly allows: (tag: TagReference) => Promise<boolean>;
  /** Asks upstream. Undefined if it does not say; rejects if it cannot be reached. */
  readonly ask: (tag: TagReference, signal: AbortSignal) => Promise<Descriptor | undefined>;
  readonly log: Logger;
  readonly events?: TagEvents;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
}

interface Known {
  readonly answer: Promise<Descriptor | undefined>;
  /** Infinity while upstream is being asked. */
  until: number;
}

/** See the module. */
export class TagDesk {
  readonly #options: TagDeskOptions;
  /** By full reference. */
  readonly #known = new Map<string, Known>();
  /** Registries that did not answer, and until when they are left alone. */
  readonly #unreachable = new Map<string, number>();
  #asking = 0;

  /**
   * @param options Whom to ask, and what for.
   */
  constructor(options: TagDeskOptions) {
    this.#options = options;
  }

  /**
   * Finds out what a tag stands for.
   *
   * @param tag The tag.
   * @returns What upstream says, now or a moment ago; undefined if it is not asked, or does not say. Never rejects.
   */
  async resolve(tag: TagReference): Promise<Descriptor | undefined> {
    this.#forget();
    const key = referenceKey(tag);
    const known = this.#known.get(key) ?? this.#begin(key, tag);
    const descriptor = await known?.answer;
    if (descriptor !== undefined) this.#options.events?.answered?.();
    return descriptor;
  }

  /** Undefined if there is too much to do. */
  #begin(key: string, tag: TagReference): Known | undefined {
    if (this.#known.size >= MAX_TAGS || this.#asking >= MAX_TAG_QUESTIONS) return undefined;
    if (this.#unreachable.has(tag.registry)) return undefined;
    const known: Known = { answer: this.#ask(tag), until: Infinity };
    this.#known.set(key, known);
    void known.answer.then(() => known.until = this.#options.now() + TAG_TTL_MS);
    return known;
  }

  async #ask(tag: TagReference): Promise<Descriptor | undefined> {
    const { allows, ask, events, log, now } = this.#options;
    this.#asking += 1;
    try {
      if (!await allows(tag)) return undefined;
      events?.asked?.();
      return await ask(tag, AbortSignal.timeout(TAG_UPSTREAM_MS));
    } catch (error) {
      log.warn("upstream cannot be asked what a tag stands for", { tag: referenceKey(tag), error });
      this.#unreachable.set(tag.registry, now() + UNREACHABLE_TTL_MS);
      return undefined;
    } finally {
      this.#asking -= 1;
    }
  }

  #forget(): void {
    const now = this.#options.now();
    for (const [key, { until }] of this.#known) if (until <= now) this.#known.delete(key);
    for (const [registry, until] of this.#unreachable) {
      if (until <= now) this.#unreachable.delete(registry);
    }
  }
}
