/**
 * A cluster that pulls, in simulated time: the real coordinators and participants, over a network in memory that loses
 * and delays messages, with models of containerd, of upstream and of the transfer between mirrors.
 *
 * Everything follows from one seed.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { silentLogger } from "../../../lib/observability/logger.ts";
import type { Positioned } from "../../../lib/routing/libp2p/keyspace.ts";
import type { AnswerQuestion, Messenger } from "../../../lib/routing/messenger.ts";
import type { Peer } from "../../../lib/routing/router.ts";
import type { PeerSource } from "../../../lib/routing/peer_source.ts";
import { Coordinator } from "../../../lib/share/coordinator.ts";
import { Participant } from "../../../lib/share/participant.ts";
import type { Sleep } from "../../../lib/sleep.ts";

/** Size of a content, in steps; a step is what containerd writes at once. */
export const CONTENT_STEPS = 20;

/** Time that a step takes from upstream, and from a peer, in milliseconds. */
const STEP_MS = { upstream: 40, peer: 8 } as const;

/** As in `growing_reader.ts`, `growing.ts` and `peer_client.ts`. */
const LIMITS = { stallMs: 3000, arrivalMs: 4000, silenceMs: 5000 } as const;

/** Turns of the microtask queue in which everything goes on that waits for no time. */
const TURNS = 40;

/** What goes wrong in a schedule; all are probabilities. */
export interface Faults {
  /** A message is lost, or comes up to three seconds late. */
  readonly loss: number;
  readonly delay: number;
  /** A node does not know another one. */
  readonly blindness: number;
  /** The mirror, or the containerd, of a node dies in the middle. */
  readonly mirrorDeath: number;
  readonly containerdDeath: number;
  /** Upstream refuses a node, or stalls for it, or sends it wrong bytes. */
  readonly refusal: number;
  readonly stall: number;
  readonly corruption: number;
}

/** How a pull ended. */
export interface PullResult {
  readonly node: string;
  readonly key: string;
  readonly end: "complete" | "failed";
  /** Why it failed; only what is not Kagami's fault is allowed. */
  readonly reason?: "refused" | "containerd died" | "upstream sent wrong bytes";
  /** Longest time that the mirror made its containerd wait, in milliseconds. */
  readonly longestWaitMs: number;
  readonly endedAt: number;
}

/** Steps that came from upstream, and how all pulls ended. */
export interface Outcome {
  readonly pulls: readonly PullResult[];
  /** Pulls that had not ended when the simulation was given up. */
  readonly open: number;
  readonly upstreamSteps: number;
  /** Bodies that were ended cleanly, though they were wrong or not whole. */
  readonly wrongBodies: number;
}

/** A generator of random numbers in [0, 1) that follows from a seed. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

function place(text: string): Uint8Array {
  return Uint8Array.from(createHash("sha256").update(text).digest());
}

/** Time that passes only when nothing is left to do. */
class Scheduler {
  #now = 0;
  #waiting: { at: number; order: number; run: () => void }[] = [];
  #order = 0;

  readonly now = (): number => this.#now;

  readonly sleep: Sleep = (ms, signal) => {
    if (signal?.aborted) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const entry = { at: this.#now + ms, order: this.#order++, run: resolve };
    this.#insert(entry);
    signal?.addEventListener("abort", () => {
      const index = this.#waiting.indexOf(entry);
      if (index >= 0) this.#waiting.splice(index, 1);
      resolve();
    }, { once: true });
    return promise;
  };

  #insert(entry: { at: number; order: number; run: () => void }): void {
    let low = 0;
    let high = this.#waiting.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#waiting[middle]!.at <= entry.at) low = middle + 1;
      else high = middle;
    }
    this.#waiting.splice(low, 0, entry);
  }

  /** Runs until something is true, or nothing is left to wait for, or time is up. */
  async run(isOver: () => boolean, untilMs: number): Promise<void> {
    while (true) {
      for (let turn = 0; turn < TURNS; turn++) await undefined;
      const next = this.#waiting[0];
      if (isOver() || next === undefined || next.at > untilMs) return;
      this.#waiting.shift();
      this.#now = next.at;
      next.run();
    }
  }
}

