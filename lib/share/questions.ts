/**
 * Asks the coordinators of contents: the nodes that lie closest to a content's key, this one among them.
 *
 * @module
 */
import { abortable } from "../abortable.ts";
import { ExpiringSet } from "../expiring_set.ts";
import { referenceKey, type TagReference } from "../oci/reference.ts";
import { closest, compareDistance } from "../routing/libp2p/keyspace.ts";
import type { Messenger } from "../routing/messenger.ts";
import type { Peer } from "../routing/router.ts";
import type { Sleep } from "../sleep.ts";
import type { Descriptor } from "../store/store.ts";
import type { Coordinator } from "./coordinator.ts";
import {
  type Download,
  type Instruction,
  type Look,
  MAX_REPORT_ENTRIES,
  parseDownloads,
  parseInstruction,
  parseQueued,
  parseResolution,
  type Report,
  type ReportEntry,
  type Resolution,
  type Resolve,
  type Want,
} from "./messages.ts";
import { MAX_UNREACHABLE, type TagDesk, UNREACHABLE_TTL_MS } from "./tag_desk.ts";

/**
 * Longest wait of one node's answer, in milliseconds. One that is gone is known as such much sooner, by its connection; one
 * that has too little CPU takes a second and more, and who gives it up decides without knowing what it has decided.
 */
export const ASK_MS = 2000;

/** Longest wait until it is clear what is to be done, whoever is asked, in milliseconds. */
export const DECISION_MS = 3500;

/** Longest wait for what a tag stands for, whoever is asked, in milliseconds. */
export const TAG_WAIT_MS = 2000;

/** Coordinators that are asked when one does not answer. */
export const MAX_COORDINATORS = 3;

/** How often a node is sent on to another coordinator. */
export const MAX_HOPS = 3;

/** How long a coordinator that did not answer is not asked again, in milliseconds. */
export const SILENT_TTL_MS = 5000;

/** Most coordinators that are remembered as silent. */
export const MAX_SILENT = 512;

/** Options of {@linkcode Questions}. */
export interface QuestionsOptions {
  readonly messenger: Messenger;
  /** Decides about the keys that are this node's. */
  readonly coordinator: Coordinator;
  /** Asks upstream about tags that are this node's; left out where tags are not shared. */
  readonly tags?: TagDesk;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
  readonly sleep: Sleep;
}

/** What came of reports. */
interface Reported {
  /** Keys that wait in the queue of another node. */
  readonly queued: readonly string[];
  /** What was meant for coordinators that are gone. */
  readonly lost: readonly ReportEntry[];
}

/** See the module. */
export class Questions {
  readonly #options: QuestionsOptions;
  /** Coordinators that did not answer. */
  readonly #silent: ExpiringSet;
  /** Registries about whose tags questions were asked in vain, and for long. */
  readonly #away: ExpiringSet;

  /**
   * @param options Network and clock.
   */
  constructor(options: QuestionsOptions) {
    this.#options = options;
    const { now } = options;
    this.#silent = new ExpiringSet({ ttlMs: SILENT_TTL_MS, limit: MAX_SILENT, now });
    this.#away = new ExpiringSet({ ttlMs: UNREACHABLE_TTL_MS, limit: MAX_UNREACHABLE, now });
  }

