/**
 * When a node can pull again.
 *
 * @module
 */
import { runInside } from "../../integration/harness/network.ts";
import { eventually } from "../../integration/harness/process.ts";
import type { World } from "../world.ts";

/**
 * Waits until a containerd that was started takes pulls.
 *
 * @param world The cluster.
 * @param node Number of the node.
 */
export async function answersCri(world: World, node: number): Promise<void> {
  await eventually(`the CRI of node ${node} answers`, async () => {
    await world.node(node).cri.removeImage("registry.invalid/nothing:v1");
    return true;
  });
}

/**
 * Waits until packets get from a node to upstream and back: it may take a moment after its cable was put back.
 *
 * @param world The cluster.
 * @param node Number of the node.
 */
export async function reachesUpstream(world: World, node: number): Promise<void> {
  await eventually(`node ${node} reaches upstream`, async () => {
    const url = `http://${world.cluster.upstream.host}/v2/`;
    const { code } = await runInside(world.network(node), "curl", "-sf", "--max-time", "2", url);
    return code === 0;
  });
}
