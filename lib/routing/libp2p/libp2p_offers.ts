/**
 * Offers of transfers over TLS, told over libp2p. The one who is asked writes one JSON object and closes the stream.
 *
 * libp2p has proved the identity of both: the certificate is that of the peer that the DHT names, and the token is given
 * to nobody but the one who asks. A node that does not speak the protocol, such as Spegel, says so itself.
 *
 * @module
 */
import { X509Certificate } from "node:crypto";
import type { Connection, PeerId, Stream } from "@libp2p/interface";
import { UnsupportedProtocolError } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { PeerError } from "../../errors.ts";
import type { MakeOffer, TransferOffer, TransferOffers } from "../transfer_offer.ts";
import { encodeJson, parseJson, readToEnd } from "./json_stream.ts";

/** Protocol of the question. */
export const OFFER_PROTOCOL = "/kagami/transfer/1.0.0";

/** Longest offer that is read, in bytes. */
export const MAX_OFFER_BYTES = 4096;

/** Longest token that is taken, in characters. */
export const MAX_TOKEN_LENGTH = 512;

/** Tokens are put into a header as they are. */
const TOKEN = /^[A-Za-z0-9._~+/=-]+$/;

/** What is needed of the libp2p node. */
export interface OfferHost {
  handle(
    protocol: string,
    handler: (stream: Stream, connection: Connection) => void,
  ): Promise<void>;
  dialProtocol(peer: PeerId, protocol: string, options: { signal: AbortSignal }): Promise<Stream>;
}

/** See the module. */
export class Libp2pOffers implements TransferOffers {
  readonly #host: OfferHost;

  /**
   * @param host The libp2p node.
   */
  constructor(host: OfferHost) {
    this.#host = host;
  }

  async ask(id: string, signal: AbortSignal): Promise<TransferOffer | undefined> {
    let stream: Stream | undefined;
    try {
      stream = await this.#host.dialProtocol(peerIdFromString(id), OFFER_PROTOCOL, { signal });
      const offer = parseOffer(await readToEnd(stream, MAX_OFFER_BYTES, signal));
      if (offer === undefined) throw new PeerError("the offer is malformed");
      return offer;
    } catch (cause) {
      if (isUnsupported(cause)) return undefined;
      stream?.abort(new Error("no offer"));
      throw new PeerError(`${id} does not tell how it transfers`, { cause });
    } finally {
      stream?.close().catch(() => {});
    }
  }

  async serve(make: MakeOffer): Promise<void> {
    await this.#host.handle(OFFER_PROTOCOL, (stream, { remotePeer }) => {
      stream.send(encodeJson(make(remotePeer.toString())));
      stream.close().catch((error) => stream.abort(error));
    });
  }
}

function isUnsupported(error: unknown): boolean {
  return error instanceof UnsupportedProtocolError ||
    (error instanceof Error && error.name === "UnsupportedProtocolError");
}

/**
 * Reads an offer.
 *
 * @param bytes The JSON text.
 * @returns The offer; undefined if it is none.
 */
export function parseOffer(bytes: Uint8Array): TransferOffer | undefined {
  const value = parseJson(bytes);
  if (typeof value !== "object" || value === null) return undefined;
  const { port, certificate, token } = value as Partial<Record<keyof TransferOffer, unknown>>;
  if (!Number.isSafeInteger(port) || (port as number) < 1 || (port as number) > 65_535) {
    return undefined;
  }
  if (typeof token !== "string" || token.length > MAX_TOKEN_LENGTH || !TOKEN.test(token)) {
    return undefined;
  }
  if (typeof certificate !== "string" || !isCertificate(certificate)) return undefined;
  return { port: port as number, certificate, token };
}

/** One certificate and nothing else: more of them would be trusted, too. */
function isCertificate(pem: string): boolean {
  if (!/^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n$/.test(pem)) {
    return false;
  }
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
