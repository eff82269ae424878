/**
 * Clusters of Kagami and Spegel nodes in one DHT.
 *
 * @module
 */
import {
  type ClusterNode,
  type PushedImage,
  TestCluster,
} from "../../integration/harness/cluster.ts";
import { KAGAMI_REGISTRY, type MirrorProcess } from "../../integration/harness/mirror_process.ts";
import { SPEGEL_REGISTRY } from "./spegel.ts";

/** What can run on a node. */
export type Kind = "kagami" | "spegel";

/** Command of each kind. */
export const PROGRAMS: Readonly<Record<Kind, readonly string[]>> = {
  kagami: KAGAMI_REGISTRY,
  spegel: SPEGEL_REGISTRY,
};

const BOOTSTRAP_PORT = 5002;

const DOMAIN = "mirrors.test";

/** Environment of nodes of either kind that all ask the first one over HTTP. */
export const HTTP_BOOTSTRAP = {
  BOOTSTRAP_KIND: "http",
  HTTP_BOOTSTRAP_ADDR: `:${BOOTSTRAP_PORT}`,
  HTTP_BOOTSTRAP_PEER: `http://${nodeIp(1)}:${BOOTSTRAP_PORT}`,
} as const;

/** Environment of all nodes, by the way that they find the first peers. */
const ENVIRONMENTS = {
  http: HTTP_BOOTSTRAP,
  dns: { BOOTSTRAP_KIND: "dns", DNS_BOOTSTRAP_DOMAIN: DOMAIN },
} as const;

/** The upstream registry has the first address of the network. */
function nodeIp(number: number): string {
  return `10.99.0.${number + 1}`;
}

/**
 * Starts a cluster; every node gets the very same environment, whatever runs on it.
 *
 * @param kinds What runs on the nodes.
 * @param bootstrap How they find one another: all ask the first node over HTTP, or all look up one name.
 */
export async function startMixed(
  kinds: readonly Kind[],
  bootstrap: keyof typeof ENVIRONMENTS = "http",
): Promise<TestCluster> {
  const names = kinds.map((_, index) => `${nodeIp(index + 1)} ${DOMAIN}\n`).join("");
  const wrapper = bootstrap === "dns" ? withHosts(names) : [];
  return await TestCluster.start({
    nodes: kinds.length,
    env: ENVIRONMENTS[bootstrap],
    program: (number) => [...wrapper, ...PROGRAMS[kinds[number - 1]!]],
  });
}

/** Runs a command with an `/etc/hosts` of its own: `ip netns exec` gives it mounts of its own, too. */
function withHosts(hosts: string): string[] {
  const script = 'file=$(mktemp) && printf %s "$0" > "$file" && ' +
    'mount --bind "$file" /etc/hosts && rm "$file" && exec "$@"';
  return ["sh", "-c", script, hosts];
}

/**
 * Pulls an image, and sees to it that the mirror knows.
 *
 * Spegel learns of new content by an event that came with containerd 2.1; with older ones only when it starts.
 */
export async function finishedPull(node: ClusterNode, reference: string): Promise<void> {
  await node.cri.pullImage(reference);
  if (kindOf(node.mirror) === "spegel") await restart(node.mirror, "stop");
}

/** Waits until a mirror delivers everything of an image. */
export async function finds(
  cluster: TestCluster,
  mirror: MirrorProcess,
  image: PushedImage,
): Promise<void> {
  for (const path of pathsOf(cluster, image)) await mirror.answers(200, path);
}

/** What a node asks its mirror for to get an image. */
export function pathsOf(cluster: TestCluster, image: PushedImage): string[] {
  const base = `/v2/${image.repository}`;
  const ns = `?ns=${cluster.upstream.host}`;
  return [
    `${base}/manifests/v1${ns}`,
    `${base}/manifests/${image.digest}${ns}`,
    ...[image.config, ...image.layers].map((digest) => `${base}/blobs/${digest}${ns}`),
  ];
}

/** Starts the mirror of a node anew. */
export async function restart(mirror: MirrorProcess, how: "stop" | "kill"): Promise<void> {
  await mirror[how]();
  await mirror.startAgain();
  await mirror.ready();
}

function kindOf(mirror: MirrorProcess): Kind {
  return mirror.program.includes(SPEGEL_REGISTRY[0]!) ? "spegel" : "kagami";
}

/** Stops the mirror of a node and starts another one in its place: same environment, same folders. */
export async function switchTo(mirror: MirrorProcess, kind: Kind): Promise<void> {
  const wrapper = mirror.program.slice(0, -PROGRAMS[kindOf(mirror)].length);
  await mirror.stop();
  await mirror.forget();
  await mirror.startAgain([...wrapper, ...PROGRAMS[kind]]);
  await mirror.ready();
}
