/**
 * A node's part in sharing downloads in progress: it asks the coordinator of a content whom to follow, tells how it
 * stands with what its containerd is getting, and is the coordinator of the keys that lie close to it.
 *
 * docs/cluster-pull.md tells the rules.
 *
 * @module
 */
import { PeerError } from "../errors.ts";
import type { Logger } from "../observability/logger.ts";
import type { TagReference } from "../oci/reference.ts";
import type { Messenger } from "../routing/messenger.ts";
import type { PeerSource } from "../routing/peer_source.ts";
import type { Peer } from "../routing/router.ts";
import type { Sleep } from "../sleep.ts";
import type { Descriptor } from "../store/store.ts";
import { type Coordinator, FETCH_STALL, FETCH_START_MS, QUEUED_MS } from "./coordinator.ts";
import {
  type Download,
  type Instruction,
  parseQuestion,
  type ReportEntry,
  type Resolution,
  type ShareState,
  type Want,
} from "./messages.ts";
import { type Grown, OwnDownloads, type Progress } from "./own_downloads.ts";
import { MAX_HOPS, Questions } from "./questions.ts";
import type { TagDesk } from "./tag_desk.ts";

/** How often a node reports while it has something under way, in milliseconds. */
export const REPORT_MS = 1000;

/** Longest wait for the first byte, all parents together, in milliseconds. */
export const FIRST_BYTE_MS = 5000;

/** Longest wait for further bytes, in milliseconds. */
export const IDLE_MS = 8000;

/** Most parents of one download. */
export const MAX_PARENTS = 8;

/** Most contents that a node takes part in at the same time; it goes upstream for further ones. */
export const MAX_ROLES = 512;

/** How long it is remembered that a content could not be fetched, in milliseconds. */
export const FAILED_ROLE_MS = 5000;

/** How long who has followed another node leaves further contents to it, in milliseconds. */
export const LED_MS = 2000;

/** What a node does about a content. */
export interface RoleView {
  readonly state: "fetching" | "following" | "failed";
  /** Whom it follows. */
  readonly parent?: string;
}

/** What happens, for metrics. All optional. */
export interface ShareEvents {
  /** It went upstream because it was told to. */
  fetching?(): void;
  /** Time from the request to the first byte or to the decision to go upstream, in seconds. */
  waited?(seconds: number): void;
  /** All of what was wanted came from peers. */
  avoided?(): void;
  /** It went upstream since the others did not deliver in time. */
  abandoned?(): void;
}

/** Options of {@linkcode Participant}. */
export interface ParticipantOptions {
  readonly messenger: Messenger;
  /** Decides about the keys that are this node's. */
  readonly coordinator: Coordinator;
  /** Asks upstream about tags that are this node's; left out where tags are not shared. */
  readonly tags?: TagDesk;
  /** The downloads of this node's containerd. */
  readonly progress: () => Promise<readonly Progress[]>;
  /** Whether this node has a content. */
  readonly has: (key: string) => Promise<boolean>;
  readonly log: Logger;
  readonly events?: ShareEvents;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
  readonly sleep: Sleep;
}

interface Role {
  state: "fetching" | "following" | "failed";
  /** Bytes that are known to be here. */
  offset: number;
  /** Size of the content in bytes, once it is known. */
  total?: number;
  /** Since when it has this state. */
  since: number;
  progressedAt: number;
  longestStepMs: number;
  hasProgressed: boolean;
  /** Whether containerd was seen to get it. */
  wasSeen: boolean;
  parent?: string | undefined;
  /** Requests of containerd that follow. */
  sessions: number;
  /** When it was last known to wait in the queue of the containerd that is to fetch it. */
  queuedAt: number;
}

/** See the module. */
export class Participant {
  readonly #options: ParticipantOptions;
  readonly #roles = new Map<string, Role>();
  readonly #questions: Questions;
  readonly #own: OwnDownloads;
  /** When this node was told to follow another one, unless it was told to fetch something since. */
  #ledAt = -Infinity;
  #wake = Promise.withResolvers<void>();

  /**
   * @param options Network, store and clock.
   */
  constructor(options: ParticipantOptions) {
    this.#options = options;
    this.#questions = new Questions(options);
    this.#own = new OwnDownloads(options);
  }

