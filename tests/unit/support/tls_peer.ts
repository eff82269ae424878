/**
 * A peer that speaks TLS: the real server, gate and certificate before a registry of one content; and what it offers.
 *
 * @module
 */
import { createCertificate } from "../../../lib/net/certificate.ts";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { PeerGate } from "../../../lib/registry/gates.ts";
import type { RegistryRequest } from "../../../lib/registry/messages.ts";
import { type Exchange, RegistryServer } from "../../../lib/registry/registry_server.ts";
import type { BodySender } from "../../../lib/registry/send_body.ts";
import { TransferTokens } from "../../../lib/registry/transfer_tokens.ts";
import type { Peer } from "../../../lib/routing/router.ts";
import type { TransferOffer, TransferOffers } from "../../../lib/routing/transfer_offer.ts";
import type { ContentReader } from "../../../lib/store/store.ts";
import type { TestContent } from "./content.ts";

/** The ID of the node that asks. */
export const ASKING = "asking";

/** A running peer. */
export interface TlsPeer extends AsyncDisposable {
  readonly port: number;
  readonly peer: Peer;
  readonly certificate: string;
  /** What it offers to {@linkcode ASKING}. */
  offer(): TransferOffer;
  /** Requests that were let in. */
  readonly requests: readonly RegistryRequest[];
  /** Reasons of refusals. */
  readonly refused: readonly string[];
  readonly exchanges: readonly Exchange[];
  /** Sets its clock forward. */
  advance(ms: number): void;
}

/** How a peer sends a content that it has in a file. */
export interface SendingFile {
  readonly sender: BodySender;
  open(): ContentReader;
}

/**
 * Starts a peer on loopback.
 *
 * @param content What it answers to everything.
 * @param port Port, 0 for any.
 * @param file How it sends the content; left out, from memory.
 * @returns The peer.
 */
export async function startTlsPeer(
  content: TestContent,
  port = 0,
  file?: SendingFile,
): Promise<TlsPeer> {
  let now = 0;
  const tls = createCertificate();
  const tokens = new TransferTokens({ now: () => now });
  const requests: RegistryRequest[] = [];
  const refused: string[] = [];
  const exchanges: Exchange[] = [];
  const server = new RegistryServer({
    tls,
    registry: new PeerGate({
      tokens,
      events: { admitted: () => {}, refused: (reason) => void refused.push(reason) },
      registry: {
        answer(request) {
          requests.push(request);
          const headers = {
            "Content-Length": String(content.bytes.length),
            "Docker-Content-Digest": content.digest,
          };
          const facts = { handler: "registry" } as const;
          const body = file?.open() ?? content.bytes;
          return Promise.resolve({ status: 200, headers, body, facts });
        },
      },
    }),
    ...(file === undefined ? {} : { sender: file.sender }),
    log: silentLogger,
    observer: {
      started: () => {},
      ended: () => {},
      finished: (exchange) => void exchanges.push(exchange),
    },
  });
  const bound = await server.listen({ host: "127.0.0.1", port });
  return {
    port: bound,
    // Nothing listens there: what comes, comes over TLS.
    peer: { id: "peer", addresses: ["127.0.0.1"], registryPort: 1 },
    certificate: tls.certificate,
    offer: () => ({ port: bound, certificate: tls.certificate, token: tokens.issue(ASKING) }),
    requests,
    refused,
    exchanges,
    advance: (ms) => void (now += ms),
    [Symbol.asyncDispose]: () => server.close(0),
  };
}

/** Offers as a test has them, one after the other; the last one again and again. */
export class GivenOffers implements TransferOffers {
  readonly #answers: (TransferOffer | undefined | Error)[];
  /** Whom was asked. */
  readonly asked: string[] = [];

  /**
   * @param answers What is answered; an error is thrown.
   */
  constructor(...answers: (TransferOffer | undefined | Error)[]) {
    this.#answers = answers;
  }

  ask(id: string): Promise<TransferOffer | undefined> {
    this.asked.push(id);
    const answer = this.#answers.length > 1 ? this.#answers.shift() : this.#answers[0];
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  }

  serve(): Promise<void> {
    return Promise.resolve();
  }
}
