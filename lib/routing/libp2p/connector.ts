/**
 * Keeps a node connected: dials what the bootstrapper tells, again and again.
 *
 * @module
 */
import { isIP } from "node:net";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { type ResolveName, resolveName } from "../../net/resolve_name.ts";
import type { Logger } from "../../observability/logger.ts";
import { type Sleep, sleep } from "../../sleep.ts";
import type { Bootstrapper } from "../bootstrap/bootstrapper.ts";
import { ipOf, peerIdOf } from "./peer_addresses.ts";

/** Pause between attempts while no peer is known, in milliseconds: at first, and at most. */
export const RETRY_MS = { first: 500, most: 5000 } as const;

/**
 * Pause between attempts while peers are known, in milliseconds. They join the halves of a network that was split,
 * and of one whose nodes started apart.
 */
export const RECHECK_MS = 30_000;

/** The same while peers are missed that were there before. */
export const MISSED_RECHECK_MS = 3000;

/** Time limit of one dial, in milliseconds. */
export const DIAL_TIMEOUT_MS = 3000;

/** What the connector needs of the node. */
export interface ConnectorNode {
  /** Text of the own peer ID. */
  readonly id: string;
  /** Own multiaddrs, with peer ID. */
  addresses(): readonly Multiaddr[];
  /** Whether there is a connection to a peer, by its ID or by its IP address and port. */
  isConnected(address: Multiaddr): boolean;
  /**
   * Dials. Without a peer ID in the address, takes whoever answers.
   *
   * @returns False if it was this node itself, at an address that it does not know to be its own.
   */
  dial(address: Multiaddr, signal: AbortSignal): Promise<boolean>;
  /** Number of peers in the routing table. */
  peerCount(): number;
  /** Where peers were that were lost a while ago; they may be back. */
  missed(): readonly Multiaddr[];
}

/** Options of {@linkcode Connector}. */
export interface ConnectorOptions {
  readonly node: ConnectorNode;
  readonly bootstrapper: Bootstrapper;
  /** Port of peers' routers where the bootstrapper tells none. */
  readonly routerPort: number;
  readonly log: Logger;
  /** How to resolve names in addresses. Default: the system's resolver. */
  readonly resolve?: ResolveName;
  /** Waits. Default: by the process's clock. */
  readonly sleep?: Sleep;
}

/** How the last attempt went. */
export interface ConnectorState {
  /** Whether the bootstrapper has answered. */
  readonly answered: boolean;
  /** Number of other nodes that it told. */
  readonly others: number;
  /** Why nothing could be reached. */
  readonly failure: string | undefined;
}

interface DialOutcome {
  readonly isSelf: boolean;
  readonly failure?: string;
}

/** Dials bootstrap peers. */
export class Connector {
  readonly #options: ConnectorOptions;
  readonly #sleep: Sleep;
  readonly #resolve: ResolveName;
  #state: ConnectorState = { answered: false, others: 0, failure: "bootstrap has not begun" };
  #logged = "";

  /**
   * @param options Node, bootstrapper and log.
   */
  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.#sleep = options.sleep ?? sleep;
    this.#resolve = options.resolve ?? resolveName;
  }

  /** How the last attempt went. */
  get state(): ConnectorState {
    return this.#state;
  }

  /**
   * Keeps connecting.
   *
   * @param signal Ends it.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { node } = this.#options;
    let retryMs: number = RETRY_MS.first;
    while (!signal.aborted) {
      this.#state = await this.#attempt(signal);
      if (signal.aborted) return;
      this.#tell();
      await Promise.all(node.missed().map((address) => this.#dial(address, signal)));
      const isAlone = node.peerCount() === 0;
      const pauseMs = node.missed().length > 0 ? MISSED_RECHECK_MS : RECHECK_MS;
      await this.#sleep(isAlone ? retryMs : pauseMs, signal);
      retryMs = isAlone ? Math.min(retryMs * 2, RETRY_MS.most) : RETRY_MS.first;
    }
  }

  async #attempt(signal: AbortSignal): Promise<ConnectorState> {
    const { bootstrapper, node } = this.#options;
    let told: string[];
    try {
      told = await bootstrapper.peers(signal);
    } catch (error) {
      return { answered: false, others: 0, failure: messageOf(error) };
    }
    const addresses = (await Promise.all(told.map((text) => this.#complete(text, signal)))).flat();
    const own = new Set(node.addresses().map(endpointOf));
    const others = addresses.filter((address) =>
      peerIdOf(address) !== node.id && !own.has(endpointOf(address))
    );
    const outcomes = await Promise.all(others.map((address) => this.#dial(address, signal)));
    const failure = outcomes.find(({ failure }) => failure !== undefined)?.failure;
    return {
      answered: true,
      others: outcomes.filter(({ isSelf }) => !isSelf).length,
      failure,
    };
  }

  /** Fills in the port, and resolves names. */
  async #complete(text: string, signal: AbortSignal): Promise<Multiaddr[]> {
    const { log, routerPort } = this.#options;
    try {
      const address = multiaddr(text);
      const components = address.getComponents();
      const [first] = components;
      const withPort = components.some(({ name }) => name === "tcp")
        ? text
        : `${text}/tcp/${routerPort}`;
      if (first?.name !== "dns" || first.value === undefined) return [multiaddr(withPort)];
      const rest = withPort.slice(`/dns/${first.value}`.length);
      const found = await this.#resolve(first.value, signal);
      return found.map((ip) => multiaddr(`/ip${isIP(ip)}/${ip}${rest}`));
    } catch (error) {
      log.debug("cannot use a bootstrap address", { address: text, error });
      return [];
    }
  }

  async #dial(address: Multiaddr, signal: AbortSignal): Promise<DialOutcome> {
    const { node } = this.#options;
    if (node.isConnected(address)) return { isSelf: false };
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]);
      return { isSelf: !await node.dial(address, limit) };
    } catch (error) {
      return { isSelf: false, failure: `${address}: ${messageOf(error)}` };
    }
  }

  /** Logs changes only: a node that stays alone is quiet. */
  #tell(): void {
    const { log, node } = this.#options;
    const { answered, failure, others } = this.#state;
    const peers = node.peerCount();
    const text = peers > 0
      ? "connected to peers"
      : !answered
      ? "bootstrap failed, trying again"
      : others === 0
      ? "no other nodes yet"
      : failure !== undefined
      ? "no bootstrap peer can be reached, trying again"
      : undefined; // Dialled, and about to enter the routing table.
    if (text === undefined || text === this.#logged) return;
    this.#logged = text;
    const isTrouble = peers === 0 && (!answered || others > 0);
    if (isTrouble) log.warn(text, { failure });
    else log.info(text, { peers });
  }
}

/** IP address and port, the same text for the same endpoint. */
export function endpointOf(address: Multiaddr): string {
  const port = address.getComponents().find(({ name }) => name === "tcp")?.value;
  return `${ipOf(address)} ${port}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
