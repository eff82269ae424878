import assert from "node:assert/strict";
import { PeerError } from "../../../lib/errors.ts";
import type { TransferOffer } from "../../../lib/routing/transfer_offer.ts";
import {
  MAX_CHANNELS,
  OFFER_TTL_MS,
  PeerChannels,
  PLAIN_TTL_MS,
} from "../../../lib/transfer/peer_channels.ts";
import { GivenOffers } from "../support/tls_peer.ts";

const OFFER: TransferOffer = { port: 5003, certificate: "pem", token: "one" };
const TLS = { kind: "tls", ...OFFER };

function peerOf(id: string) {
  return { id, addresses: ["127.0.0.1"], registryPort: 5000 };
}

const PEER = peerOf("peer");

function channelsOf(offers: GivenOffers, required = false) {
  let now = 0;
  const channels = new PeerChannels({ offers, required, now: () => now });
  return { channels, advance: (ms: number) => void (now += ms) };
}

Deno.test("PeerChannels asks a peer once, however many want to know, until the offer is old", async () => {
  const offers = new GivenOffers(OFFER);
  const { channels, advance } = channelsOf(offers);
  const found = await Promise.all([channels.of(PEER), channels.of(PEER), channels.of(PEER)]);
  assert.deepEqual(found, [TLS, TLS, TLS]);
  advance(OFFER_TTL_MS - 1);
  assert.deepEqual(await channels.of(PEER), TLS);
  assert.deepEqual(offers.asked, ["peer"]);
  advance(1);
  assert.equal(channels.known("peer"), undefined);
  await channels.of(PEER);
  assert.deepEqual(offers.asked, ["peer", "peer"]);
});

Deno.test("PeerChannels speaks plainly with a peer that says it cannot do otherwise, and asks again soon", async () => {
  const offers = new GivenOffers(undefined, OFFER);
  const { channels, advance } = channelsOf(offers);
  assert.deepEqual(await channels.of(PEER), { kind: "plain" });
  advance(PLAIN_TTL_MS - 1);
  assert.deepEqual(await channels.of(PEER), { kind: "plain" });
  advance(1);
  assert.deepEqual(await channels.of(PEER), TLS);
});

Deno.test("PeerChannels leaves a peer alone that speaks no TLS, where that is required", async () => {
  const { channels } = channelsOf(new GivenOffers(undefined), true);
  await assert.rejects(channels.of(PEER), (error) => {
    assert(error instanceof PeerError);
    assert.match(error.message, /speaks no TLS/);
    return true;
  });
});

Deno.test("PeerChannels never speaks plainly for want of an answer, and asks again", async () => {
  const offers = new GivenOffers(new PeerError("no answer"), OFFER);
  const { channels } = channelsOf(offers);
  await assert.rejects(channels.of(PEER), PeerError);
  assert.equal(channels.known("peer"), undefined);
  assert.deepEqual(await channels.of(PEER), TLS);
});

Deno.test("PeerChannels finds out what a peer offers after it was started anew", async () => {
  const renewed = { ...OFFER, certificate: "other" };
  const offers = new GivenOffers(OFFER, renewed);
  const { channels } = channelsOf(offers);
  const broken = await channels.of(PEER);
  assert.deepEqual(await channels.renewed(PEER, broken), { kind: "tls", ...renewed });
  // Another request that was under way has the old offer, too, and need not ask.
  assert.deepEqual(await channels.renewed(PEER, broken), { kind: "tls", ...renewed });
  assert.equal(offers.asked.length, 2);
});

Deno.test("PeerChannels says so when a peer still offers what did not work", async () => {
  const { channels } = channelsOf(new GivenOffers(OFFER));
  assert.equal(await channels.renewed(PEER, await channels.of(PEER)), undefined);
});

Deno.test("PeerChannels lets one who waits go, and keeps the answer for the others", async () => {
  const { promise, resolve } = Promise.withResolvers<TransferOffer>();
  const offers = new GivenOffers();
  offers.ask = () => promise;
  const { channels } = channelsOf(offers);
  const abort = new AbortController();
  const first = channels.of(PEER, abort.signal);
  const second = channels.of(PEER);
  abort.abort();
  await assert.rejects(first, PeerError);
  resolve(OFFER);
  assert.deepEqual(await second, TLS);
});

Deno.test("PeerChannels remembers a bounded number of peers", async () => {
  const { channels } = channelsOf(new GivenOffers(OFFER));
  for (let number = 0; number <= MAX_CHANNELS; number++) await channels.of(peerOf(`${number}`));
  assert.equal(channels.known("0"), undefined);
  assert.deepEqual(channels.known("1"), TLS);
  assert.deepEqual(channels.known(`${MAX_CHANNELS}`), TLS);
});
