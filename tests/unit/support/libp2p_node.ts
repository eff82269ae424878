/**
 * Bare libp2p nodes on loopback, to stand on the other side of what is tested.
 *
 * @module
 */
import "../../../lib/routing/libp2p/unref_broadcast_channel.ts";
import { generateKeyPair } from "@libp2p/crypto/keys";
import { identify } from "@libp2p/identify";
import type { ConnectionEncrypter, Libp2p, PrivateKey, Stream } from "@libp2p/interface";
import { kadDHT, passthroughMapper } from "@libp2p/kad-dht";
import { noise, type NoiseComponents } from "@libp2p/noise";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { createLibp2p } from "libp2p";
import { DHT_PROTOCOL } from "../../../lib/routing/libp2p/dht.ts";
import { RecordStore } from "../../../lib/routing/libp2p/record_store.ts";

/** A node, stopped when disposed. */
export interface BareNode extends AsyncDisposable {
  readonly node: Libp2p;
  /** Text of its peer ID. */
  readonly id: string;
  /** What it holds. */
  readonly records: RecordStore;
}

/**
 * Starts a node.
 *
 * @param handler Handles streams of the DHT's protocol; left out, it is a DHT node as `@libp2p/kad-dht` makes it.
 * @param privateKey Its identity. Default: a new one.
 * @param ip Where it listens; a loopback address.
 * @param encrypter How it encrypts. Default: noise.
 * @returns The node, listening on loopback.
 */
export async function startBareNode(
  handler?: (stream: Stream) => void,
  privateKey?: PrivateKey,
  ip = "127.0.0.1",
  encrypter: (components: NoiseComponents) => ConnectionEncrypter = noise(),
): Promise<BareNode> {
  privateKey ??= await generateKeyPair("Ed25519");
  const self = peerIdFromPrivateKey(privateKey);
  const records = new RecordStore({ self, validity: 60_000, now: () => performance.now() });
  const node = await createLibp2p({
    privateKey,
    datastore: records,
    addresses: { listen: [`/ip4/${ip}/tcp/0`] },
    transports: [tcp()],
    connectionEncrypters: [encrypter],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: {
      identify: identify(),
      ping: ping(),
      ...(handler !== undefined ? {} : {
        dht: kadDHT({
          protocol: DHT_PROTOCOL,
          clientMode: false,
          peerInfoMapper: passthroughMapper,
          allowQueryWithZeroPeers: true,
        }),
      }),
    },
  });
  if (handler !== undefined) await node.handle(DHT_PROTOCOL, handler);
  return {
    node,
    id: self.toString(),
    records,
    [Symbol.asyncDispose]: async () => await node.stop(),
  };
}
