/**
 * Takes announcements in place of kad-dht's own handler, which writes the announcing peer's addresses to the peer store
 * with each of them: thousands of times the same, under a lock, at half of the whole cost. Takes withdrawals as well,
 * which kad-dht does not know.
 *
 * @module
 */
import { InvalidMessageError, type PeerId } from "@libp2p/interface";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import type { MessageHandler } from "./dht.ts";
import type { DhtMessage } from "./dht_message.ts";
import { digestOf } from "./provider_key.ts";
import { type Mark, markOf, TellingOrder, type TellingSource } from "./telling.ts";

/** Addresses that a peer tells again are written again after this time, in milliseconds, should they have been lost. */
export const ADDRESSES_TTL_MS = 60_000;

/** Most addresses of a peer that are taken; a message could hold a hundred thousand. */
export const MAX_TOLD_ADDRESSES = 16;

/** Longest address that is taken, in bytes. With IP address, port and WebSocket they have 25. */
export const MAX_TOLD_ADDRESS_BYTES = 128;

/** Most peers whose addresses are remembered as told; there are no more connections. */
export const MAX_TOLD_PEERS = 4096;

/** Options of {@linkcode AddProviderHandler}. */
export interface AddProviderHandlerOptions {
  /** Takes a record: sha2-256 digest of a key's text, and the text of the provider's peer ID. */
  put(digest: Uint8Array, peer: string): void;
  /** Takes a record back. */
  remove(digest: Uint8Array, peer: string): void;
  /** A peer begins to tell all keys that it has. */
  begins(peer: string): void;
  /** It has told all of them. */
  ends(peer: string): void;
  /** Notes where a peer is. */
  merge(peer: PeerId, multiaddrs: Multiaddr[]): Promise<unknown>;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
}

/** A message, and the stream that it came on. */
export type AddProviderMessage = Pick<DhtMessage, "key" | "providers"> & {
  readonly source?: TellingSource;
};

interface ToldAddresses {
  readonly bytes: readonly Uint8Array[];
  readonly at: number;
}

/** Handles ADD_PROVIDER. */
export class AddProviderHandler implements MessageHandler {
  readonly #options: AddProviderHandlerOptions;
  readonly #told = new Map<string, ToldAddresses>();
  readonly #order = new TellingOrder();

  /**
   * @param options Where records and addresses go, and the clock.
   */
  constructor(options: AddProviderHandlerOptions) {
    this.#options = options;
  }

  /**
   * Handles one message. A provider without addresses withdraws the key. Providers other than the sender, and such without
   * usable addresses, are ignored, and so are keys that neither Kagami nor Spegel make, and what is older than what came
   * since on another stream.
   *
   * @param sender Who sent it.
   * @param message The message, and the stream that it came on.
   * @throws {InvalidMessageError} If the message has no key.
   */
  async handle(sender: PeerId, message: AddProviderMessage): Promise<undefined> {
    const { key, source = {} } = message;
    if (key === undefined || key.length === 0) throw new InvalidMessageError("Missing key");
    const digest = digestOf(key);
    if (digest === undefined) return undefined;
    const own = sender.toMultihash().bytes;
    for (const { id, multiaddrs } of message.providers) {
      if (!equal(id, own)) continue;
      if (multiaddrs.length === 0) {
        this.#withdraw(digest, sender.toString(), source);
        continue;
      }
      const addresses = multiaddrs.filter(({ length }) => length <= MAX_TOLD_ADDRESS_BYTES)
        .slice(0, MAX_TOLD_ADDRESSES);
      const peer = sender.toString();
      // Addresses first: a record whose peer is not known makes the answer about all providers of its key fail.
      const isKnown = await this.#note(sender, peer, addresses);
      if (isKnown && !this.#order.isStale(peer, source)) this.#options.put(digest, peer);
    }
    return undefined;
  }

  #withdraw(digest: Uint8Array, peer: string, source: TellingSource): void {
    const mark = markOf(digest);
    if (mark !== undefined && mark.kind !== "ends") this.#order.begin(peer, mark, source);
    if (this.#order.isStale(peer, source)) return;
    if (mark === undefined) this.#options.remove(digest, peer);
    else this.#marked(mark, peer);
  }

  #marked({ kind }: Mark, peer: string): void {
    if (kind === "begins") this.#options.begins(peer);
    else if (kind === "ends") this.#options.ends(peer);
  }

  /** @returns False if none of the addresses can be used. */
  async #note(sender: PeerId, peer: string, bytes: readonly Uint8Array[]): Promise<boolean> {
    const { merge, now } = this.#options;
    const told = this.#told.get(peer);
    const isKnown = told !== undefined && now() - told.at < ADDRESSES_TTL_MS &&
      told.bytes.length === bytes.length &&
      told.bytes.every((address, index) => equal(address, bytes[index]!));
    if (isKnown) return true;
    // One of a kind that is not known here must not spoil the others.
    const multiaddrs = bytes.map(tryMultiaddr).filter((address) => address !== undefined);
    if (multiaddrs.length === 0) return false;
    await merge(sender, multiaddrs);
    this.#told.delete(peer);
    // Copied: the message's own bytes may be a view of all that was received with it.
    this.#told.set(peer, { bytes: bytes.map((address) => address.slice()), at: now() });
    const oldest = this.#told.keys().next();
    if (this.#told.size > MAX_TOLD_PEERS && !oldest.done) this.#told.delete(oldest.value);
    return true;
  }
}

function tryMultiaddr(bytes: Uint8Array): Multiaddr | undefined {
  try {
    return multiaddr(bytes);
  } catch {
    return undefined;
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
