/**
 * The downloads of this node's containerd, as they were when they were looked at last.
 *
 * @module
 */
import type { Logger } from "../observability/logger.ts";

/**
 * Contents that containerd gets when a further one may wait in its queue: what `max_concurrent_downloads` is by default.
 */
export const CONTAINERD_DOWNLOADS = 3;

/** How long a download that has grown counts as one that grows, in milliseconds: longer than from one look to the next. */
export const GROWING_MS = 2000;

/** A download of this node's containerd. */
export interface Progress {
  readonly key: string;
  /** Bytes that are there. */
  readonly offset: number;
  /** Size of the content in bytes. */
  readonly total: number;
}

/** A download that was seen before, and has more bytes now. */
export interface Grown {
  readonly key: string;
  /** Bytes that were there. */
  readonly from: number;
}

/** What a look shows. */
export interface Look {
  readonly downloads: ReadonlyMap<string, Progress>;
  /** Whether there is one that was not seen before. */
  readonly hasNew: boolean;
  readonly grown: readonly Grown[];
}

/** Options of {@linkcode OwnDownloads}. */
export interface OwnDownloadsOptions {
  readonly progress: () => Promise<readonly Progress[]>;
  readonly log: Logger;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
}

interface Seen {
  readonly offset: number;
  /** When it was seen to have grown. */
  readonly grownAt: number;
}

/** See the module. */
export class OwnDownloads {
  readonly #options: OwnDownloadsOptions;
  #seen: ReadonlyMap<string, Seen> = new Map();

  /**
   * @param options Where to look.
   */
  constructor(options: OwnDownloadsOptions) {
    this.#options = options;
  }

  /**
   * Looks at them.
   *
   * @returns What there is now; nothing while containerd is away, since nothing grows then.
   */
  async look(): Promise<Look> {
    const downloads = await this.#list();
    const now = this.#options.now();
    const seen = new Map<string, Seen>();
    const grown: Grown[] = [];
    let hasNew = false;
    for (const [key, { offset }] of downloads) {
      const before = this.#seen.get(key);
      const from = before?.offset ?? 0;
      hasNew ||= before === undefined;
      seen.set(key, { offset, grownAt: offset > from ? now : before?.grownAt ?? -Infinity });
      if (before !== undefined && offset > from) grown.push({ key, from });
    }
    this.#seen = seen;
    return { downloads, hasNew, grown };
  }

  async #list(): Promise<Map<string, Progress>> {
    try {
      return new Map((await this.#options.progress()).map((download) => [download.key, download]));
    } catch (error) {
      this.#options.log.debug("cannot look at downloads in progress", { error });
      return new Map();
    }
  }

  /**
   * Whether containerd may not have begun with a content because it has its hands full with others, and gets on with these.
   *
   * @param key Digest of the content.
   * @param isAnswered Whether this node's mirror is at a request of containerd for a content.
   * @returns False if it knows nothing of the content, or has less than so many others.
   */
  isBusyBeside(key: string, isAnswered: (key: string) => boolean): boolean {
    if (!this.#seen.has(key)) return false;
    const now = this.#options.now();
    const others = [...this.#seen].filter(([other]) => other !== key)
      .map(([other, { grownAt }]) => ({ other, grows: now - grownAt < GROWING_MS }));
    const busy = others.filter(({ other, grows }) => grows || isAnswered(other));
    return busy.length >= CONTAINERD_DOWNLOADS && busy.some(({ grows }) => grows);
  }
}
