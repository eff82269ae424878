/**
 * Counts what goes on, for {@linkcode NodeStatus}.
 *
 * @module
 */
import type { TransferProgress } from "../net/transfer_progress.ts";
import { CONTAINERD_AGENT, PROBES, type RegistryAnswer } from "../registry/messages.ts";
import type { Exchange, ExchangeObserver } from "../registry/registry_server.ts";
import type { AdvertisedCounts } from "../sync/sync.ts";
import type { NodeStatus } from "./node_status.ts";

/** What goes on. */
export class Activity implements ExchangeObserver {
  readonly #next: ExchangeObserver;
  #requests = 0;
  #containerdRequests = 0;
  #advertised: NodeStatus["advertised"];

  /**
   * @param next Observer that is told everything as well.
   */
  constructor(next: ExchangeObserver) {
    this.#next = next;
  }

  /** Requests that are being answered, without probes. */
  get requests(): number {
    return this.#requests;
  }

  /** Requests of containerd so far. */
  get containerdRequests(): number {
    return this.#containerdRequests;
  }

  /** Numbers of the last look at the store. */
  get advertised(): NodeStatus["advertised"] {
    return this.#advertised;
  }

  /** The advertised state was brought in line. */
  setAdvertised(counts: AdvertisedCounts): void {
    const sum = (map: ReadonlyMap<string, number>) => map.values().reduce((a, b) => a + b, 0);
    const { tags, images, contents } = counts;
    this.#advertised = { tags: sum(tags), images: sum(images), contents: sum(contents) };
  }

  /** @inheritdoc */
  started(handler: string): void {
    if (!PROBES.has(handler)) this.#requests += 1;
    this.#next.started(handler);
  }

  /** @inheritdoc */
  sending(answer: RegistryAnswer, client: string): TransferProgress | undefined {
    return this.#next.sending?.(answer, client);
  }

  /** @inheritdoc */
  finished(exchange: Exchange): void {
    if (CONTAINERD_AGENT.test(exchange.agent ?? "")) this.#containerdRequests += 1;
    this.#next.finished(exchange);
  }

  /** @inheritdoc */
  ended(handler: string): void {
    if (!PROBES.has(handler)) this.#requests -= 1;
    this.#next.ended(handler);
  }
}
