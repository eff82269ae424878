/**
 * A router without a network: all nodes live in one process and share a {@linkcode MemoryNetwork}. For
 * tests, and for parts that need a router but no peers.
 *
 * @module
 */
import { Forgotten } from "./forgotten.ts";
import type { Links, LookupOptions, LostPeer, Peer, Router, RouterStatus, Self } from "./router.ts";

/** What the nodes of a {@linkcode MemoryRouter} cluster share. */
export class MemoryNetwork {
  /** Nodes that are up, by identity. */
  readonly nodes: Map<string, Peer> = new Map();
  /** For each key, the nodes that announce it and when they did, in the order of announcement. */
  readonly records: Map<string, Map<string, number>> = new Map();
}

/** Options of a {@linkcode MemoryRouter}. */
export interface MemoryRouterOptions {
  /** The cluster to join. */
  readonly network: MemoryNetwork;
  /** This node, as others see it. */
  readonly self: Peer;
  /** Monotonic clock in milliseconds. Default: the process's. */
  readonly now?: () => number;
}

/**
 * Router over a {@linkcode MemoryNetwork}.
 *
 * @example
 * ```ts
 * const network = new MemoryNetwork();
 * const a = new MemoryRouter({ network, self: { id: "a", addresses: ["10.0.0.1"], registryPort: 5000 } });
 * await a.advertise(["docker.io/library/nginx:1.27"]);
 * ```
 */
export class MemoryRouter implements Router {
  readonly name = "memory";
  readonly #network: MemoryNetwork;
  readonly #self: Peer;
  readonly #now: () => number;
  readonly #forgotten: Forgotten;
  #stopped = false;

  /**
   * @param options Cluster, identity and clock.
   */
  constructor(options: MemoryRouterOptions) {
    this.#network = options.network;
    this.#self = options.self;
    this.#now = options.now ?? (() => performance.now());
    this.#forgotten = new Forgotten(this.#now);
    this.#network.nodes.set(this.#self.id, this.#self);
  }

  /** @inheritdoc */
  async *lookup(key: string, options: LookupOptions = {}): AsyncIterable<Peer> {
    const count = options.count ?? 0;
    let found = 0;
    for (const [id, advertisedAt] of [...(this.#network.records.get(key) ?? [])]) {
      if (options.signal?.aborted || this.#stopped) return;
      const peer = this.#network.nodes.get(id);
      if (peer === undefined || id === this.#self.id) continue;
      if (this.#forgotten.has(key, id, advertisedAt)) continue;
      yield await Promise.resolve(peer);
      found++;
      if (found === count) return;
    }
  }

  /** @inheritdoc */
  advertise(keys: readonly string[]): Promise<void> {
    for (const key of this.#stopped ? [] : keys) {
      const record = this.#network.records.get(key) ?? new Map<string, number>();
      record.set(this.#self.id, this.#now());
      this.#network.records.set(key, record);
    }
    return Promise.resolve();
  }

  /** @inheritdoc */
  withdraw(keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      const record = this.#network.records.get(key);
      record?.delete(this.#self.id);
      if (record?.size === 0) this.#network.records.delete(key);
    }
    return Promise.resolve();
  }

  /** @inheritdoc */
  forget(key: string, peer: Peer): void {
    this.#forgotten.add(key, peer.id);
  }

  /** @inheritdoc */
  peers(): Promise<Peer[]> {
    return Promise.resolve(this.#stopped ? [] : this.#others());
  }

  #others(): Peer[] {
    return [...this.#network.nodes.values()].filter((peer) => peer.id !== this.#self.id);
  }

  /** @inheritdoc */
  lost(): LostPeer[] {
    return []; // A node of this network leaves in order, or not at all.
  }

  /** @inheritdoc */
  links(): Links {
    return { connections: 0, streams: 0 }; // It calls its peers directly.
  }

  /** @inheritdoc */
  self(): Self {
    return { id: this.#self.id, addresses: this.#self.addresses };
  }

  /** @inheritdoc */
  status(): Promise<RouterStatus> {
    return Promise.resolve(
      this.#stopped
        ? { ready: false, detail: "router is stopped" }
        : { ready: true, detail: `${this.#others().length} peers` },
    );
  }

  /** @inheritdoc */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#network.nodes.delete(this.#self.id);
    await this.withdraw([...this.#network.records.keys()]);
  }
}
