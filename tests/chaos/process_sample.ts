/**
 * What a mirror holds on to, by Linux's `/proc` and the sockets of its node.
 *
 * @module
 */
import { memoryUsage } from "../../bench/support/process_usage.ts";
import { type NodeStatus, STATUS_PATH } from "../../lib/debug/node_status.ts";
import { PORTS } from "../integration/harness/mirror_process.ts";
import { runInside } from "../integration/harness/network.ts";
import type { World } from "./world.ts";

/** What a mirror holds at one moment. */
export interface ProcessSample {
  readonly rssMib: number;
  /** Open descriptors, those of its own containerd's connections left out: containerd says when they end. */
  readonly descriptors: number;
  readonly threads: number;
  /** Connections to routers of peers, and from them. */
  readonly routerConnections: number;
  /** Streams on them. */
  readonly streams: number;
  /** Connections that the other side has ended, and this one has not. */
  readonly halfClosed: number;
  /** Blobs and downloads in progress that are open. */
  readonly openContents: readonly string[];
}

/**
 * Looks at the mirror of a node.
 *
 * @param world The cluster.
 * @param node Number of the node; its mirror must be running.
 * @returns What it holds.
 */
export async function sampleMirror(world: World, node: number): Promise<ProcessSample> {
  const { mirror, containerd } = world.node(node);
  const { pid } = mirror;
  const [descriptors, { rssMib }, status, sockets, streams] = await Promise.all([
    openDescriptors(pid),
    memoryUsage(pid),
    Deno.readTextFile(`/proc/${pid}/status`),
    connections(world, node),
    openStreams(world, node),
  ]);
  const { ip } = world.network(node);
  const fromContainerd = sockets.filter(({ local, remote }) =>
    local === `${ip}:${PORTS.registry}` && remote.startsWith(`${ip}:`)
  );
  const isRouter = (end: string) => end.endsWith(`:${PORTS.router}`);
  return {
    rssMib,
    descriptors: descriptors.length - fromContainerd.length,
    threads: Number(/^Threads:\s+(\d+)/m.exec(status)?.[1]),
    routerConnections: sockets.filter(({ local, remote }) => isRouter(local) || isRouter(remote))
      .length,
    streams,
    halfClosed: sockets.filter(({ state }) => state === "CLOSE-WAIT").length,
    openContents: descriptors.filter((path) =>
      path.startsWith(`${containerd.contentPath}/blobs/sha256/`) ||
      path.startsWith(`${containerd.contentPath}/ingest/`)
    ),
  };
}

async function openStreams(world: World, node: number): Promise<number> {
  const { mirror } = world.node(node);
  const text = await mirror.curl(`http://${mirror.node.ip}:${PORTS.metrics}${STATUS_PATH}`);
  return (JSON.parse(text) as NodeStatus).links.streams;
}

async function openDescriptors(pid: number): Promise<string[]> {
  const folder = `/proc/${pid}/fd`;
  const targets: string[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    // It may be closed while we look.
    const target = await Deno.readLink(`${folder}/${name}`).catch(() => undefined);
    if (target !== undefined) targets.push(target);
  }
  return targets;
}

interface Connection {
  readonly state: string;
  readonly local: string;
  readonly remote: string;
}

/** TCP connections of the mirror; IPv4 in IPv6's clothes is undressed. */
async function connections(world: World, node: number): Promise<Connection[]> {
  const { pid } = world.node(node).mirror;
  const states = ["state", "established", "state", "close-wait"];
  const { stdout } = await runInside(world.network(node), "ss", "-Htnp", ...states);
  return stdout.split("\n").filter((line) => line.includes(`pid=${pid},`)).map((line) => {
    const [state = "", , , local = "", remote = ""] = line.trim().split(/\s+/);
    const plain = (end: string) => end.replace(/^\[::ffff:([\d.]+)\]/, "$1");
    return { state, local: plain(local), remote: plain(remote) };
  });
}