  /** Number of contents that this node takes part in. */
  get size(): number {
    return this.#roles.size;
  }

  /**
   * How this node stands with a content.
   *
   * @param key Digest of the content.
   * @returns Undefined if it takes no part in it.
   */
  state(key: string): Role["state"] | undefined {
    return this.#roles.get(key)?.state;
  }

  /**
   * Whether a content waits in the queue of the containerd that is to fetch it: this node's, or that of another one.
   *
   * @param key Digest of the content.
   * @returns False if it is not known to.
   */
  isQueued(key: string): boolean {
    const role = this.#roles.get(key);
    return role !== undefined && role.state !== "failed" &&
      this.#options.now() - role.queuedAt < 2 * REPORT_MS;
  }

  /**
   * What this node does about a content.
   *
   * @param key Digest of the content.
   * @returns Undefined if it takes no part in it.
   */
  role(key: string): RoleView | undefined {
    const role = this.#roles.get(key);
    if (role === undefined) return undefined;
    const { state, parent } = role;
    return { state, ...(parent === undefined ? {} : { parent }) };
  }

  /**
   * Finds out which other nodes are getting a content.
   *
   * @param key Digest of the content.
   * @param signal Ends it.
   * @returns Those that are known.
   */
  look(key: string, signal: AbortSignal): Promise<Download[]> {
    return this.#questions.look(key, signal);
  }

  /**
   * Finds out what a tag stands for that nobody has.
   *
   * @param tag The tag.
   * @param signal Ends the question.
   * @returns What upstream says; undefined if this node is to leave the question to its containerd.
   */
  async resolve(tag: TagReference, signal: AbortSignal): Promise<Descriptor | undefined> {
    const { tags, messenger } = this.#options;
    if (tags === undefined || messenger.neighbours().length === 0) return undefined;
    return await this.#questions.resolve(tag, signal);
  }

  /** Answers other nodes from now on. */
  async serve(): Promise<void> {
    await this.#options.messenger.serve((from, question) => this.#answer(from, question));
  }