  /**
   * Asks what to do to get a content.
   *
   * @param want What is wanted.
   * @param limitMs Longest wait in milliseconds.
   * @param signal Ends it.
   * @returns What to do; to fetch it if nobody answers.
   */
  async want(want: Want, limitMs: number, signal: AbortSignal): Promise<Instruction> {
    return await this.#within(Math.min(limitMs, DECISION_MS), signal, async (bounded) => {
      let wanted = want;
      for (const coordinator of this.coordinators(want.key)) {
        if (bounded.aborted) break;
        const instruction = await this.#askOne(coordinator, wanted, bounded);
        if (instruction !== undefined) return instruction;
        wanted = { ...want, lost: true };
      }
      return { do: "fetch" };
    }) ?? { do: "fetch" };
  }

  /**
   * Finds out which other nodes are getting a content.
   *
   * @param key Digest of the content.
   * @param signal Ends it.
   * @returns Those that a coordinator of the key knows of; none if nobody answers.
   */
  async look(key: string, signal: AbortSignal): Promise<Download[]> {
    const { messenger, coordinator } = this.#options;
    const question: Look = { type: "look", key };
    for (const id of this.coordinators(key)) {
      const found = id === messenger.self.id
        ? coordinator.downloads(key)
        : parseDownloads(await this.#question(id, question, signal));
      if (found === undefined) continue;
      const others = found.filter(({ peer }) => peer.id !== messenger.self.id);
      return await Promise.all(
        others.map(async (one) => ({ ...one, peer: await this.#known(one.peer) })),
      );
    }
    return [];
  }

  /**
   * Finds out what a tag stands for that no node has. Who does not answer is not taken for silent: nodes of an older
   * version know no such question, and decide about contents all the same. A registry that kept others waiting is left
   * to containerd for a while: each of its tags has another coordinator, and a pull is to wait for all of them once.
   *
   * @param tag The tag.
   * @param signal Ends it.
   * @returns What upstream said to a coordinator of the tag; undefined if none knows.
   */
  async resolve(tag: TagReference, signal: AbortSignal): Promise<Descriptor | undefined> {
    const { messenger, tags } = this.#options;
    const { registry, repository, tag: name } = tag;
    if (this.#away.has(registry)) return undefined;
    const question: Resolve = { type: "resolve", registry, repository, tag: name };
    const work = async (bounded: AbortSignal): Promise<Resolution> => {
      for (const id of this.coordinators(referenceKey(tag))) {
        if (bounded.aborted) break;
        if (id === messenger.self.id) return await tags?.resolve(tag) ?? {};
        const resolution = parseResolution(await this.#question(id, question, bounded));
        if (resolution !== undefined) return resolution;
      }
      return {};
    };
    const resolution = await this.#within(TAG_WAIT_MS, signal, work);
    const wasInVain = resolution === undefined ? !signal.aborted : resolution.away === true;
    if (wasInVain) this.#away.add(registry);
    return resolution?.descriptor;
  }

  /**
   * Tells the coordinators how this node stands with contents. The next one is told at once when one is gone: it knows
   * nothing of them, and may be asked about them.
   *
   * @param entries How it stands with each of them.
   * @param signal Ends it.
   * @returns Keys of what this node follows that wait in the queue of the one who fetches them.
   */
  async report(entries: readonly ReportEntry[], signal: AbortSignal): Promise<readonly string[]> {
    const first = await this.#reportTo(this.#byCoordinator(entries), signal);
    if (first.lost.length === 0) return first.queued;
    const second = await this.#reportTo(this.#byCoordinator(first.lost), signal);
    return [...first.queued, ...second.queued];
  }

  #byCoordinator(entries: readonly ReportEntry[]): Map<string, ReportEntry[]> {
    const lists = new Map<string, ReportEntry[]>();
    for (const entry of entries) {
      const [id] = this.coordinators(entry.key);
      lists.set(id!, [...(lists.get(id!) ?? []), entry]);
    }
    return lists;
  }

  async #reportTo(
    lists: ReadonlyMap<string, readonly ReportEntry[]>,
    signal: AbortSignal,
  ): Promise<Reported> {
    const all = await Promise.all(
      [...lists].map(([id, entries]) => this.#reportOne(id, entries, signal)),
    );
    return { queued: all.flatMap(({ queued }) => queued), lost: all.flatMap(({ lost }) => lost) };
  }

  async #reportOne(
    id: string,
    entries: readonly ReportEntry[],
    signal: AbortSignal,
  ): Promise<Reported> {
    const { coordinator, messenger, now } = this.#options;
    const queued: string[] = [];
    for (let at = 0; at < entries.length; at += MAX_REPORT_ENTRIES) {
      const part = entries.slice(at, at + MAX_REPORT_ENTRIES);
      const report: Report = { type: "report", entries: part };
      const askedAt = now();
      const noted = id === messenger.self.id
        ? coordinator.report(this.#self, report)
        : await this.#question(id, report, signal);
      if (noted !== undefined) {
        queued.push(...parseQueued(noted));
        continue;
      }
      // One that has only too much to do has heard it, or will.
      if (signal.aborted || now() - askedAt >= ASK_MS) break;
      this.#silent.add(id);
      return { queued, lost: entries.slice(at) };
    }
    return { queued, lost: [] };
  }

  /**
   * @param key Digest of a content, or the full reference of a tag.
   * @returns Who decides about it, best first.
   */
  coordinators(key: string): string[] {
    const { messenger } = this.#options;
    const nodes = [
      messenger.self,
      ...messenger.neighbours().filter(({ id }) => !this.#silent.has(id)),
    ];
    return closest(messenger.place(key), nodes, MAX_COORDINATORS).map(({ id }) => id);
  }

  /**
   * Finds a node that is closer to a key than this one; the asker knows how far it is itself.
   *
   * @param key Digest of a content.
   * @param asker Who asks.
   * @returns The node; undefined if there is none.
   */
  closer(key: string, asker: string): string | undefined {
    const { messenger } = this.#options;
    const place = messenger.place(key);
    const others = messenger.neighbours().filter(({ id }) => id !== asker && !this.#silent.has(id));
    const [best] = closest(place, others, 1);
    if (best === undefined) return undefined;
    const isCloser = compareDistance(place, best.position, messenger.self.position) < 0;
    return isCloser ? best.id : undefined;
  }

  /** Asks one coordinator, and whom that one names. Undefined if there is no answer. */
  async #askOne(first: string, want: Want, signal: AbortSignal): Promise<Instruction | undefined> {
    let wanted = want;
    let id = first;
    /** Who has named the one that is asked. */
    let namedBy: string | undefined;
    for (let hops = want.hops; hops <= MAX_HOPS; hops++) {
      const instruction = await this.#instruction(id, { ...wanted, hops }, signal);
      if (instruction === undefined) {
        if (signal.aborted || namedBy === undefined) return undefined;
        wanted = { ...want, lost: true };
        [id, namedBy] = [namedBy, undefined];
        hops = MAX_HOPS - 1;
      } else if (instruction.do !== "ask") {
        return await this.#reachable(instruction);
      } else if (hops === MAX_HOPS) {
        return undefined;
      } else if (this.#silent.has(instruction.id)) {
        // It does not know yet that this one is gone, and is to decide itself.
        wanted = { ...want, lost: true };
        hops = MAX_HOPS - 1;
      } else [id, namedBy] = [instruction.id, id];
    }
    return undefined;
  }

  /** Undefined if there is no answer. */
  async #instruction(
    id: string,
    want: Want,
    signal: AbortSignal,
  ): Promise<Instruction | undefined> {
    const { messenger, coordinator } = this.#options;
    if (id === messenger.self.id) return await coordinator.want(this.#self, want);
    const answer = await this.#question(id, want, signal);
    const instruction = answer === undefined ? undefined : parseInstruction(answer);
    if (instruction === undefined && !signal.aborted) this.#silent.add(id);
    return instruction;
  }

  async #reachable(instruction: Instruction): Promise<Instruction> {
    if (instruction.do !== "follow") return instruction;
    return { do: "follow", peer: await this.#known(instruction.peer) };
  }

  /** How a peer can be reached is known best here, if it is known. */
  async #known(peer: Peer): Promise<Peer> {
    return await this.#options.messenger.describe(peer.id).catch(() => undefined) ?? peer;
  }

  /** This node as a parent. Who is sent here has asked here, and knows the addresses. */
  get #self(): Peer {
    return { id: this.#options.messenger.self.id, addresses: [], registryPort: 1 };
  }

  /** Undefined if there is no answer in time. */
  async #question(id: string, question: unknown, signal: AbortSignal): Promise<unknown> {
    const { messenger } = this.#options;
    return await this.#within(ASK_MS, signal, (bounded) => messenger.ask(id, question, bounded));
  }

  /** Undefined if work fails, or is not done in time. */
  async #within<T>(
    ms: number,
    signal: AbortSignal,
    work: (bounded: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    const over = new AbortController();
    const bounded = AbortSignal.any([signal, over.signal]);
    void this.#options.sleep(ms, bounded).then(() => over.abort());
    try {
      return await abortable(work(bounded), bounded);
    } catch {
      return undefined;
    } finally {
      over.abort();
    }
  }
}
