/**
 * Keeps what the router advertises equal to what the store holds.
 *
 * Events only say *when* to look; the listing is the truth. It costs some ten milliseconds for thousands of
 * images, and no event that was missed, reordered or misread can make the advertised state wrong for longer than
 * until the next look.
 *
 * @module
 */
import type { ReferenceFilter } from "../oci/filter.ts";
import { parseReference } from "../oci/reference.ts";
import type { Logger } from "../observability/logger.ts";
import type { Router } from "../routing/router.ts";
import { type Sleep, sleep } from "../sleep.ts";
import type { Store, StoreEntry } from "../store/store.ts";

/** Time from a change to the look at the store, in milliseconds; changes within it share one look. */
export const DEBOUNCE_MS = 100;

/** Looks may use at most one part in so many of the time, however fast changes come. */
export const MAX_WALK_SHARE = 10;

/**
 * Longest pause between looks while there are changes, in milliseconds. A look that took long because the machine is
 * busy must not put off the next one for ten times as long.
 */
export const MAX_PAUSE_MS = 5000;

/** Time between looks without any change, in milliseconds. */
export const WALK_INTERVAL_MS = 60_000;

/** Time until the next try when the store could not be listed, in milliseconds. */
export const RETRY_MS = 2000;

/** Label for content whose origin is not known. */
export const UNKNOWN_REGISTRY = "unknown";

/** Numbers of advertised keys, by registry. */
export interface AdvertisedCounts {
  readonly tags: ReadonlyMap<string, number>;
  readonly images: ReadonlyMap<string, number>;
  readonly contents: ReadonlyMap<string, number>;
}

/** Options of {@linkcode Sync}. */
export interface SyncOptions {
  readonly store: Store;
  readonly router: Router;
  readonly filter: ReferenceFilter;
  readonly log: Logger;
  /** Called after each look. */
  readonly onAdvertised?: (counts: AdvertisedCounts) => void;
  /** Default: {@linkcode DEBOUNCE_MS}. */
  readonly debounceMs?: number;
  /** Default: {@linkcode WALK_INTERVAL_MS}. */
  readonly intervalMs?: number;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
  /** Waits by that clock. */
  readonly sleep?: Sleep;
}

/** Ties a store to a router. */
export class Sync {
  readonly #options: SyncOptions;
  readonly #now: () => number;
  readonly #sleep: Sleep;
  #advertised = new Set<string>();
  #hasAdvertised = false;
  #lastFailure: string | undefined;
  #dirty = Promise.withResolvers<void>();

  /**
   * @param options What to tie together.
   */
  constructor(options: SyncOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#sleep = options.sleep ?? sleep;
  }

  /** Number of keys that are advertised. */
  get size(): number {
    return this.#advertised.size;
  }

  /**
   * Runs until the signal is aborted.
   *
   * @param signal Ends the loop.
   */
  async run(signal: AbortSignal): Promise<void> {
    const watching = this.#watch(signal);
    const interval = this.#options.intervalMs ?? WALK_INTERVAL_MS;
    // The store's first event says that no later change can be missed; a look before it would be in vain.
    await this.#change(interval, signal);
    while (!signal.aborted) {
      const startedAt = this.#now();
      const succeeded = await this.#walk();
      const durationMs = this.#now() - startedAt;
      const pauseMs = this.#options.debounceMs ?? DEBOUNCE_MS;
      await this.#change(succeeded ? interval : RETRY_MS, signal);
      const restMs = Math.min(durationMs * (MAX_WALK_SHARE - 1), MAX_PAUSE_MS);
      await this.#sleep(Math.max(pauseMs, restMs), signal);
    }
    await watching;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { store, log } = this.#options;
    while (!signal.aborted) {
      try {
        for await (const _event of store.watch(signal)) this.#dirty.resolve();
      } catch (error) {
        log.error("watching the store failed, starting anew", { store: store.name, error });
      }
      await this.#sleep(RETRY_MS, signal);
    }
  }

  /** Waits for a change, at most so long. */
  async #change(waitMs: number, signal: AbortSignal): Promise<void> {
    const abort = new AbortController();
    await Promise.race([
      this.#dirty.promise,
      this.#sleep(waitMs, AbortSignal.any([signal, abort.signal])),
    ]);
    abort.abort();
  }

  /**
   * Looks at the store once and brings the router in line.
   *
   * @returns False if the store could not be listed or the router could not be told.
   */
  async #walk(): Promise<boolean> {
    const { store, router, log, onAdvertised } = this.#options;
    // Renewed before the listing: what changes while it runs leads to another look.
    this.#dirty = Promise.withResolvers();
    try {
      const entries = (await store.list()).flatMap((entry) => this.#mirrored(entry) ?? []);
      const keys = new Set(entries.map((entry) => entry.key));
      const added = [...keys].filter((key) => !this.#advertised.has(key));
      const gone = [...this.#advertised].filter((key) => !keys.has(key));
      if (gone.length > 0) await router.withdraw(gone);
      // The first time even if there is nothing: what was announced before a restart may be gone.
      if (added.length > 0 || !this.#hasAdvertised) await router.advertise(added);
      this.#hasAdvertised = true;
      this.#advertised = keys;
      if (added.length > 0 || gone.length > 0) {
        log.debug("advertised state changed", {
          added: added.length,
          withdrawn: gone.length,
          keys: keys.size,
        });
      }
      onAdvertised?.(countByRegistry(entries));
      this.#lastFailure = undefined;
      return true;
    } catch (error) {
      // Told once, and not with each try.
      const message = error instanceof Error ? error.message : String(error);
      if (message === this.#lastFailure) return false;
      this.#lastFailure = message;
      log.warn("cannot bring the advertised state in line with the store, trying again", {
        store: store.name,
        error,
      });
      return false;
    }
  }

  /** The entry as far as it is mirrored: of its sources those that the filters let pass. */
  #mirrored(entry: StoreEntry): StoreEntry | undefined {
    const { filter } = this.#options;
    if (filter.passesAll) return entry;
    const sources = entry.sources.filter((source) => filter.allows(source));
    if (entry.kind !== "tag") return sources.length > 0 ? { ...entry, sources } : undefined;
    const reference = tryParse(entry.key);
    return reference !== undefined && filter.allows(reference) ? { ...entry, sources } : undefined;
  }
}

function tryParse(key: string): ReturnType<typeof parseReference> | undefined {
  try {
    return parseReference(key);
  } catch {
    return undefined; // containerd also holds names that are no references, e.g. of imported images.
  }
}

function countByRegistry(entries: readonly StoreEntry[]): AdvertisedCounts {
  const counts = {
    tags: new Map<string, number>(),
    images: new Map<string, number>(),
    contents: new Map<string, number>(),
  };
  for (const { kind, sources } of entries) {
    const registries = new Set(sources.map((source) => source.registry));
    if (registries.size === 0) registries.add(UNKNOWN_REGISTRY);
    for (const registry of registries) {
      if (kind === "tag") increment(counts.tags, registry);
      else increment(counts.contents, registry);
      if (kind === "image") increment(counts.images, registry);
    }
  }
  return counts;
}

function increment(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1);
}
