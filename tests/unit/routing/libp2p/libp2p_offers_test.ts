import assert from "node:assert/strict";
import type { Stream } from "@libp2p/interface";
import { PeerError } from "../../../../lib/errors.ts";
import { createCertificate } from "../../../../lib/net/certificate.ts";
import { encodeJson } from "../../../../lib/routing/libp2p/json_stream.ts";
import {
  Libp2pOffers,
  MAX_OFFER_BYTES,
  MAX_TOKEN_LENGTH,
  OFFER_PROTOCOL,
  type OfferHost,
  parseOffer,
} from "../../../../lib/routing/libp2p/libp2p_offers.ts";
import type { TransferOffer } from "../../../../lib/routing/transfer_offer.ts";
import { type BareNode, startBareNode } from "../../support/libp2p_node.ts";
import { makePeerId } from "../../support/peer_ids.ts";

const { certificate } = createCertificate();
const OFFER: TransferOffer = { port: 5003, certificate, token: "peer.0.mac" };

function offersOf({ node }: BareNode): Libp2pOffers {
  return new Libp2pOffers(node as unknown as OfferHost);
}

function soon(): AbortSignal {
  return AbortSignal.timeout(20_000);
}

async function connected() {
  await using stack = new AsyncDisposableStack();
  const [asking, asked] = [
    stack.use(await startBareNode(() => {})),
    stack.use(await startBareNode(() => {})),
  ];
  await asking.node.dial(asked.node.getMultiaddrs());
  const nodes = stack.move();
  return { asking, asked, [Symbol.asyncDispose]: () => nodes.disposeAsync() };
}

Deno.test("Libp2pOffers gives each peer an offer of its own", async () => {
  await using pair = await connected();
  const { asking, asked } = pair;
  await offersOf(asked).serve((peer) => ({ ...OFFER, token: peer }));
  assert.deepEqual(await offersOf(asking).ask(asked.id, soon()), { ...OFFER, token: asking.id });
});

Deno.test("Libp2pOffers says when a peer does not speak the protocol, as Spegel", async () => {
  await using pair = await connected();
  const { asking, asked } = pair;
  assert.equal(await offersOf(asking).ask(asked.id, soon()), undefined);
});

Deno.test("Libp2pOffers fails where a peer cannot be asked, or is not who it is to be", async () => {
  await using pair = await connected();
  const { asking, asked } = pair;
  const stranger = await makePeerId(1);
  await assert.rejects(offersOf(asking).ask(stranger.toString(), soon()), PeerError);
  await asked.node.stop();
  await assert.rejects(offersOf(asking).ask(asked.id, soon()), PeerError);
  await assert.rejects(offersOf(asking).ask("no ID", soon()), PeerError);
});

const BAD_ANSWERS: Readonly<Record<string, (stream: Stream) => Promise<void>>> = {
  "nothing": (stream) => stream.close(),
  "no JSON": async (stream) => {
    stream.send(new TextEncoder().encode("offer"));
    await stream.close();
  },
  "endless bytes": async (stream) => {
    stream.send(new Uint8Array(MAX_OFFER_BYTES + 1));
    await stream.close();
  },
  "a reset": (stream) => {
    stream.abort(new Error("no"));
    return Promise.resolve();
  },
};

for (const [what, answer] of Object.entries(BAD_ANSWERS)) {
  Deno.test(`Libp2pOffers takes ${what} for no answer, not for a peer without TLS`, async () => {
    await using pair = await connected();
    const { asking, asked } = pair;
    await asked.node.handle(OFFER_PROTOCOL, (stream) => void answer(stream).catch(() => {}));
    await assert.rejects(offersOf(asking).ask(asked.id, soon()), PeerError);
  });
}

Deno.test("Libp2pOffers waits no longer than it may", async () => {
  await using pair = await connected();
  const { asking, asked } = pair;
  await asked.node.handle(OFFER_PROTOCOL, () => {});
  await assert.rejects(
    offersOf(asking).ask(asked.id, AbortSignal.timeout(100)),
    PeerError,
  );
});

Deno.test("parseOffer() reads an offer, and leaves unknown fields alone", () => {
  assert.deepEqual(parseOffer(encodeJson({ ...OFFER, more: 1 })), OFFER);
});

const TWO = certificate + createCertificate().certificate;

const BAD_OFFERS: readonly Record<string, unknown>[] = [
  { port: 0 },
  { port: 65_536 },
  { port: 1.5 },
  { port: "5003" },
  { token: "" },
  { token: "a b" },
  { token: "a\r\nX-Evil: 1" },
  { token: "a".repeat(MAX_TOKEN_LENGTH + 1) },
  { token: 1 },
  { certificate: "" },
  { certificate: TWO },
  { certificate: `${certificate}more` },
  { certificate: certificate.replace("M", "") },
  { certificate: certificate.slice(0, 100) },
  { certificate: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" },
  { certificate: createCertificate().key },
  { certificate: null },
];

Deno.test("parseOffer() refuses what could not be used, or would trust more than one certificate", () => {
  for (const bad of BAD_OFFERS) {
    assert.equal(parseOffer(encodeJson({ ...OFFER, ...bad })), undefined, JSON.stringify(bad));
  }
  for (const bad of [null, 1, "x", [], {}]) assert.equal(parseOffer(encodeJson(bad)), undefined);
});