  /**
   * Finds out how to get a content that nobody has.
   *
   * @param key Digest of the content.
   * @param offset Bytes of it that are here.
   * @param signal Ends the question.
   * @param isQueueing Whether containerd queues what it is told to fetch behind other requests to the mirror.
   * @returns Where to get it from; undefined if it is to be fetched from upstream.
   */
  async join(
    key: string,
    offset: number,
    signal: AbortSignal,
    isQueueing = false,
  ): Promise<PeerSource | undefined> {
    const role = this.#roles.get(key);
    if (role?.state === "fetching" && this.#isProgressing(role)) return undefined;
    if (this.#options.messenger.neighbours().length === 0) return undefined;
    if (role === undefined && this.#roles.size >= MAX_ROLES) return undefined;
    const startedAt = this.#options.now();
    const isLed = isQueueing && startedAt - this.#ledAt < LED_MS;
    const wanted = { key, offset, ...(isLed ? { isLed } : {}) };
    const instruction = await this.#ask(wanted, FIRST_BYTE_MS, signal);
    this.#tell(key, instruction, startedAt);
    if (signal.aborted) return undefined;
    if (instruction.do !== "follow") {
      this.#fetch(key, offset);
      this.#options.events?.waited?.((this.#options.now() - startedAt) / 1000);
      return undefined;
    }
    return this.#following(key, offset, instruction.peer, startedAt);
  }

  /**
   * Reports until the signal is aborted.
   *
   * @param signal Ends it.
   */
  async run(signal: AbortSignal): Promise<void> {
    const stop = () => this.wake();
    signal.addEventListener("abort", stop, { once: true });
    while (!signal.aborted) {
      const isBusy = await this.#report(signal);
      if (signal.aborted) return;
      if (!isBusy) await this.#wake.promise;
      this.#wake = Promise.withResolvers();
      await this.#options.sleep(REPORT_MS, signal);
    }
  }

  /** A download may have begun. */
  wake(): void {
    this.#wake.resolve();
  }

  // Following

  #following(key: string, offset: number, first: Peer, startedAt: number): PeerSource {
    const { now, events } = this.#options;
    const role = this.#role(key, "following", offset);
    role.sessions += 1;
    role.parent = first.id;
    let parents = 0;
    let received = offset;
    let progressedAt = startedAt;
    let hasBegun = false;
    let isUpstream = false;
    let isOver = false;
    const ending = new AbortController();
    const patienceMs = () => {
      if (hasBegun) return progressedAt + IDLE_MS - now();
      const queuedUntil = Math.min(role.queuedAt, startedAt + QUEUED_MS);
      return Math.max(startedAt, queuedUntil) + FIRST_BYTE_MS - now();
    };
    const goUpstream = (isTold: boolean): undefined => {
      if (isOver || isUpstream) return undefined;
      isUpstream = true;
      if (!hasBegun) events?.waited?.((now() - startedAt) / 1000);
      if (!isTold) events?.abandoned?.();
      this.#fetch(key, received);
      return undefined;
    };
    const nextParent = async (): Promise<Peer | undefined> => {
      if (isOver) return undefined;
      parents += 1;
      if (parents === 1) return first;
      if (parents > MAX_PARENTS || patienceMs() <= 0) return goUpstream(false);
      const askedAt = now();
      const broken = role.parent;
      const wanted = { key, offset: received, ...(broken === undefined ? {} : { broken }) };
      const instruction = await this.#ask(wanted, patienceMs(), ending.signal);
      this.#tell(key, instruction, askedAt);
      if (instruction.do !== "follow") return goUpstream(true);
      if (isOver || patienceMs() <= 0) return goUpstream(false);
      role.parent = instruction.peer.id;
      return instruction.peer;
    };
    return {
      next: nextParent,
      patienceMs,
      progressed: (bytes) => {
        if (!hasBegun) events?.waited?.((now() - startedAt) / 1000);
        hasBegun = true;
        received += bytes;
        progressedAt = now();
      },
      close: (isComplete) => {
        if (isOver) return;
        ending.abort();
        if (isComplete) events?.avoided?.();
        else if (!isUpstream && patienceMs() <= 0) goUpstream(false);
        isOver = true;
        role.sessions -= 1;
        // What containerd does now shows in its downloads.
        this.wake();
      },
    };
  }

  #tell(key: string, instruction: Instruction, askedAt: number): void {
    this.#ledAt = instruction.do === "follow" ? this.#options.now() : -Infinity;
    const parent = instruction.do === "follow" ? instruction.peer.id : undefined;
    const tookMs = Math.round(this.#options.now() - askedAt);
    this.#options.log.debug("told how to get content", { key, do: instruction.do, parent, tookMs });
  }

  #fetch(key: string, offset: number): void {
    this.#role(key, "fetching", offset);
    this.#options.events?.fetching?.();
  }

  #role(key: string, state: Role["state"], offset: number): Role {
    const now = this.#options.now();
    const fresh = {
      state,
      since: now,
      progressedAt: now,
      longestStepMs: 0,
      hasProgressed: false,
      parent: undefined,
      queuedAt: -Infinity,
    };
    // Requests of containerd that follow hold on to the object: it stays the same, whatever becomes of the content.
    const role: Role = this.#roles.get(key) ?? { ...fresh, offset, wasSeen: false, sessions: 0 };
    Object.assign(role, fresh, { offset: Math.max(offset, role.offset) });
    this.#roles.set(key, role);
    this.wake();
    return role;
  }

