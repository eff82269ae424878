import assert from "node:assert/strict";
import { multiaddr } from "@multiformats/multiaddr";
import {
  announceable,
  ipOf,
  isLoopback,
  MAX_ANNOUNCED_ADDRESSES,
  peerIdOf,
  rankAddresses,
  withoutPeerId,
} from "../../../../lib/routing/libp2p/peer_addresses.ts";
import { makePeerId } from "../../support/peer_ids.ts";

const ID = `${await makePeerId(1)}`;

function addressesOf(...texts: string[]) {
  return texts.map((text) => multiaddr(text));
}

function connectionTo(text: string) {
  return { direction: "outbound", remoteAddr: multiaddr(text) } as const;
}

function connectionFrom(text: string) {
  return { direction: "inbound", remoteAddr: multiaddr(text) } as const;
}

Deno.test("ipOf() yields the IP address, an IPv4 address mapped into IPv6 as IPv4", () => {
  const ips = addressesOf(
    "/ip4/10.0.0.7/tcp/5001",
    "/ip6/fd00::7/tcp/5001/ws",
    "/ip6/::ffff:10.0.0.7/tcp/5001",
    "/dns4/host/tcp/5001",
  ).map(ipOf);
  assert.deepEqual(ips, ["10.0.0.7", "fd00::7", "10.0.0.7", undefined]);
});

Deno.test("isLoopback() knows both families", () => {
  assert.deepEqual(["127.0.0.1", "127.1.2.3", "::1", "10.0.0.1", "fd00::1"].map(isLoopback), [
    true,
    true,
    true,
    false,
    false,
  ]);
});

Deno.test("announceable() leaves out loopback and link-local, unless there is nothing else", () => {
  const useless = addressesOf("/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1", "/ip6/fe80::1/tcp/1");
  const good = addressesOf("/ip4/10.0.0.7/tcp/1", "/ip6/fd00::7/tcp/1", "/dns4/host/tcp/1");
  assert.deepEqual(announceable([...useless, ...good]).map(String), good.map(String));
  assert.deepEqual(announceable(useless).map(String), useless.map(String));
  assert.deepEqual(announceable([]), []);
});

Deno.test("withoutPeerId() and peerIdOf() take a multiaddr apart", () => {
  const [full, bare] = addressesOf(`/ip4/10.0.0.7/tcp/1/p2p/${ID}`, "/ip4/10.0.0.7/tcp/1");
  assert.equal(withoutPeerId(full!).toString(), "/ip4/10.0.0.7/tcp/1");
  assert.equal(withoutPeerId(bare!).toString(), "/ip4/10.0.0.7/tcp/1");
  assert.equal(peerIdOf(full!), ID);
  assert.equal(peerIdOf(bare!), undefined);
});

Deno.test("rankAddresses() puts first where a connection reached the peer, then where it came from as announced", () => {
  assert.deepEqual(
    rankAddresses(
      [
        connectionFrom("/ip4/192.168.0.1/tcp/40000"),
        connectionFrom("/ip4/10.0.0.3/tcp/40001"),
        connectionTo("/ip4/10.0.0.4/tcp/5001"),
      ],
      addressesOf(
        "/ip4/10.0.0.1/tcp/5001",
        "/ip4/10.0.0.3/tcp/5001",
        "/ip4/10.0.0.4/tcp/5001",
        "/dns4/host/tcp/5001",
      ),
    ),
    // Reached; confirmed; announced; perhaps a NAT's.
    ["10.0.0.4", "10.0.0.3", "10.0.0.1", "192.168.0.1"],
  );
});

Deno.test("rankAddresses() leaves out loopback and link-local where there is something else", () => {
  const loopback = connectionTo("/ip4/127.0.0.1/tcp/5001");
  const announced = addressesOf("/ip4/10.0.0.1/tcp/5001", "/ip6/fe80::1/tcp/5001");
  assert.deepEqual(rankAddresses([loopback], announced), ["10.0.0.1"]);
  assert.deepEqual(rankAddresses([loopback], []), ["127.0.0.1"]);
  assert.deepEqual(rankAddresses([], []), []);
});

Deno.test("rankAddresses() takes a bounded number of what is only announced, and all that is confirmed", () => {
  const many = Array.from(
    { length: 300 },
    (_, index) => `/ip4/10.1.${index % 7}.${index % 250}/tcp/1`,
  );
  const ips = rankAddresses(
    [connectionFrom("/ip4/10.9.0.1/tcp/1"), connectionTo("/ip4/10.9.0.2/tcp/1")],
    addressesOf("/ip4/127.0.0.1/tcp/1", ...many, "/ip4/10.9.0.1/tcp/1"),
  );
  assert.equal(ips.length, 2 + MAX_ANNOUNCED_ADDRESSES);
  assert.deepEqual(ips.slice(0, 3), ["10.9.0.2", "10.9.0.1", "10.1.0.0"]);
});
