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
import { ARRIVAL_MS } from "../../../lib/registry/growing.ts";
import { Coordinator, QUEUED_MS } from "../../../lib/share/coordinator.ts";
import { Participant } from "../../../lib/share/participant.ts";
import type { Faults, Outcome, PullResult, Setting } from "./simulated_setting.ts";
import { randomFrom, SimulatedTime, Slots } from "./simulated_time.ts";

/** Time that a step takes from upstream, and from a peer, in milliseconds. */
const STEP_MS = { upstream: 40, peer: 8 } as const;

/** Time within which a containerd begins with the contents of an image, in milliseconds. */
const CONTENT_SPREAD_MS = 20;

/** As in `growing_reader.ts`. */
const STALL_MS = 3000;

function place(text: string): Uint8Array {
  return Uint8Array.from(createHash("sha256").update(text).digest());
}

/** A content on a node. */
interface Held {
  steps: number;
  readonly total: number;
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
  diedAt: number;
  readonly slots: Slots | undefined;
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
  readonly #scheduler = new SimulatedTime();
  readonly #random: () => number;
  readonly #setting: Setting;
  readonly #faults: Faults;
  readonly #nodes: SimulatedNode[] = [];
  readonly #pulls: PullResult[] = [];
  /** Pairs of nodes of which one does not know the other. */
  readonly #blind = new Set<string>();
  #open = 0;
  #upstreamSteps = 0;
  #wrongBodies = 0;
  /** Downloads from upstream that are under way. */
  #fetches = 0;

  constructor(setting: Setting) {
    const { seed, nodes, faults } = setting;
    this.#random = randomFrom(seed);
    this.#setting = setting;
    this.#faults = faults;
    for (let number = 0; number < nodes; number++) this.#addNode(`node-${number}-${seed}`);
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
      void this.#pullImage(node, keys, this.#random() * spreadMs);
    }
    await this.#scheduler.run(() => this.#open === 0, untilMs);
    const open = this.#open;
    for (const node of this.#nodes) node.ending.abort();
    return {
      pulls: this.#pulls,
      open,
      upstreamSteps: this.#upstreamSteps,
      deaths: this.#nodes.filter(({ mirrorIsUp }) => !mirrorIsUp).length,
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
      diedAt: Infinity,
      slots: this.#setting.slots === undefined ? undefined : new Slots(this.#setting.slots),
      containerdIsUp: true,
      isRefused: this.#happens(refusal),
      stallsAt: stalls ? Math.floor(this.#random() * this.#setting.steps) : undefined,
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
              .map(([key, { steps, total }]) => ({ key, offset: steps, total })),
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
        this.#nodes.filter((other) =>
          other !== node && !this.#blind.has(`${node.id} ${other.id}`) &&
          !this.#hasNoticed(node, other)
        ).map(({ self }) => self),
      describe: (id) => Promise.resolve(this.#nodes.find((other) => other.id === id)?.peer),
      ask: (id, question, signal) => this.#deliver(node, id, question, signal),
      serve: (answer) => {
        node.answer = answer;
        return Promise.resolve();
      },
    };
  }

  /** Whether a node knows that another one is gone; how long that takes is another time for each pair. */
  #hasNoticed(node: SimulatedNode, other: SimulatedNode): boolean {
    const part = place(`${node.id} ${other.id}`)[0]! / 256;
    return this.#scheduler.now() >= other.diedAt + part * this.#setting.noticeMs;
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
    const { mirrorDeath, containerdDeath, nodeDeath } = this.#faults;
    const { now, sleep } = this.#scheduler;
    const soon = () => sleep(this.#random() * this.#setting.deathsMs);
    const endMirror = () => {
      node.mirrorIsUp = false;
      node.diedAt = now();
      node.ending.abort();
    };
    const endContainerd = () => {
      node.containerdIsUp = false;
    };
    if (this.#happens(mirrorDeath)) void soon().then(endMirror);
    if (this.#happens(containerdDeath)) void soon().then(endContainerd);
    if (this.#happens(nodeDeath)) {
      void soon().then(() => {
        endMirror();
        endContainerd();
      });
    }
  }

  // containerd

  /** Pulls an image: a manifest of one step if there is to be one, then all else at the same time. */
  async #pullImage(node: SimulatedNode, keys: readonly string[], delayMs: number): Promise<void> {
    const { manifest, steps } = this.#setting;
    this.#open += keys.length;
    await this.#scheduler.sleep(delayMs);
    if (manifest !== undefined) {
      this.#open += 1;
      await this.#pull(node, manifest, 1);
    }
    await Promise.all(keys.map(async (key) => {
      await this.#scheduler.sleep(this.#random() * CONTENT_SPREAD_MS);
      await this.#pull(node, key, steps);
    }));
  }

  async #pull(node: SimulatedNode, key: string, total: number): Promise<void> {
    const { now } = this.#scheduler;
    // containerd opens its ingest before it asks anybody.
    const held: Held = { steps: 0, total, isWrong: false, state: "growing" };
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
    while (held.steps < held.total) {
      if (!node.containerdIsUp) return "containerd died";
      const before = held.steps;
      await this.#request(pull, () => this.#getFromMirror(pull));
      // containerd comes back with Range as long as there is progress, and after a 404 goes upstream.
      if (held.steps > before) continue;
      const reason = await this.#request(pull, () => this.#fetch(pull));
      if (reason !== undefined) return reason;
    }
    if (!node.containerdIsUp) return "containerd died";
    return held.isWrong ? "upstream sent wrong bytes" : undefined;
  }

  /** containerd 2 queues each request, the one to upstream behind those to the mirror that wait already. */
  async #request<T>(pull: Pull, send: () => Promise<T>): Promise<T> {
    const { slots } = pull.node;
    await slots?.take();
    // Until then nobody made it wait.
    pull.waitingSince = this.#scheduler.now();
    try {
      return await send();
    } finally {
      slots?.give();
    }
  }

