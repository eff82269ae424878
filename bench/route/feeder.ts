/**
 * Many nodes in one process that announce keys to one router over the real protocol. They are peers in its routing
 * table, take its announcements, and say to each question that they know of nobody, so that they keep apart from each
 * other and only the router under test bears their announcements.
 *
 *     deno run -A bench/route/feeder.ts '{"router":"127.0.0.1:5001","nodes":20,"keys":5000}'
 *
 * Says `{"value": <records>}` when all has been taken, and again after each line of input; ends with its input.
 *
 * @module
 */
import { multiaddr } from "@multiformats/multiaddr";
import { DHT_PROTOCOL } from "../../lib/routing/libp2p/dht.ts";
import type { DhtMessage } from "../../lib/routing/libp2p/dht_message.ts";
import { serveIncoming } from "../../lib/routing/libp2p/incoming_stream.ts";
import { withoutPeerId } from "../../lib/routing/libp2p/peer_addresses.ts";
import { providerKey } from "../../lib/routing/libp2p/provider_key.ts";
import { encodeFormerProvider, encodeProvider } from "../../lib/routing/libp2p/provider_message.ts";
import { ProviderStreams } from "../../lib/routing/libp2p/provider_stream.ts";
import { BATCH_SIZE } from "../../lib/routing/libp2p/publisher.ts";
import { startBareNode } from "../../tests/unit/support/libp2p_node.ts";
import { TextLineStream } from "../support/lines.ts";
import { keysOf } from "../support/route_nodes.ts";

/** What to feed. */
export interface FeederOptions {
  /** `<ip>:<port>` of the router. */
  readonly router: string;
  readonly nodes: number;
  /** Keys of each node; no two nodes have the same. */
  readonly keys: number;
}

/** Takes announcements, and answers the rest with nothing new. */
function answer(message: DhtMessage): Promise<DhtMessage | undefined> {
  return Promise.resolve(message.type === "ADD_PROVIDER" ? undefined : message);
}

/** A node, joined to the router; announces all of its keys when called. */
async function startFeeder(router: string, keys: readonly string[]): Promise<() => Promise<void>> {
  const { node } = await startBareNode((stream) => void serveIncoming(stream, answer));
  const [host, port] = router.split(":");
  const { remotePeer } = await node.dial(multiaddr(`/ip4/${host}/tcp/${port}`));
  const streams = new ProviderStreams({
    open: (_peer, signal) => node.dialProtocol(remotePeer, DHT_PROTOCOL, { signal }),
    provider: () =>
      encodeProvider(
        node.peerId.toMultihash().bytes,
        node.getMultiaddrs().map((address) => withoutPeerId(address).bytes),
      ),
    formerProvider: encodeFormerProvider(node.peerId.toMultihash().bytes),
    acknowledgeMilliseconds: 60_000,
  });
  const provided = keys.map(providerKey);
  return async () => {
    const { signal } = new AbortController();
    for (let from = 0; from < provided.length; from += BATCH_SIZE) {
      const announced = provided.slice(from, from + BATCH_SIZE);
      const telling = { begins: false, announced, withdrawn: [], ends: false };
      await streams.send(remotePeer.toString(), telling, signal);
    }
  };
}

if (import.meta.main) {
  const { router, nodes, keys } = JSON.parse(Deno.args[0] ?? "{}") as FeederOptions;
  const feeders: (() => Promise<void>)[] = [];
  for (let number = 0; number < nodes; number++) {
    feeders.push(await startFeeder(router, keysOf(`feeder-${number}`, keys)));
  }
  const feed = async () => {
    await Promise.all(feeders.map((announce) => announce()));
    const answer = JSON.stringify({ value: nodes * keys });
    Deno.stdout.writeSync(new TextEncoder().encode(answer + "\n"));
  };
  await feed();
  const lines = Deno.stdin.readable
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream());
  for await (const _line of lines) await feed();
  Deno.exit(0);
}
