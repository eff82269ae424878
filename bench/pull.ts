/**
 * How long real pulls of containerd take: straight from a registry, and through the mirror from a peer; with the
 * registry as fast as the machine, and capped at 50 MB/s. With SPEGEL_BIN set, the same with Spegel as the mirror.
 * docs/benchmarks.md says what the figures mean.
 *
 *     deno task bench:pull [--rounds=3] [--largest-mb=1000]
 *
 * With `--largest-mb=4000` also an image of four layers of 1 GB each: one round, which takes five minutes.
 *
 * @module
 */
import { statfs } from "node:fs/promises";
import type {
  ClusterNode,
  PushedImage,
  TestCluster,
} from "../tests/integration/harness/cluster.ts";
import { inside } from "../tests/integration/harness/network.ts";
import { run } from "../tests/integration/harness/process.ts";
import { eventually } from "../tests/unit/support/eventually.ts";
import { MISSING } from "../tests/integration/harness/requirements.ts";
import {
  finishedPull,
  kindOf,
  pathsOf,
  startMixed,
} from "../tests/interop/support/mixed_cluster.ts";
import { type Kind, REQUIRES_SPEGEL } from "../tests/interop/support/programs.ts";
import { alternate } from "./support/alternate.ts";
import { numberArgument } from "./support/arguments.ts";
import { type Figures, say, sayFigures, sayTable } from "./support/report.ts";
import { median } from "./support/statistics.ts";
import { isOnPath } from "./support/tools.ts";

const MB = 1_000_000;

/** What a registry across the internet may give, as `tc` writes it: 50 MB/s. */
const CAPPED_RATE = "400mbit";

const rounds = numberArgument("rounds", 3);
const largest = numberArgument("largest-mb", 1000);

/** Layers by name of the figure, in MB. */
const IMAGES: Record<string, number[]> = {
  pull_100mb: [100],
  pull_4x100mb: [100, 100, 100, 100],
  pull_1gb: [1000],
  pull_4x1gb: [1000, 1000, 1000, 1000],
};

/** Above so many MB in all layers an image is pulled once in each way only. */
const LARGEST_IN_ROUNDS = 1000;

/** An image lies on the disk in its layout, in the registry, and on two nodes, packed and unpacked. */
const COPIES = 6;

type Way = "direct" | "mirror";

/** Pulls an image onto an empty node. */
async function pull(
  cluster: TestCluster,
  node: ClusterNode,
  image: PushedImage,
  way: Way,
): Promise<number> {
  const { containerd, cri } = node;
  await containerd.removeEverything();
  // What the pull before has left to write would otherwise be written while this one is measured.
  await run("sync");
  await cluster.forget();
  const configured = `${containerd.certsDir}.configured`;
  if (way === "direct") {
    await Deno.rename(containerd.certsDir, configured);
    const { host } = cluster.upstream;
    await Deno.mkdir(`${containerd.certsDir}/${host}`, { recursive: true });
    await Deno.writeTextFile(
      `${containerd.certsDir}/${host}/hosts.toml`,
      // containerd 1.6 takes plain HTTP from a host's table only.
      `server = "http://${host}"\n[host."http://${host}"]\ncapabilities = ["pull", "resolve"]\n`,
    );
  }
  try {
    const startedAt = performance.now();
    await cri.pullImage(image.reference);
    const seconds = (performance.now() - startedAt) / 1000;
    await assertWay(cluster, node, way);
    return seconds;
  } finally {
    if (way === "direct") {
      await Deno.remove(containerd.certsDir, { recursive: true });
      await Deno.rename(configured, containerd.certsDir);
    }
  }
}

/**
 * A figure counts only if the bytes came from where they were meant to. Spegel alone may turn to the registry: it does
 * when a peer takes longer than some 0.1 s to answer, as on a busy machine.
 */
async function assertWay(cluster: TestCluster, node: ClusterNode, way: Way): Promise<void> {
  const fromUpstream = (await cluster.upstream.blobRequests()).length > 0;
  if (fromUpstream === (way === "direct")) return;
  const text = `a pull by way of ${way} ${fromUpstream ? "asked" : "did not ask"} the registry`;
  if (way === "direct" || kindOf(node.mirror) === "kagami") throw new Error(text);
  say(`Spegel: ${text}`);
}