  async #getFromMirror(pull: Pull): Promise<undefined> {
    const { node, held } = pull;
    const source = node.mirrorIsUp ? await this.#join(pull) : undefined;
    if (source === undefined || !node.mirrorIsUp) return;
    const isComplete = await this.#follow(pull, source);
    source.close(isComplete);
    if (isComplete && held.isWrong) this.#wrongBodies += 1;
  }

  async #join({ node, key, held }: Pull): Promise<PeerSource | undefined> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    // A mirror that dies breaks its connections.
    node.ending.signal.addEventListener("abort", () => resolve(undefined), { once: true });
    const joined = node.participant.join(
      key,
      held.steps,
      node.ending.signal,
      node.slots !== undefined,
    );
    return await Promise.race([joined, promise]);
  }

  async #fetch(pull: Pull): Promise<PullResult["reason"]> {
    this.#waited(pull);
    this.#fetches += 1;
    try {
      return await this.#fetchSteps(pull);
    } finally {
      this.#fetches -= 1;
    }
  }

  async #fetchSteps(pull: Pull): Promise<PullResult["reason"]> {
    const { node, held } = pull;
    const { sleep } = this.#scheduler;
    await sleep(20);
    if (node.isRefused) return "refused";
    while (held.steps < held.total) {
      if (node.stallsAt === held.steps) await sleep(this.#random() * 12_000);
      await sleep(STEP_MS.upstream * (this.#setting.isUpstreamShared ? this.#fetches : 1));
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
      if (held.steps === held.total) return true;
    }
    return false;
  }

  /** What the mirrors of both sides do: see `growing.ts` and `growing_reader.ts`. */
  async #receive(pull: Pull, parent: SimulatedNode, source: PeerSource): Promise<void> {
    const { node, key, held } = pull;
    const { now, sleep } = this.#scheduler;
    const beganAt = now();
    let waitsSince = beganAt;
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
      const most = there?.state === "complete" ? held.total : held.total - 1;
      const available = isThere ? Math.min(there.steps, most) : 0;
      if (available > held.steps) {
        isDelivering = true;
        if (!this.#take(pull, there!)) return;
        source.progressed(1);
        if (held.steps === held.total) return;
        continue;
      }
      if (isDelivering && (!isThere || now() - grownAt > STALL_MS)) return;
      if (isDelivering) continue;
      const isHopeless = parent.participant.state(key) === "failed";
      if (parent.participant.isQueued(key)) waitsSince = Math.min(now(), beganAt + QUEUED_MS);
      if (isHopeless || now() - waitsSince > ARRIVAL_MS) return; // 404
    }
  }

  /** Takes one step; false if it cannot be handed out, since the whole would be wrong. */
  #take(pull: Pull, there: Held): boolean {
    const { held } = pull;
    const isLast = held.steps + 1 === held.total;
    const isWrong = held.isWrong || there.isWrong;
    // The digest tells: see `blob_download.ts`.
    if (isLast && isWrong) return false;
    held.isWrong = isWrong;
    held.steps += 1;
    this.#waited(pull);
    return true;
  }
}
