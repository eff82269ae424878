/**
 * Decides, for the keys of which this node is the closest, who goes upstream and who follows whom.
 *
 * All of it is short-lived and bounded: who does not report is forgotten, and a node that knows nothing of a key learns
 * it from the reports of those who are at it. docs/cluster-pull.md tells the rules.
 *
 * @module
 */
import type { Peer } from "../routing/router.ts";
import type { Sleep } from "../sleep.ts";
import {
  type Download,
  type Instruction,
  MAX_TOLD_DOWNLOADS,
  type Noted,
  type Report,
  type ReportEntry,
  type ShareState,
  type Want,
} from "./messages.ts";

/** Nodes that follow one and the same, while there are others with a free place. */
export const FAN_OUT = 2;

/** Time in which those who want the same gather until one of them is chosen, in milliseconds. */
export const HOLD_MS = 15;

/**
 * Time for those who are at a content to report, in milliseconds: so long one who asks is held back by a new coordinator,
 * which may know nothing yet of what is under way.
 */
export const HANDOVER_MS = 1200;

/**
 * How long a content waits for the node that has fetched what came before it in a pull, in milliseconds: as long as those
 * who want it have followed that one, and as their containerds queue. See {@linkcode QUEUED_MS}.
 */
export const LED_HOLD_MS = 1000;

/** A node that has not been heard of for so long does not count any more, in milliseconds. */
export const PARTICIPANT_TTL_MS = 4000;

/** How long a node that has a content is given as a parent, in milliseconds: the router knows it by then. */
export const DONE_TTL_MS = 10_000;

/** Time for a fetcher to get its first byte, in milliseconds. */
export const FETCH_START_MS = 2000;

/**
 * Time without progress after which a fetcher does not count, in milliseconds: at least, as a multiple of its longest
 * step so far, and at most.
 */
export const FETCH_STALL = { leastMs: 2000, factor: 4, mostMs: 10_000 } as const;

/**
 * Longest time for which a content may wait in the queue of the containerd that is to fetch it, in milliseconds. From 2.0
 * on containerd queues the request to upstream behind those to the mirror that it has not sent yet, at most three being
 * under way by default. While it gets others it will come to this one.
 */
export const QUEUED_MS = 30_000;

/** How long a node whose fetch failed is chosen only when there is nobody else, in milliseconds. */
export const FAILED_TTL_MS = 30_000;

/** How far a parent may be behind, in bytes: reports are up to a second old. */
export const MAX_BEHIND_BYTES = 64 * 1024 * 1024;

/** Most contents that a node decides about. */
export const MAX_KEYS = 1024;

/** Most nodes of one content. */
export const MAX_PARTICIPANTS = 1024;

/** Longest way from a node to its root that is looked at. */
const MAX_DEPTH = 64;

interface Participant {
  peer: Peer;
  state: ShareState | "new" | "wanting";
  offset: number;
  /** Size of the content in bytes, once a node has told it. */
  total?: number;
  /** Number of contents that it fetches. */
  fetching: number;
  /** Whether it leaves fetching to another one that is about to ask. */
  isLed: boolean;
  /** Whom it follows. */
  parent?: string | undefined;
  /** When it was last heard of. */
  seenAt: number;
  /** Since when it does what it does. */
  since: number;
  /** When it got its last bytes, as far as is known; `since` if it got none. */
  progressedAt: number;
  longestStepMs: number;
  hasProgressed: boolean;
  /** Whether what it is to fetch waits in its containerd's queue. */
  isQueued: boolean;
  /** When a follower said that it does not deliver. */
  brokenAt: number;
  failedAt: number;
  /** Parents that did not deliver to it, and when. */
  readonly refused: Map<string, number>;
}

interface Asker {
  readonly participant: Participant;
  readonly decided: (instruction: Instruction) => void;
}

interface Shared {
  readonly participants: Map<string, Participant>;
  /** Who is held back until one of them is chosen. */
  readonly held: Asker[];
  knownSince: number;
  /** Until when those who are at it may not have reported, since another node decided until now. */
  handoverUntil: number;
  usedAt: number;
}

/** Options of {@linkcode Coordinator}. */
export interface CoordinatorOptions {
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
  readonly sleep: Sleep;
  /** Random number in [0, 1). */
  readonly random: () => number;
}

