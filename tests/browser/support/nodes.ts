/**
 * Real nodes with OCI layouts as their stores. The first has an image and gives it away slowly, so that a transfer
 * can be watched.
 *
 * @module
 */
import {
  DEMO_REPOSITORY,
  DEMO_TAG,
  DemoStore,
  pullDemoImage,
} from "../../../lib/cli/demo_image.ts";
import { DemoNode, freePorts } from "../../../lib/cli/demo_node.ts";
import type { Overview } from "../../../lib/debug/node_activity.ts";
import { WEB_PATH } from "../../../lib/debug/web_page.ts";
import { eventually } from "../../unit/support/eventually.ts";
import { PAGE_TIMEOUT_MS } from "./browser.ts";

/** The image that there is. */
export const IMAGE = `${DEMO_REPOSITORY}:${DEMO_TAG}`;

/** Bytes per second that the first node gives: the image takes some seconds. */
const UPLOAD_RATE = 1_200_000;

/** Options of {@linkcode startNodes}. */
export interface NodesOptions {
  /** Zones of the nodes; there are as many nodes, at least three. */
  readonly zones: readonly [string, string, string, ...string[]];
}

/** Running nodes. */
export interface Nodes extends AsyncDisposable {
  readonly nodes: readonly [DemoNode, DemoNode, DemoNode, ...DemoNode[]];
}

/**
 * Starts the nodes, and waits until they know each other.
 *
 * @param options Zones.
 * @returns The nodes.
 */
export async function startNodes({ zones }: NodesOptions): Promise<Nodes> {
  await using stack = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "kagami-browser-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const ips = zones.map((_, index) => `127.0.0.${index + 1}`);
  const ports = freePorts(ips);
  const nodes: DemoNode[] = [];
  for (const [index, ip] of ips.entries()) {
    const node = new DemoNode({
      name: `node-${index + 1}`,
      ip,
      ports,
      bootstrapIp: ips[0]!,
      repository: DEMO_REPOSITORY,
      folder: `${folder}/node-${index + 1}`,
      flags: [
        `--node-zone=${zones[index]}`,
        ...(index === 0 ? [`--mirror-upload-rate=${UPLOAD_RATE}`] : []),
      ],
    });
    await node.store.create();
    nodes.push(stack.use(node));
  }
  await nodes[0]!.store.addImage();
  for (const node of nodes) await node.start();
  await Promise.all(nodes.map((node) => node.ready(nodes.length - 1)));
  const moved = stack.move();
  return {
    nodes: nodes as [DemoNode, DemoNode, DemoNode, ...DemoNode[]],
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}

/** @returns URL of a node's page. */
export function pageOf(node: DemoNode): string {
  return `${node.metricsUrl}${WEB_PATH}`;
}

/** Pulls the image through a node into its store; the node must have heard of it. */
export async function pull(node: DemoNode): Promise<void> {
  // On a machine that does much else a peer may take too long to answer.
  await eventually(`${node.name} pulls the image`, async () => {
    await pullDemoImage(node.url, node.store);
    return true;
  }, PAGE_TIMEOUT_MS);
}

/** Waits until a node finds the image at so many peers. */
export async function isFound(node: DemoNode, peers: number): Promise<void> {
  await eventually(`${node.name} finds the image`, async () => {
    const response = await fetch(
      `${node.metricsUrl}/debug/locate?key=${encodeURIComponent(IMAGE)}`,
    );
    return (await response.json()).peers.length >= peers;
  }, PAGE_TIMEOUT_MS);
}

/** @returns What a node tells to its page. */
export async function overviewOf(node: DemoNode): Promise<Overview> {
  return await (await fetch(`${node.metricsUrl}/debug/overview`)).json();
}

/** @returns Paths of the blobs in a store, the largest first. */
export async function blobsOf(store: DemoStore): Promise<{ digest: string; path: string }[]> {
  const folder = `${store.path}/blobs/sha256`;
  const found: { digest: string; path: string; size: number }[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    found.push({ digest: `sha256:${name}`, path, size: (await Deno.stat(path)).size });
  }
  return found.sort((a, b) => b.size - a.size);
}