/** Waits until a mirror finds something. By HEAD: the first pull is to be the one that has the content hashed. */
async function isFound({ mirror }: ClusterNode, path: string): Promise<void> {
  const head = ["-I", "-o", "/dev/null", "-w", "%{http_code}"];
  await eventually(
    `${path} is found`,
    async () => await mirror.curl(...head, `${mirror.url}${path}`) === "200",
  );
}

interface Result {
  readonly direct: number;
  readonly mirror: number;
  /** The first pull from the peer, which hashes each content once before it serves it. */
  readonly first: number;
}

async function measure(
  cluster: TestCluster,
  node: ClusterNode,
  image: PushedImage,
  first: number,
  times: number,
): Promise<Result> {
  const { direct, mirror } = await alternate(times, {
    direct: () => pull(cluster, node, image, "direct"),
    mirror: () => pull(cluster, node, image, "mirror"),
  });
  return { direct: median(direct), mirror: median(mirror), first };
}

/** Whether an image of so many MB is to be measured, and the disk has room for it. */
async function isPossible(name: string, total: number): Promise<boolean> {
  if (total > largest) return false;
  const { bavail, bsize } = await statfs(Deno.env.get("TMPDIR") ?? "/tmp");
  const needed = COPIES * total * MB;
  if (bavail * bsize > needed) return true;
  say(`${name}: left out, since the disk has not ${needed / 1000 / MB} GB of room`);
  return false;
}

/** Runs work while the registry's node sends no faster than the cap. */
async function capped<T>(cluster: TestCluster, work: () => Promise<T>): Promise<T> {
  const { node } = cluster.upstream;
  const tc = (...args: string[]) => run("ip", ...inside(node, "tc", "qdisc", ...args));
  const shape = ["tbf", "rate", CAPPED_RATE, "burst", "256kb", "latency", "50ms"];
  await tc("add", "dev", "eth0", "root", ...shape);
  try {
    return await work();
  } finally {
    await tc("del", "dev", "eth0", "root");
  }
}

async function measureKind(kind: Kind, rows: (string | number)[][]): Promise<Figures> {
  // Spegel alone does not come back by HTTP: its first node asks itself.
  await using cluster = await startMixed([kind, kind], kind === "kagami" ? "http" : "dns");
  const [peer, node] = [cluster.node(1), cluster.node(2)];
  const prefix = kind === "kagami" ? "" : `${kind}_`;
  const figures: Record<string, number> = {};
  const note = (name: string, { direct, mirror, first }: Result) => {
    rows.push([name, direct, mirror, direct / mirror, first]);
    figures[name] = direct / mirror;
    figures[`${name}_first`] = direct / first;
    figures[`${name}_mirror_s`] = mirror;
  };
  for (const [image, layers] of Object.entries(IMAGES)) {
    const name = prefix + image;
    const total = layers.reduce((sum, size) => sum + size, 0);
    if (!await isPossible(name, total)) continue;
    const times = total > LARGEST_IN_ROUNDS ? 1 : rounds;
    say(`${name}: making the image`);
    const pushed = await cluster.push({ layers: layers.map((size) => size * MB) });
    await finishedPull(peer, pushed.reference);
    say(`${name}: pulling`);
    for (const path of pathsOf(cluster, pushed)) await isFound(node, path);
    const first = await pull(cluster, node, pushed, "mirror");
    note(name, await measure(cluster, node, pushed, first, times));
    say(`${name}: pulling, the registry capped`);
    const again = () => measure(cluster, node, pushed, first, times);
    note(`${name}_capped`, await capped(cluster, again));
    await peer.containerd.removeEverything();
  }
  return figures;
}

async function main(): Promise<void> {
  const missing = [...MISSING, ...await isOnPath("tc") ? [] : ["no tc"]];
  if (missing.length > 0) {
    say(`cannot run: ${missing.join(", ")}`);
    return sayFigures("pull", {});
  }
  const rows: (string | number)[][] = [];
  const figures = {
    ...await measureKind("kagami", rows),
    ...REQUIRES_SPEGEL.ignore ? {} : await measureKind("spegel", rows),
  };
  sayTable(["pull", "direct s", "mirror s", "direct/mirror", "first mirror s"], rows);
  sayFigures("pull", figures);
}

await main();
