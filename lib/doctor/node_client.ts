/**
 * Asks the mirror of this node.
 *
 * @module
 */
import { LOCATE_PATH, type Location, type NodeStatus, STATUS_PATH } from "../debug/node_status.ts";
import { UnavailableError } from "../errors.ts";
import type { ListenAddress } from "../net/listen.ts";
import { hostAndPort } from "../transfer/http_client.ts";
import type { MirrorState } from "./check.ts";
import type { HttpAnswer, HttpAsker, HttpQuestion } from "./http_asker.ts";

const decoder = new TextDecoder();

/**
 * Where something that listens on an address of this machine can be reached.
 *
 * @param address The listen address.
 * @returns URL without a path.
 */
export function urlOf({ host, port }: ListenAddress): string {
  const wildcards: Record<string, string> = { "0.0.0.0": "127.0.0.1", "::": "::1" };
  const reachable = host === undefined ? "127.0.0.1" : wildcards[host] ?? host;
  return `http://${hostAndPort(reachable, port)}`;
}

/** Client of the mirror of this node. */
export class NodeClient {
  readonly registryUrl: string;
  readonly metricsUrl: string;
  readonly #ask: HttpAsker;

  /**
   * @param addresses Where the mirror listens.
   * @param ask Asks.
   */
  constructor(
    addresses: { readonly registry: ListenAddress; readonly metrics: ListenAddress },
    ask: HttpAsker,
  ) {
    this.registryUrl = urlOf(addresses.registry);
    this.metricsUrl = urlOf(addresses.metrics);
    this.#ask = ask;
  }

  /**
   * @returns What it says of itself.
   */
  async state(): Promise<MirrorState> {
    try {
      const { status, bytes } = await this.#ask(`${this.metricsUrl}${STATUS_PATH}`);
      if (status === 200) return { kind: "told", status: parseStatus(bytes) };
      return { kind: "untold" };
    } catch (error) {
      return { kind: "silent", reason: error instanceof Error ? error.message : String(error) };
    }
  }

  /**
   * Finds out who has a content.
   *
   * @param key Digest, or full tag reference.
   * @param signal Ends it.
   * @returns Who has it.
   * @throws {UnavailableError} If the mirror does not tell.
   */
  async locate(key: string, signal?: AbortSignal): Promise<Location> {
    const url = `${this.metricsUrl}${LOCATE_PATH}?key=${encodeURIComponent(key)}`;
    const { status, bytes } = await this.#ask(url, signal === undefined ? {} : { signal });
    if (status !== 200) throw new UnavailableError(`the mirror answers ${status} to ${url}`);
    return JSON.parse(decoder.decode(bytes));
  }

  /**
   * Asks the registry.
   *
   * @param target Path and query.
   * @param question How.
   * @returns The answer.
   * @throws {UnavailableError} If there is none.
   */
  registry(target: string, question?: HttpQuestion): Promise<HttpAnswer> {
    return this.#ask(`${this.registryUrl}${target}`, question);
  }
}

/** The mirror is of the same version as a rule; another program on its port is what must be told apart. */
function parseStatus(bytes: Uint8Array): NodeStatus {
  let value: Partial<NodeStatus> | null;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    throw new UnavailableError("what answers on the metrics port is no Kagami", { cause });
  }
  const { id, peers, lost, settings } = value ?? {};
  if (typeof id !== "string" || !Array.isArray(peers) || !Array.isArray(lost) || !settings) {
    throw new UnavailableError("what answers on the metrics port is no Kagami, or another version");
  }
  return value as NodeStatus;
}
