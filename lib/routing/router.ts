/**
 * Who in the cluster has a key? Implementations: `libp2p/` (Kademlia DHT, compatible with Spegel) and
 * `memory_router.ts`; both pass `tests/unit/routing/compliance.ts`.
 *
 * @module
 */

/** A node that offers content. */
export interface Peer {
  /** Stable identity of the node: the libp2p peer ID. */
  readonly id: string;
  /** IP addresses (IPv4 or IPv6 literals without brackets) of the node, best first, at least one. */
  readonly addresses: readonly string[];
  /** Port of the node's registry. */
  readonly registryPort: number;
  /** Topology zone of the node; left out if it is not known. */
  readonly zone?: string;
  /** Version of Kagami that it runs; left out if it has not told one, as Spegel. */
  readonly version?: string;
}

/** This node in the network. */
export interface Self {
  readonly id: string;
  /** IP addresses that others can reach it at. */
  readonly addresses: readonly string[];
}

/** A node that does not answer any more. */
export interface LostPeer {
  readonly id: string;
  /** IP addresses where it was. */
  readonly addresses: readonly string[];
  /** How long ago it was lost, in milliseconds. */
  readonly agoMs: number;
}

/** What a node holds open to talk to others. */
export interface Links {
  readonly connections: number;
  /** Conversations on them, in both directions. */
  readonly streams: number;
}

/** Whether lookups can find anything, and why not. */
export interface RouterStatus {
  readonly ready: boolean;
  /** One line for `/readyz` and logs. */
  readonly detail: string;
}

/** Options of {@linkcode Router.lookup}. */
export interface LookupOptions {
  /** Stop after this many peers; 0 or left out means as many as can be found. */
  readonly count?: number;
  /** Ends the lookup; the stream then ends without an error. */
  readonly signal?: AbortSignal;
}

/** Finds and announces content. */
export interface Router {
  /** Value of the `router` label of metrics, e.g. `libp2p`. */
  readonly name: string;

  /**
   * Streams the peers that have a key, as they are found, without this node itself and without
   * duplicates. Ends when no more can be found, after `count` peers, or when the signal is aborted;
   * leaving the loop early frees everything.
   *
   * @param key Digest or full tag reference.
   */
  lookup(key: string, options?: LookupOptions): AsyncIterable<Peer>;

  /**
   * Announces that this node has the keys, and keeps them announced until {@linkcode withdraw}. Returns once
   * the keys are recorded; telling the network may go on in the background. The first call names all keys that the
   * node has then, be it none: others forget what it announced before it was restarted.
   */
  advertise(keys: readonly string[]): Promise<void>;

  /** Stops announcing the keys. Keys that are not advertised are ignored. */
  withdraw(keys: readonly string[]): Promise<void>;

  /**
   * Tells that a peer answered that it does not have a key, so that it is not offered for that key again
   * for a short while.
   */
  forget(key: string, peer: Peer): void;

  /** Peers that this node knows now. */
  peers(): Promise<Peer[]>;

  /** Peers that were lost and have not come back; they are forgotten after some minutes. */
  lost(): LostPeer[];

  /** What is open to peers now. */
  links(): Links;

  /** This node, as it tells others. */
  self(): Self;

  /** Says whether lookups can be answered. Never throws. */
  status(): Promise<RouterStatus>;

  /** Leaves the network and frees everything, so that the process can end. Safe to call twice. */
  stop(): Promise<void>;
}
