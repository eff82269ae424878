/**
 * Fuzzing of what other nodes of the cluster tell.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { InvalidMessageError, NotFoundError } from "@libp2p/interface";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { Key } from "interface-datastore";
import { UnavailableError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/observability/logger.ts";
import { MAX_BOOTSTRAP_ADDRESSES } from "../../lib/routing/bootstrap/bootstrapper.ts";
import { HttpBootstrapper } from "../../lib/routing/bootstrap/http.ts";
import { KubernetesBootstrapper } from "../../lib/routing/bootstrap/kubernetes.ts";
import {
  AddProviderHandler,
  type AddProviderHandlerOptions,
  MAX_TOLD_ADDRESS_BYTES,
  MAX_TOLD_ADDRESSES,
} from "../../lib/routing/libp2p/add_provider_handler.ts";
import { decodeDhtMessage, encodeDhtMessage } from "../../lib/routing/libp2p/dht_message.ts";
import { parseNodeInfo } from "../../lib/routing/libp2p/node_info.ts";
import {
  digestOfRecordName,
  providerKey,
  recordNameOf,
} from "../../lib/routing/libp2p/provider_key.ts";
import {
  encodeAddProvider,
  encodePing,
  encodeProvider,
} from "../../lib/routing/libp2p/provider_message.ts";
import { RecordStore } from "../../lib/routing/libp2p/record_store.ts";
import { makePeerId } from "../unit/support/peer_ids.ts";
import { accepted } from "./support/accepted.ts";
import { fuzz, runFuzz } from "./support/fuzz.ts";
import { fromBytes, toBytes } from "./support/mutate.ts";

const NEVER = new AbortController().signal;
const [SENDER, OTHER] = [await makePeerId(1), await makePeerId(2)];
const { multihash, recordName } = providerKey("docker.io/library/nginx:1.27");
const ADDRESS = multiaddr("/ip4/10.0.0.7/tcp/5001");

/** A message without its length. */
function unframed(bytes: Uint8Array): string {
  return fromBytes(bytes.subarray(bytes[0]! < 0x80 ? 1 : 2));
}

const PEER = { id: SENDER.toMultihash().bytes, multiaddrs: [ADDRESS.bytes] };
const ADD_PROVIDER = encodeAddProvider(multihash, encodeProvider(PEER.id, PEER.multiaddrs));
const MESSAGES = [
  encodePing(),
  ADD_PROVIDER,
  encodeDhtMessage({
    type: "GET_PROVIDERS",
    key: multihash,
    record: new Uint8Array(10),
    closer: [PEER, { ...PEER, id: OTHER.toMultihash().bytes }],
    providers: [PEER],
    clusterLevel: 2 ** 40,
  }),
].map(unframed);

fuzz({
  name: "a DHT message is refused by its error, or read as it is written",
  seeds: MESSAGES,
  check(input) {
    const message = accepted(() => decodeDhtMessage(toBytes(input)), InvalidMessageError);
    if (message === undefined) return;
    const again = decodeDhtMessage(toBytes(unframedAnyLength(encodeDhtMessage(message))));
    const { clusterLevel, ...rest } = message;
    const { clusterLevel: levelAgain, ...restAgain } = again;
    assert.deepEqual(restAgain, rest);
    assert.equal(levelAgain ?? 0, clusterLevel ?? 0);
  },
});

/** A message without its length of any number of bytes. */
function unframedAnyLength(bytes: Uint8Array): string {
  return fromBytes(bytes.subarray(bytes.findIndex((byte) => byte < 0x80) + 1));
}

fuzz({
  name: "an announcement is refused by its error, or noted with few addresses that can be used",
  seeds: [unframed(ADD_PROVIDER)],
  async check(input) {
    const message = accepted(() => decodeDhtMessage(toBytes(input)), InvalidMessageError);
    if (message === undefined) return;
    try {
      await new AddProviderHandler(noting([])).handle(SENDER, message);
    } catch (error) {
      if (!(error instanceof InvalidMessageError)) throw error;
    }
  },
});

fuzz({
  name: "an odd address in an announcement does not spoil the others",
  seeds: [
    "/ip4/10.0.0.7/tcp/5001",
    "/ip6/fd00::1/udp/4001/quic-v1/webtransport",
    "/dns4/node.example/tcp/443/tls/ws",
    `/ip4/1.2.3.4/tcp/1/p2p/${SENDER}/p2p-circuit`,
  ].map((address) => fromBytes(multiaddr(address).bytes)),
  async check(input) {
    const noted: Multiaddr[] = [];
    const handler = new AddProviderHandler(noting(noted));
    const multiaddrs = [toBytes(input), ADDRESS.bytes];
    await handler.handle(SENDER, { key: multihash, providers: [{ ...PEER, multiaddrs }] });
    assert.ok(noted.some((address) => address.equals(ADDRESS)));
  },
});

