/**
 * Asks upstream what tags stand for, once for all who ask at about the same time: one question a tag, whose answer is
 * remembered for a moment.
 *
 * @module
 */
import { ExpiringSet } from "../expiring_set.ts";
import type { Logger } from "../observability/logger.ts";
import { referenceKey, type TagReference } from "../oci/reference.ts";
import type { Descriptor } from "../store/store.ts";
import type { Resolution } from "./messages.ts";

/** How long it is remembered what upstream said of a tag, or that it said nothing, in milliseconds. */
export const TAG_TTL_MS = 2000;

/** Longest wait for upstream, in milliseconds: less than those wait who ask. */
export const TAG_UPSTREAM_MS = 1800;

/**
 * How long a registry that did not answer is not asked again, in milliseconds: where mirrors have no way to it, few pulls are
 * to wait for it. To leave it alone costs nothing, containerd asks itself then.
 */
export const UNREACHABLE_TTL_MS = 30_000;

/** Most registries of which that is remembered. */
export const MAX_UNREACHABLE = 256;

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
  readonly answer: Promise<Resolution>;
  /** Infinity while upstream is being asked. */
  until: number;
}

/** See the module. */
export class TagDesk {
  readonly #options: TagDeskOptions;
  /** By full reference. */
  readonly #known = new Map<string, Known>();
  /** Registries that did not answer. */
  readonly #unreachable: ExpiringSet;
  #asking = 0;

  /**
   * @param options Whom to ask, and what for.
   */
  constructor(options: TagDeskOptions) {
    this.#options = options;
    this.#unreachable = new ExpiringSet({
      ttlMs: UNREACHABLE_TTL_MS,
      limit: MAX_UNREACHABLE,
      now: options.now,
    });
  }

  /**
   * Finds out what a tag stands for.
   *
   * @param tag The tag.
   * @returns What upstream says, now or a moment ago; nothing if it is not asked, or does not say. Never rejects.
   */
  async resolve(tag: TagReference): Promise<Resolution> {
    this.#forget();
    const key = referenceKey(tag);
    const known = this.#known.get(key) ?? this.#begin(key, tag);
    if (known === undefined) return this.#unreachable.has(tag.registry) ? { away: true } : {};
    const resolution = await known.answer;
    if (resolution.descriptor !== undefined) this.#options.events?.answered?.();
    return resolution;
  }

  /** Undefined if there is too much to do, or the registry does not answer. */
  #begin(key: string, tag: TagReference): Known | undefined {
    if (this.#known.size >= MAX_TAGS || this.#asking >= MAX_TAG_QUESTIONS) return undefined;
    if (this.#unreachable.has(tag.registry)) return undefined;
    const known: Known = { answer: this.#ask(tag), until: Infinity };
    this.#known.set(key, known);
    void known.answer.then(() => known.until = this.#options.now() + TAG_TTL_MS);
    return known;
  }

  async #ask(tag: TagReference): Promise<Resolution> {
    const { allows, ask, events, log } = this.#options;
    const facts = { tag: referenceKey(tag) };
    this.#asking += 1;
    try {
      if (!await allows(tag)) {
        log.debug("upstream is not asked what a tag stands for, by configuration", facts);
        return {};
      }
      events?.asked?.();
      const descriptor = await ask(tag, AbortSignal.timeout(TAG_UPSTREAM_MS));
      log.debug("upstream was asked what a tag stands for", {
        ...facts,
        digest: descriptor?.digest,
      });
      return descriptor === undefined ? {} : { descriptor };
    } catch (error) {
      log.warn("upstream cannot be asked what a tag stands for", { ...facts, error });
      this.#unreachable.add(tag.registry);
      return { away: true };
    } finally {
      this.#asking -= 1;
    }
  }

  #forget(): void {
    const now = this.#options.now();
    for (const [key, { until }] of this.#known) if (until <= now) this.#known.delete(key);
  }
}
