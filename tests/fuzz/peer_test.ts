/**
 * Fuzzing of what decides who takes part, and whom content goes to.
 *
 * @module
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import type { ConnectionEncrypter, MessageStream } from "@libp2p/interface";
import { streamPair } from "@libp2p/utils";
import { createCertificate } from "../../lib/net/certificate.ts";
import { LocalClients, parseClientRule } from "../../lib/net/local_clients.ts";
import { TransferTokens } from "../../lib/registry/transfer_tokens.ts";
import { membershipKey } from "../../lib/routing/libp2p/cluster_secret.ts";
import { parseOffer } from "../../lib/routing/libp2p/libp2p_offers.ts";
import { members, NotAMemberError } from "../../lib/routing/libp2p/membership.ts";
import { makePeerId } from "../unit/support/peer_ids.ts";
import { fuzz } from "./support/fuzz.ts";
import { fromBytes, toBytes } from "./support/mutate.ts";

const { certificate } = createCertificate();
const [SELF, PEER] = [await makePeerId(1), await makePeerId(2)];

fuzz({
  name: "an offer of a transfer is none, or one that can be used and trusts one certificate",
  seeds: [
    JSON.stringify({ port: 5003, certificate, token: `${PEER}.0.abc` }),
    JSON.stringify({ port: 5003, certificate: certificate.repeat(2), token: "a" }),
    '{"port":"5003"}',
    "null",
    "[]",
  ],
  check(input) {
    const offer = parseOffer(toBytes(input));
    if (offer === undefined) return;
    assert(Number.isInteger(offer.port) && offer.port > 0 && offer.port < 65_536);
    assert.match(offer.token, /^[\x21-\x7e]+$/, "can be sent in a header");
    assert.equal(offer.certificate.split("BEGIN").length, 2);
    assert.doesNotThrow(() => new X509Certificate(offer.certificate));
  },
});

// The same key in each run, so that a failure can be repeated.
const tokens = new TransferTokens({ now: () => 0, key: new Uint8Array(32) });
const TOKENS = ["a", PEER.toString()].map((peer) => tokens.issue(peer));

fuzz({
  name: "a token is refused, or one that was given",
  seeds: TOKENS,
  check(input) {
    assert.equal(tokens.peerOf(input) !== undefined, TOKENS.includes(input));
  },
});

fuzz({
  name: "a rule for clients is not allowed, or one that can be asked",
  seeds: ["10.0.0.1", "10.0.0.0/8", "fd00::/64", "::ffff:10.0.0.1/128", "gateway", "::/0"],
  check(input) {
    const rule = parseClientRule(input);
    const clients = new LocalClients([{ kind: "gateway" }, ...rule === undefined ? [] : [rule]], {
      own: () => [{ address: input, cidr: input }],
      now: () => 0,
    });
    assert.equal(clients.has("127.0.0.1"), true);
    clients.has(input);
  },
});

/** Proves identities as noise does, without its cost. */
function provingPeer(): ConnectionEncrypter {
  const secure = (connection: MessageStream) => Promise.resolve({ connection, remotePeer: PEER });
  return { protocol: "/test", secureInbound: secure, secureOutbound: secure };
}

fuzz({
  name: "who does not prove that it is a member is refused",
  seeds: [
    fromBytes(Uint8Array.of(...new Uint8Array(32), 1, ...new Uint8Array(32))),
    fromBytes(Uint8Array.of(...new Uint8Array(32), 2, ...new Uint8Array(64))),
    fromBytes(new Uint8Array(33)),
    "",
  ],
  async check(input) {
    const [stranger, member] = await streamPair({ delay: 0 });
    const encrypter = members({
      encrypter: provingPeer,
      keys: [membershipKey("secret".repeat(6))],
    })({ peerId: SELF });
    const bytes = toBytes(input);
    const deciding = encrypter.secureInbound(member, { signal: AbortSignal.timeout(10_000) });
    if (bytes.length > 0) stranger.send(bytes);
    void stranger.close().catch(() => {});
    await assert.rejects(deciding, (error: Error) => {
      // Too few bytes end with the stream; no other failure is right.
      assert(
        error instanceof NotAMemberError || /EOF|closed/i.test(`${error.name} ${error.message}`),
        `${error}`,
      );
      return true;
    });
  },
});