  #isProgressing({ progressedAt, hasProgressed, longestStepMs }: Role): boolean {
    const { leastMs, factor, mostMs } = FETCH_STALL;
    const patienceMs = hasProgressed
      ? Math.min(mostMs, Math.max(leastMs, longestStepMs * factor))
      : FETCH_START_MS;
    return this.#options.now() - progressedAt < patienceMs;
  }

  // Asking and answering

  #ask(
    wanted: Pick<Want, "key" | "offset" | "broken" | "isLed">,
    limitMs: number,
    signal: AbortSignal,
  ): Promise<Instruction> {
    const fetching = [...this.#roles.values()].filter(({ state }) => state === "fetching").length;
    return this.#questions.want({ type: "want", fetching, hops: 0, ...wanted }, limitMs, signal);
  }

  async #answer(from: Peer, value: unknown): Promise<unknown> {
    const question = parseQuestion(value);
    if (question === undefined) throw new PeerError("question makes no sense");
    const { coordinator } = this.#options;
    if (question.type === "look") return { downloads: coordinator.downloads(question.key) };
    if (question.type === "resolve") {
      return await this.#options.tags?.resolve(question) ?? ({} satisfies Resolution);
    }
    if (question.type === "report") return coordinator.report(from, question);
    const { key, hops } = question;
    const closer = hops < MAX_HOPS ? this.#questions.closer(key, from.id) : undefined;
    if (closer !== undefined) return { do: "ask", id: closer } satisfies Instruction;
    return await coordinator.want(from, question);
  }

  // Reporting

  /**
   * Looks at containerd's downloads and tells the coordinators.
   *
   * @returns True if it is worth another look soon.
   */
  async #report(signal: AbortSignal): Promise<boolean> {
    const { downloads, grown, hasNew } = await this.#own.look();
    this.#adopt(grown);
    const entries: ReportEntry[] = [];
    for (const [key, role] of this.#roles) {
      const { since } = role;
      const wasFailed = role.state === "failed";
      if (this.#waitsHere(key, role)) role.progressedAt = role.queuedAt = this.#options.now();
      const state = await this.#stateNow(key, role, downloads.get(key));
      // It was given something else to do while the store was asked.
      if (role.since !== since || this.#roles.get(key) !== role) continue;
      this.#change(key, role, state);
      if (wasFailed && state === "failed") continue;
      const { offset, total, parent } = role;
      entries.push({
        key,
        state,
        offset,
        ...(total === undefined ? {} : { total }),
        ...(parent === undefined ? {} : { parent }),
        ...(state === "fetching" && this.isQueued(key) ? { isQueued: true } : {}),
      });
    }
    for (const key of await this.#questions.report(entries, signal)) {
      const role = this.#roles.get(key);
      if (role?.state === "following") role.queuedAt = this.#options.now();
    }
    return hasNew || this.#roles.size > 0;
  }

  /**
   * Takes in downloads that grow and that nobody asked this process for. What a containerd has left behind that was
   * killed does not grow.
   */
  #adopt(grown: readonly Grown[]): void {
    for (const { key, from } of grown) {
      if (!this.#roles.has(key) && this.#roles.size < MAX_ROLES) this.#role(key, "fetching", from);
    }
  }

  /** Whether a content that is to be fetched waits in containerd's queue. */
  #waitsHere(key: string, { state, since, hasProgressed }: Role): boolean {
    if (state !== "fetching" || hasProgressed) return false;
    if (this.#options.now() - since >= QUEUED_MS) return false;
    return this.#own.isBusyBeside(key, (other) => (this.#roles.get(other)?.sessions ?? 0) > 0);
  }

  async #stateNow(key: string, role: Role, download: Progress | undefined): Promise<ShareState> {
    if (download === undefined) {
      if (await this.#has(key)) return "done";
      // It is to be seen soon, or is being asked for.
      if (role.state === "following" && role.sessions > 0) return role.state;
      return role.wasSeen || !this.#isProgressing(role) ? "failed" : role.state;
    }
    role.wasSeen = true;
    role.total = download.total;
    const hasGrown = this.#observe(role, download.offset);
    if (role.state === "failed") return hasGrown ? "fetching" : role.state;
    // Nobody here asks peers for it any more, and yet it goes on: from upstream.
    if (role.state === "following" && role.sessions === 0 && hasGrown) return "fetching";
    const isStuck = role.state === "fetching" && !this.#isProgressing(role);
    return isStuck ? "failed" : role.state;
  }

  async #has(key: string): Promise<boolean> {
    try {
      return await this.#options.has(key);
    } catch {
      return false; // containerd is away.
    }
  }

  /** What failed stays known for a while, so that nobody waits for it here. */
  #change(key: string, role: Role, state: ShareState): void {
    if (state === "done") this.#roles.delete(key);
    else if (state !== role.state) {
      Object.assign(role, { state, since: this.#options.now(), parent: undefined });
    } else if (state === "failed" && this.#options.now() - role.since >= FAILED_ROLE_MS) {
      this.#roles.delete(key);
    }
  }

  #observe(role: Role, offset: number): boolean {
    if (offset <= role.offset) return false;
    const now = this.#options.now();
    if (role.hasProgressed) {
      role.longestStepMs = Math.max(role.longestStepMs, now - role.progressedAt);
    }
    role.offset = offset;
    role.progressedAt = now;
    role.hasProgressed = true;
    return true;
  }
}
