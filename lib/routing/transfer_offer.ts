/**
 * How a node is reached for transfers over TLS. Nodes tell one another over the router's network, which proves who they
 * are; implementation: `libp2p/libp2p_offers.ts`.
 *
 * @module
 */

/** What a node tells one other node. */
export interface TransferOffer {
  /** Port that speaks TLS. */
  readonly port: number;
  /** Certificate of the node, PEM. */
  readonly certificate: string;
  /** What the other node is to send with its requests. Nobody else is to know it. */
  readonly token: string;
}

/** Makes the offer for one peer, by the text of its ID. */
export type MakeOffer = (peer: string) => TransferOffer;

/** Asks for offers, and makes them. */
export interface TransferOffers {
  /**
   * Asks a peer.
   *
   * @param id Text of the peer's ID.
   * @param signal Ends it.
   * @returns Its offer; undefined if the peer itself, and nobody in between, says that it speaks no TLS.
   * @throws {PeerError} If there is no answer, or a bad one.
   */
  ask(id: string, signal: AbortSignal): Promise<TransferOffer | undefined>;

  /** Answers from now on, until the router stops. */
  serve(make: MakeOffer): Promise<void>;
}
