/**
 * A thousand nodes, simulated: the real publisher and the real keyspace, over a network of positions instead of sockets.
 * Tells how well records land on the nodes closest to their keys, and what that takes.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createLogger } from "../../lib/observability/logger.ts";
import { REPLICATION } from "../../lib/routing/libp2p/dht.ts";
import { closest, type Positioned } from "../../lib/routing/libp2p/keyspace.ts";
import { providerKey } from "../../lib/routing/libp2p/provider_key.ts";
import { Publisher } from "../../lib/routing/libp2p/publisher.ts";
import { sleep } from "../../lib/sleep.ts";
import { type Figures, say, sayTable } from "../support/report.ts";
import { keysOf } from "../support/route_nodes.ts";

/** Keys of each publisher. */
const KEYS = 2000;

/** Publishers that are watched. */
const PUBLISHERS = 3;

/** Share of the network that a routing table holds. kad-dht's grows to nearly all of some thousands. */
const TABLE_SHARE = 0.3;

interface Outcome {
  readonly walks: number;
  readonly messages: number;
  readonly records: number;
  /** Share of the records that belong on the closest nodes and got there. */
  readonly coverage: number;
  readonly seconds: number;
  /** Records on the node that has most, in relation to the mean. */
  readonly imbalance: number;
}

function positionOf(text: string): Uint8Array {
  return Uint8Array.from(createHash("sha256").update(text).digest());
}

/** A table that knows everybody near, and some of those far away, as walks to the own place make it. */
function tableOf(self: Positioned, everybody: readonly Positioned[]): Positioned[] {
  const others = closest(self.position, everybody.filter(({ id }) => id !== self.id), Infinity);
  return others.filter(({ position }, index) =>
    index < REPLICATION || position[31]! < 256 * TABLE_SHARE
  );
}

async function publish(everybody: readonly Positioned[], number: number): Promise<Outcome> {
  const self = everybody[number]!;
  const table = tableOf(self, everybody);
  const others = everybody.filter(({ id }) => id !== self.id);
  const keys = keysOf(`simulated-${number}`, KEYS).map(providerKey);
  const held = new Map<string, Set<string>>();
  let walks = 0;
  let messages = 0;
  const started = performance.now();
  const publisher = new Publisher({
    network: {
      peers: () => table,
      closestPeers: (key) => {
        walks += 1;
        return Promise.resolve(closest(key.position, others, REPLICATION));
      },
      send: (peer, { announced }) => {
        messages += 1;
        const taken = held.get(peer) ?? new Set<string>();
        for (const { text } of announced) taken.add(text);
        held.set(peer, taken);
        return Promise.resolve();
      },
    },
    log: createLogger({ level: "ERROR" }),
    now: () => performance.now(),
    random: Math.random,
  });
  publisher.add(keys);
  let last = -1;
  // It works in the background: it is done when nothing more comes.
  while (messages === 0 || publisher.backlog > 0 || messages !== last) {
    last = messages;
    await sleep(20);
  }
  const seconds = (performance.now() - started) / 1000;
  publisher.stop();

  let right = 0;
  for (const key of keys) {
    for (const { id } of closest(key.position, others, REPLICATION)) {
      if (held.get(id)?.has(key.text)) right += 1;
    }
  }
  const counts = [...held.values()].map(({ size }) => size);
  const records = counts.reduce((sum, count) => sum + count, 0);
  return {
    walks,
    messages,
    records,
    coverage: right / (keys.length * REPLICATION),
    seconds,
    imbalance: Math.max(...counts) / (records / others.length),
  };
}

/**
 * Simulates.
 *
 * @param nodes Number of nodes.
 * @returns Means over some of them.
 */
export async function simulate(nodes: number): Promise<Figures> {
  say(`${nodes} nodes, simulated`);
  const everybody = Array.from({ length: nodes }, (_, index) => {
    const id = `node-${index}`;
    return { id, position: positionOf(id) };
  });
  const outcomes: Outcome[] = [];
  for (let number = 0; number < PUBLISHERS; number++) {
    outcomes.push(await publish(everybody, number));
  }
  const mean = (value: (outcome: Outcome) => number) =>
    outcomes.reduce((sum, outcome) => sum + value(outcome), 0) / outcomes.length;
  const walks = mean((outcome) => outcome.walks) / KEYS * 1000;
  const messages = mean((outcome) => outcome.messages) / KEYS * 1000;
  const secondsA1000 = mean((outcome) => outcome.seconds) / KEYS * 1000;
  const coverage = mean((outcome) => outcome.coverage);
  const imbalance = mean((outcome) => outcome.imbalance);
  sayTable(
    [
      `${nodes} simulated nodes`,
      "walks / 1,000 keys",
      "batches",
      "s",
      "on the closest",
      "most to mean",
    ],
    [["publisher", walks, messages, secondsA1000, coverage, imbalance]],
  );
  return {
    [`sim_${nodes}_walks_1000_keys`]: walks,
    [`sim_${nodes}_batches_1000_keys`]: messages,
    [`sim_${nodes}_coverage`]: coverage,
    [`sim_${nodes}_s_1000_keys`]: secondsA1000,
    [`sim_${nodes}_imbalance`]: imbalance,
  };
}
