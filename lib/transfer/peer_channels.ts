/**
 * How to speak with a peer: over TLS, or plainly with one that itself says that it cannot.
 *
 * @module
 */
import { abortable } from "../abortable.ts";
import { PeerError } from "../errors.ts";
import type { Peer } from "../routing/router.ts";
import type { TransferOffer, TransferOffers } from "../routing/transfer_offer.ts";

/** How to speak with a peer. */
export type PeerChannel =
  | { readonly kind: "plain" }
  | { readonly kind: "tls" } & TransferOffer;

/** Plain HTTP to the registry's port. */
export const PLAIN: PeerChannel = { kind: "plain" };

/** How long an offer is used before the peer is asked again, in milliseconds; less than a token is good for. */
export const OFFER_TTL_MS = 30 * 60_000;

/** How long it is remembered that a peer speaks no TLS, in milliseconds. It may have been replaced by one that does. */
export const PLAIN_TTL_MS = 60_000;

/** Longest wait for an offer, in milliseconds. A peer that is connected answers within one. */
export const OFFER_TIMEOUT_MS = 1000;

/** Longest wait for the answers of {@linkcode PeerChannels.survey}, in milliseconds. */
export const SURVEY_MS = 500;

/** Most peers whose channels are remembered; those asked first go first. */
export const MAX_CHANNELS = 4096;

/** Options of {@linkcode PeerChannels}. */
export interface PeerChannelsOptions {
  readonly offers: TransferOffers;
  /** Whether peers that speak no TLS are left alone. */
  readonly required: boolean;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
}

interface Known {
  readonly channel: PeerChannel;
  readonly until: number;
}

/** Finds out, and remembers. */
export class PeerChannels {
  readonly #options: PeerChannelsOptions;
  readonly #known = new Map<string, Known>();
  readonly #asking = new Map<string, Promise<PeerChannel>>();

  /**
   * @param options Whom to ask, and what is allowed.
   */
  constructor(options: PeerChannelsOptions) {
    this.#options = options;
  }

  /**
   * @param peer A peer.
   * @param signal Ends the question.
   * @returns How to speak with it.
   * @throws {PeerError} If it does not tell, or speaks no TLS where that is required. It is never spoken to plainly for
   * want of an answer: whoever can hold back an answer could otherwise read along.
   */
  async of(peer: Peer, signal?: AbortSignal): Promise<PeerChannel> {
    const channel = this.known(peer.id) ?? await this.#asked(peer.id, signal);
    if (channel.kind === "plain" && this.#options.required) {
      throw new PeerError(`peer ${peer.id} speaks no TLS, which is required`);
    }
    return channel;
  }

  /**
   * Asks again, since the peer does not keep its offer: it was started anew as a rule.
   *
   * @param peer The peer.
   * @param broken What it offered.
   * @param signal Ends the question.
   * @returns How to speak with it now; undefined if it still says the same.
   * @throws {PeerError} See {@linkcode of}.
   */
  async renewed(
    peer: Peer,
    broken: PeerChannel,
    signal?: AbortSignal,
  ): Promise<PeerChannel | undefined> {
    // Another request may have asked meanwhile.
    if (this.#known.get(peer.id)?.channel === broken) this.#known.delete(peer.id);
    const channel = await this.of(peer, signal);
    return isSame(channel, broken) ? undefined : channel;
  }

  /**
   * @param id Text of a peer's ID.
   * @returns How to speak with it, if it has told lately.
   */
  known(id: string): PeerChannel | undefined {
    const known = this.#known.get(id);
    return known !== undefined && known.until > this.#options.now() ? known.channel : undefined;
  }

  /**
   * Looks how peers are spoken to, and asks those that are not known; what comes late is told the next time.
   *
   * @param peers The peers.
   * @returns Kinds of channels, by identity, of those that have told.
   */
  async survey(peers: readonly Peer[]): Promise<Record<string, PeerChannel["kind"]>> {
    const signal = AbortSignal.timeout(SURVEY_MS);
    await Promise.allSettled(peers.map(({ id }) => this.known(id) ?? this.#asked(id, signal)));
    const kinds: Record<string, PeerChannel["kind"]> = {};
    for (const { id } of peers) {
      const known = this.known(id);
      if (known !== undefined) kinds[id] = known.kind;
    }
    return kinds;
  }

  async #asked(id: string, signal: AbortSignal | undefined): Promise<PeerChannel> {
    let asking = this.#asking.get(id);
    if (asking === undefined) {
      asking = this.#ask(id).finally(() => this.#asking.delete(id));
      asking.catch(() => {}); // Those who wait may have gone.
      this.#asking.set(id, asking);
    }
    if (signal === undefined) return await asking;
    try {
      return await abortable(asking, signal);
    } catch (error) {
      throw signal.aborted ? new PeerError("request was aborted", { cause: error }) : error;
    }
  }

  async #ask(id: string): Promise<PeerChannel> {
    const { offers, now } = this.#options;
    const offer = await offers.ask(id, AbortSignal.timeout(OFFER_TIMEOUT_MS));
    const channel: PeerChannel = offer === undefined ? PLAIN : { kind: "tls", ...offer };
    const ttlMs = offer === undefined ? PLAIN_TTL_MS : OFFER_TTL_MS;
    this.#known.delete(id);
    this.#known.set(id, { channel, until: now() + ttlMs });
    if (this.#known.size > MAX_CHANNELS) this.#known.delete(this.#known.keys().next().value!);
    return channel;
  }
}

function isSame(a: PeerChannel, b: PeerChannel): boolean {
  if (a.kind === "plain" || b.kind === "plain") return a.kind === b.kind;
  return a.port === b.port && a.certificate === b.certificate && a.token === b.token;
}