/** A content on a node. */
interface Held {
  steps: number;
  isWrong: boolean;
  state: "growing" | "complete" | "gone";
}

interface SimulatedNode {
  readonly id: string;
  readonly self: Positioned;
  readonly peer: Peer;
  readonly contents: Map<string, Held>;
  participant: Participant;
  answer: AnswerQuestion | undefined;
  readonly ending: AbortController;
  mirrorIsUp: boolean;
  containerdIsUp: boolean;
  readonly isRefused: boolean;
  readonly stallsAt: number | undefined;
  readonly getsWrongBytes: boolean;
}

/** How it stands with a pull. */
interface Pull {
  readonly node: SimulatedNode;
  readonly key: string;
  readonly held: Held;
  longestWaitMs: number;
  waitingSince: number;
}

/** A simulated cluster. */
export class SimulatedCluster {
  readonly #scheduler = new Scheduler();
  readonly #random: () => number;
  readonly #faults: Faults;
  readonly #nodes: SimulatedNode[] = [];
  readonly #pulls: PullResult[] = [];
  /** Pairs of nodes of which one does not know the other. */
  readonly #blind = new Set<string>();
  #open = 0;
  #upstreamSteps = 0;
  #wrongBodies = 0;

  constructor(seed: number, count: number, faults: Faults) {
    this.#random = randomFrom(seed);
    this.#faults = faults;
    for (let number = 0; number < count; number++) this.#addNode(`node-${number}-${seed}`);
    for (const { id } of this.#nodes) {
      for (const other of this.#nodes) {
        if (this.#happens(faults.blindness)) this.#blind.add(`${id} ${other.id}`);
      }
    }
  }

  /**
   * Lets nodes pull contents at about the same time.
   *
   * @param keys The contents; each node pulls all of them.
   * @param spreadMs Time within which the pulls begin.
   * @param untilMs When to give up.
   */
  async pullAll(keys: readonly string[], spreadMs: number, untilMs: number): Promise<Outcome> {
    for (const node of this.#nodes) {
      void node.participant.serve();
      void node.participant.run(node.ending.signal);
      this.#scheduleDeaths(node);
      for (const key of keys) {
        this.#open += 1;
        void this.#pull(node, key, this.#random() * spreadMs);
      }
    }
    await this.#scheduler.run(() => this.#open === 0, untilMs);
    const open = this.#open;
    for (const node of this.#nodes) node.ending.abort();
    return {
      pulls: this.#pulls,
      open,
      upstreamSteps: this.#upstreamSteps,
      wrongBodies: this.#wrongBodies,
    };
  }

  #happens(probability: number): boolean {
    return this.#random() < probability;
  }

  #addNode(id: string): void {
    const { now, sleep } = this.#scheduler;
    const { refusal, stall, corruption } = this.#faults;
    const contents = new Map<string, Held>();
    const peer = { id, addresses: ["10.0.0.1"], registryPort: 5000 };
    const stalls = this.#happens(stall);
    const base = {
      id,
      self: { id, position: place(id) },
      peer,
      contents,
      answer: undefined,
      ending: new AbortController(),
      mirrorIsUp: true,
      containerdIsUp: true,
      isRefused: this.#happens(refusal),
      stallsAt: stalls ? Math.floor(this.#random() * CONTENT_STEPS) : undefined,
      getsWrongBytes: this.#happens(corruption),
    };
    const node = base as unknown as SimulatedNode;
    node.participant = new Participant({
      messenger: this.#messengerOf(node),
      coordinator: new Coordinator({ now, sleep, random: this.#random }),
      progress: () =>
        node.containerdIsUp
          ? Promise.resolve(
            [...contents].filter(([, { state }]) => state === "growing")
              .map(([key, { steps }]) => ({ key, offset: steps, total: CONTENT_STEPS })),
          )
          : Promise.reject(new Error("containerd is away")),
      has: (key) => Promise.resolve(contents.get(key)?.state === "complete"),
      log: silentLogger,
      now,
      sleep,
    });
    this.#nodes.push(node);
  }

  #messengerOf(node: SimulatedNode): Messenger {
    return {
      self: node.self,
      place,
      neighbours: () =>
        this.#nodes.filter(({ id, mirrorIsUp }) =>
          id !== node.id && mirrorIsUp && !this.#blind.has(`${node.id} ${id}`)
        ).map(({ self }) => self),
      describe: (id) => Promise.resolve(this.#nodes.find((other) => other.id === id)?.peer),
      ask: (id, question, signal) => this.#deliver(node, id, question, signal),
      serve: (answer) => {
        node.answer = answer;
        return Promise.resolve();
      },
    };
  }

  async #deliver(
    from: SimulatedNode,
    id: string,
    question: unknown,
    signal: AbortSignal,
  ): Promise<unknown> {
    const to = this.#nodes.find((node) => node.id === id);
    await this.#travel(signal);
    if (!to?.mirrorIsUp || to.answer === undefined) throw new Error("nobody there");
    const answer = await to.answer(from.peer, structuredClone(question));
    await this.#travel(signal);
    if (!to.mirrorIsUp || !from.mirrorIsUp) throw new Error("nobody there");
    return structuredClone(answer);
  }

  async #travel(signal: AbortSignal): Promise<void> {
    const { loss, delay } = this.#faults;
    // Lost: the asker's own time limit is all that ends it.
    if (this.#happens(loss)) await this.#scheduler.sleep(1e9, signal);
    const most = this.#happens(delay) ? 3000 : 5;
    await this.#scheduler.sleep(this.#random() * most, signal);
  }

  #scheduleDeaths(node: SimulatedNode): void {
    const { mirrorDeath, containerdDeath } = this.#faults;
    const { sleep } = this.#scheduler;
    if (this.#happens(mirrorDeath)) {
      void sleep(this.#random() * 1500).then(() => {
        node.mirrorIsUp = false;
        node.ending.abort();
      });
    }
    if (this.#happens(containerdDeath)) {
      void sleep(this.#random() * 1500).then(() => {
        node.containerdIsUp = false;
      });
    }
  }

  // containerd

  async #pull(node: SimulatedNode, key: string, delayMs: number): Promise<void> {
    const { now, sleep } = this.#scheduler;
    await sleep(delayMs);
    // containerd opens its ingest before it asks anybody.
    const held: Held = { steps: 0, isWrong: false, state: "growing" };
    node.contents.set(key, held);
    const pull: Pull = { node, key, held, longestWaitMs: 0, waitingSince: now() };
    const reason = await this.#fill(pull);
    held.state = reason === undefined ? "complete" : "gone";
    this.#waited(pull);
    this.#open -= 1;
    this.#pulls.push({
      node: node.id,
      key,
      end: reason === undefined ? "complete" : "failed",
      longestWaitMs: pull.longestWaitMs,
      endedAt: now(),
      ...(reason === undefined ? {} : { reason }),
    });
  }

  /** @returns Why the pull failed. */
  async #fill(pull: Pull): Promise<PullResult["reason"]> {
    const { node, held } = pull;
    while (held.steps < CONTENT_STEPS) {
      if (!node.containerdIsUp) return "containerd died";
      const before = held.steps;
      const source = node.mirrorIsUp ? await this.#join(pull) : undefined;
      if (source !== undefined && node.mirrorIsUp) {
        const isComplete = await this.#follow(pull, source);
        source.close(isComplete);
        if (isComplete && held.isWrong) this.#wrongBodies += 1;
        // containerd comes back with Range as long as there is progress, and after a 404 goes upstream.
        if (held.steps > before) continue;
      }
      const reason = await this.#fetch(pull);
      if (reason !== undefined) return reason;
    }
    if (!node.containerdIsUp) return "containerd died";
    return held.isWrong ? "upstream sent wrong bytes" : undefined;
  }

  async #join({ node, key, held }: Pull): Promise<PeerSource | undefined> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    // A mirror that dies breaks its connections.
    node.ending.signal.addEventListener("abort", () => resolve(undefined), { once: true });
    const joined = node.participant.join(key, held.steps, node.ending.signal);
    return await Promise.race([joined, promise]);
  }

  async #fetch(pull: Pull): Promise<PullResult["reason"]> {
    const { node, held } = pull;
    const { sleep } = this.#scheduler;
    this.#waited(pull);
    await sleep(20);
    if (node.isRefused) return "refused";
    while (held.steps < CONTENT_STEPS) {
      if (node.stallsAt === held.steps) await sleep(this.#random() * 12_000);
      await sleep(STEP_MS.upstream);
      // Whatever upstream takes is not the mirror's doing.
      pull.waitingSince = this.#scheduler.now();
      if (!node.containerdIsUp) return "containerd died";
      held.steps += 1;
      held.isWrong ||= node.getsWrongBytes;
      this.#upstreamSteps += 1;
    }
    return undefined;
  }

  #waited(pull: Pull): void {
    const now = this.#scheduler.now();
    pull.longestWaitMs = Math.max(pull.longestWaitMs, now - pull.waitingSince);
    pull.waitingSince = now;
  }

  // Transfer

  /** @returns Whether all of it came. */
  async #follow(pull: Pull, source: PeerSource): Promise<boolean> {
    const { node, held } = pull;
    while (node.mirrorIsUp && node.containerdIsUp) {
      const peer = await source.next();
      if (peer === undefined || !node.mirrorIsUp) return false;
      const parent = this.#nodes.find(({ id }) => id === peer.id)!;
      await this.#receive(pull, parent, source);
      if (held.steps === CONTENT_STEPS) return true;
    }
    return false;
  }

  /** What the mirrors of both sides do: see `growing.ts` and `growing_reader.ts`. */
  async #receive(pull: Pull, parent: SimulatedNode, source: PeerSource): Promise<void> {
    const { node, key, held } = pull;
    const { now, sleep } = this.#scheduler;
    const beganAt = now();
    let grownAt = now();
    let seenSteps = 0;
    let isDelivering = false;
    while (node.mirrorIsUp && node.containerdIsUp && source.patienceMs() > 0) {
      await sleep(STEP_MS.peer);
      if (!parent.mirrorIsUp) return; // The connection is reset.
      const there = parent.contents.get(key);
      const isThere = there !== undefined && there.state !== "gone";
      if (there !== undefined && there.steps !== seenSteps) {
        seenSteps = there.steps;
        grownAt = now();
      }
      const most = there?.state === "complete" ? CONTENT_STEPS : CONTENT_STEPS - 1;
      const available = isThere ? Math.min(there.steps, most) : 0;
      if (available > held.steps) {
        isDelivering = true;
        if (!this.#take(pull, there!)) return;
        source.progressed(1);
        if (held.steps === CONTENT_STEPS) return;
        continue;
      }
      if (isDelivering && (!isThere || now() - grownAt > LIMITS.stallMs)) return;
      if (isDelivering) continue;
      const isHopeless = parent.participant.state(key) === "failed";
      if (isHopeless || now() - beganAt > LIMITS.arrivalMs) return; // 404
    }
  }

  /** Takes one step; false if it cannot be handed out, since the whole would be wrong. */
  #take(pull: Pull, there: Held): boolean {
    const { held } = pull;
    const isLast = held.steps + 1 === CONTENT_STEPS;
    const isWrong = held.isWrong || there.isWrong;
    // The digest tells: see `blob_download.ts`.
    if (isLast && isWrong) return false;
    held.isWrong = isWrong;
    held.steps += 1;
    this.#waited(pull);
    return true;
  }
}