/** See the module. */
export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #now: () => number;
  readonly #table = new Map<string, Shared>();

  /**
   * @param options Clock and randomness.
   */
  constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.#now = options.now;
  }

  /** Number of contents that are decided about now. */
  get size(): number {
    return this.#table.size;
  }

  /**
   * A node wants a content.
   *
   * @param peer The node.
   * @param want What it wants.
   * @returns What it is to do.
   */
  async want(peer: Peer, want: Want): Promise<Instruction> {
    const shared = this.#shared(want.key);
    if (shared !== undefined && this.#isHandover(shared, want)) {
      shared.handoverUntil = shared.knownSince + HANDOVER_MS;
    }
    const participant = shared && this.#participant(shared, peer);
    // Nothing can be remembered: better one copy too many than somebody who waits.
    if (shared === undefined || participant === undefined) return { do: "fetch" };
    participant.offset = Math.max(participant.offset, want.offset);
    participant.fetching = want.fetching;
    participant.isLed = want.isLed === true;
    if (want.broken !== undefined) this.#accuse(shared, participant, want.broken);
    this.#assign(participant, "wanting");
    const parent = this.#parentFor(shared, participant);
    if (parent !== undefined) return this.#follow(participant, parent);
    const { promise, resolve } = Promise.withResolvers<Instruction>();
    shared.held.push({ participant, decided: resolve });
    if (shared.held.length === 1) void this.#decideSoon(shared);
    return await promise;
  }

  /**
   * A node tells how it stands.
   *
   * @param peer The node.
   * @param report What it tells.
   * @returns What of it waits in the queue of a node that the peer follows.
   */
  report(peer: Peer, report: Report): Noted {
    const queued = report.entries.filter((entry) => {
      const isOver = entry.state === "failed";
      const shared = isOver ? this.#table.get(entry.key) : this.#shared(entry.key);
      const participant = shared && this.#participant(shared, peer);
      if (participant === undefined) return false;
      this.#update(participant, entry);
      return participant.state === "following" && this.#root(shared!, participant)?.node.isQueued;
    });
    if (queued.length === 0) return { do: "go on" };
    return { do: "go on", queued: queued.map(({ key }) => key) };
  }

  /**
   * Tells who is getting a content.
   *
   * @param key Digest of the content.
   * @returns Those who are, who has the most bytes first.
   */
  downloads(key: string): Download[] {
    const participants = this.#table.get(key)?.participants.values() ?? [];
    const downloads = [...participants].flatMap((participant): Download[] => {
      const { peer, state, offset, total } = participant;
      if (state !== "fetching" && state !== "following") return [];
      if (!this.#isAlive(participant)) return [];
      return [{ peer, state, offset, ...(total === undefined ? {} : { total }) }];
    });
    return downloads.sort((a, b) => b.offset - a.offset).slice(0, MAX_TOLD_DOWNLOADS);
  }

  #update(participant: Participant, entry: ReportEntry): void {
    const { state, offset, total, parent } = entry;
    if (total !== undefined) participant.total = total;
    if (state === "failed") participant.failedAt = this.#now();
    // It is about to be told something else than what it does.
    if (participant.state === "wanting") return;
    if (state !== participant.state) this.#assign(participant, state);
    participant.parent = state === "following" ? parent : undefined;
    const now = this.#now();
    const { isQueued = false } = entry;
    participant.isQueued = isQueued && state === "fetching" && now - participant.since < QUEUED_MS;
    if (participant.isQueued) participant.progressedAt = now;
    if (offset <= participant.offset) return;
    if (participant.hasProgressed) {
      const stepMs = now - participant.progressedAt;
      participant.longestStepMs = Math.max(participant.longestStepMs, stepMs);
    }
    participant.offset = offset;
    participant.progressedAt = now;
    participant.hasProgressed = true;
  }

  // Deciding

  /** Whether a node asks that had to do with others before, of whom nothing is known here. */
  #isHandover({ participants }: Shared, { broken, lost }: Want): boolean {
    return broken === undefined ? lost === true : !participants.has(broken);
  }

  async #decideSoon(shared: Shared): Promise<void> {
    const { held } = shared;
    const isRooted = () =>
      held.some(({ participant }) => this.#parentFor(shared, participant) !== undefined);
    const ledUntil = this.#now() + LED_HOLD_MS;
    const isToWait = () => {
      const isLed = held.every(({ participant }) => participant.isLed);
      return this.#now() < Math.max(shared.handoverUntil, isLed ? ledUntil : 0);
    };
    do await this.#options.sleep(HOLD_MS); while (isToWait() && !isRooted());
    const isToFetch = !isRooted();
    const askers = held.splice(0);
    const waiting = new Set(askers);
    if (isToFetch) {
      const chosen = this.#choose(askers);
      waiting.delete(chosen);
      this.#assign(chosen.participant, "fetching");
      chosen.decided({ do: "fetch" });
    }
    // Who has more bytes has them for those who have less.
    const ordered = [...waiting].sort((a, b) => b.participant.offset - a.participant.offset);
    for (const { participant, decided } of ordered) {
      const parent = this.#parentFor(shared, participant);
      if (parent === undefined) this.#assign(participant, "fetching");
      decided(parent === undefined ? { do: "fetch" } : this.#follow(participant, parent));
    }
  }

  /** The one with the most bytes, then the fewest fetches, then chance; not one that just failed. */
  #choose(askers: readonly Asker[]): Asker {
    const now = this.#now();
    const cost = ({ participant: { failedAt, offset, isLed, fetching } }: Asker) => [
      now - failedAt < FAILED_TTL_MS ? 1 : 0,
      -offset,
      isLed ? 1 : 0,
      fetching,
      this.#options.random(),
    ];
    const [best] = askers.map((asker) => ({ asker, cost: cost(asker) }))
      .sort((a, b) => compare(a.cost, b.cost));
    return best!.asker;
  }

  #follow(participant: Participant, parent: Participant): Instruction {
    this.#assign(participant, "following");
    participant.parent = parent.peer.id;
    return { do: "follow", peer: parent.peer };
  }

  #assign(participant: Participant, state: Participant["state"]): void {
    const now = this.#now();
    participant.state = state;
    participant.parent = undefined;
    participant.since = now;
    participant.progressedAt = now;
    participant.hasProgressed = false;
    participant.longestStepMs = 0;
    participant.isQueued = false;
  }

  #accuse(shared: Shared, participant: Participant, id: string): void {
    const accused = shared.participants.get(id);
    // It may have been given something else to do meanwhile, and deliver then.
    if (accused === undefined || accused.since > participant.since) return;
    accused.brokenAt = this.#now();
    participant.refused.set(id, accused.since);
  }

  /** The best node for another one to follow; undefined if there is none. */
  #parentFor(shared: Shared, asker: Participant): Participant | undefined {
    const children = new Map<string, number>();
    for (const { state, parent } of shared.participants.values()) {
      if (state !== "following" || parent === undefined) continue;
      children.set(parent, (children.get(parent) ?? 0) + 1);
    }
    const candidates = [...shared.participants.values()].flatMap((participant) => {
      if (participant === asker || asker.refused.get(participant.peer.id) === participant.since) {
        return [];
      }
      const isFarBehind = participant.state !== "done" &&
        participant.offset + MAX_BEHIND_BYTES < asker.offset;
      const depth = isFarBehind ? undefined : this.#root(shared, participant, asker)?.depth;
      if (depth === undefined) return [];
      const load = children.get(participant.peer.id) ?? 0;
      return [{ participant, cost: [load < FAN_OUT ? 0 : load, depth, load] }];
    });
    return candidates.sort((a, b) => compare(a.cost, b.cost))[0]?.participant;
  }

  /**
   * Where a node's bytes come from, and in how many steps.
   *
   * @returns Undefined if they come from nowhere, or by way of the one who asks.
   */
  #root(
    shared: Shared,
    participant: Participant,
    asker?: Participant,
  ): { readonly node: Participant; readonly depth: number } | undefined {
    let at: Participant | undefined = participant;
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      if (at === undefined || at === asker || !this.#isAlive(at)) return undefined;
      if (at.state === "done") return { node: at, depth };
      if (at.state === "fetching") {
        return this.#isProgressing(at) ? { node: at, depth } : undefined;
      }
      if (at.state !== "following" || at.parent === undefined) return undefined;
      at = shared.participants.get(at.parent);
    }
    return undefined;
  }

  #isAlive({ state, seenAt, brokenAt }: Participant): boolean {
    const ttlMs = state === "done" ? DONE_TTL_MS : PARTICIPANT_TTL_MS;
    return this.#now() - seenAt < ttlMs && brokenAt < seenAt;
  }

  /** By what it said last: a node that is busy may be late with its reports. */
  #isProgressing({ seenAt, progressedAt, hasProgressed, longestStepMs }: Participant): boolean {
    const { leastMs, factor, mostMs } = FETCH_STALL;
    const patienceMs = hasProgressed
      ? Math.min(mostMs, Math.max(leastMs, longestStepMs * factor))
      : FETCH_START_MS;
    return seenAt - progressedAt < patienceMs;
  }

  // The table

  #shared(key: string): Shared | undefined {
    let shared = this.#table.get(key);
    if (shared === undefined) {
      if (this.#table.size >= MAX_KEYS) this.#sweep();
      if (this.#table.size >= MAX_KEYS) return undefined;
      const now = this.#now();
      shared = {
        participants: new Map(),
        held: [],
        knownSince: now,
        handoverUntil: now,
        usedAt: now,
      };
      this.#table.set(key, shared);
    }
    shared.usedAt = this.#now();
    return shared;
  }

  #participant(shared: Shared, peer: Peer): Participant | undefined {
    const { participants } = shared;
    const now = this.#now();
    let participant = participants.get(peer.id);
    if (participant === undefined) {
      if (participants.size >= MAX_PARTICIPANTS) this.#prune(shared);
      if (participants.size >= MAX_PARTICIPANTS) return undefined;
      participant = {
        peer,
        state: "new",
        offset: 0,
        fetching: 0,
        isLed: false,
        seenAt: now,
        since: -Infinity,
        progressedAt: now,
        longestStepMs: 0,
        hasProgressed: false,
        isQueued: false,
        brokenAt: -Infinity,
        failedAt: -Infinity,
        refused: new Map(),
      };
      participants.set(peer.id, participant);
    }
    participant.peer = peer;
    participant.seenAt = now;
    return participant;
  }

  #prune({ participants, held }: Shared): void {
    const asking = new Set(held.map(({ participant }) => participant));
    for (const [id, participant] of participants) {
      if (!this.#isAlive(participant) && !asking.has(participant)) participants.delete(id);
    }
  }

  #sweep(): void {
    for (const [key, shared] of this.#table) {
      const isIdle = this.#now() - shared.usedAt >= DONE_TTL_MS;
      if (isIdle && shared.held.length === 0) this.#table.delete(key);
    }
  }
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [index, value] of a.entries()) {
    const difference = value - b[index]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