/** Takes what is announced, if it is as it has to be. */
function noting(noted: Multiaddr[]): AddProviderHandlerOptions {
  let isKnown = false;
  return {
    put(digest, peer) {
      assert.ok(isKnown, "an address is known before the record");
      assert.equal(digest.length, 32);
      assert.equal(peer, SENDER.toString());
    },
    remove: () => assert.fail("nothing is withdrawn"),
    begins: () => assert.fail("nothing is marked"),
    ends: () => assert.fail("nothing is marked"),
    merge(peer, addresses) {
      isKnown = true;
      assert.equal(peer, SENDER);
      assert.ok(addresses.length > 0 && addresses.length <= MAX_TOLD_ADDRESSES);
      for (const { bytes } of addresses) assert.ok(bytes.length <= MAX_TOLD_ADDRESS_BYTES);
      noted.push(...addresses);
      return Promise.resolve();
    },
    now: () => 0,
  };
}

fuzz({
  name: "what a node tells of itself is nothing, or of the right kinds",
  seeds: ['{"version":"1.2.3","zone":"a"}', '{"version":"","zone":1}', "null", "[]", "7"],
  check(input) {
    const info = parseNodeInfo(toBytes(input));
    if (info === undefined) return;
    assert.equal(typeof info.version, "string");
    assert.ok(info.zone === undefined || (typeof info.zone === "string" && info.zone !== ""));
  },
});

const PROVIDER = `/dht/provider/${recordName}/${SENDER}`;

fuzz({
  name: "the name of a record is of no key, or the key's own; the store takes any name",
  seeds: [recordName, PROVIDER, `/peers/${SENDER.toCID()}`, "/dht/record/abc", "/dht/provider/"],
  check(input) {
    const digest = digestOfRecordName(input);
    if (digest !== undefined) assert.deepEqual(digestOfRecordName(recordNameOf(digest)), digest);
    const store = new RecordStore({ self: OTHER, validity: 1000, now: () => 0 });
    const key = new Key(input.startsWith("/") ? input : `/${input}`, false);
    store.put(key, toBytes(input));
    const found = accepted(() => store.get(key), NotFoundError);
    assert.equal(store.has(key), found !== undefined);
    for (const { value } of store.query({ prefix: input })) assert.ok(value instanceof Uint8Array);
    assert.ok(store.providerRecords <= 1);
    store.delete(key);
    assert.equal(store.has(key), false);
  },
});

const ADDRESSES = [
  `/ip4/10.0.0.7/tcp/5001/p2p/${SENDER}`,
  `/ip6/fd00::1/tcp/5001/p2p/${SENDER},/dns4/node.example/tcp/5001`,
  "/ip4/10.0.0.7,/ip4/10.0.0.8,/unix/tmp%2fsock,/ip4/1.2.3.4/udp/1/quic-v1".repeat(5),
];

fuzz({
  name: "addresses in a Lease are left out, or such that can be dialled",
  seeds: ADDRESSES,
  async check(input) {
    const record = { holder: "", durationSeconds: 1, transitions: 0, version: "1" };
    const bootstrapper = new KubernetesBootstrapper({
      log: silentLogger,
      client: {
        read: () => Promise.resolve({ ...record, addresses: input.split(",") }),
        write: () => Promise.reject(new Error("nothing is written")),
        [Symbol.dispose]: () => {},
      },
    });
    assertDialable(await bootstrapper.peers(NEVER));
  },
});

function assertDialable(addresses: readonly string[]): void {
  assert.ok(addresses.length <= MAX_BOOTSTRAP_ADDRESSES);
  for (const address of addresses) {
    assert.match(multiaddr(address).toString(), /^\/(?:ip[46]|dns[46]?)\//);
  }
}

Deno.test({
  name:
    "fuzz: an answer of the bootstrap over HTTP is refused by its error, or has addresses that can be dialled",
  async fn() {
    let body = new Uint8Array();
    const server = createServer((_, response) => void response.end(body)).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as AddressInfo;
    const bootstrapper = new HttpBootstrapper({ peer: `http://127.0.0.1:${port}` });
    try {
      await runFuzz({
        name:
          "an answer of the bootstrap over HTTP is refused by its error, or has addresses that can be dialled",
        seeds: [
          JSON.stringify({ ID: SENDER.toString(), Addrs: ["/ip4/10.0.0.7/tcp/5001"] }),
          JSON.stringify({ ID: SENDER.toString(), Addrs: ADDRESSES }),
          '{"ID":"12D3","Addrs":[null,{},[]]}',
        ],
        async check(input) {
          body = toBytes(input);
          try {
            const addresses = await bootstrapper.peers(NEVER);
            assert.ok(addresses.length > 0);
            assertDialable(addresses);
          } catch (error) {
            if (!(error instanceof UnavailableError)) throw error;
          }
        },
      });
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  },
});
