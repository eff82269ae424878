/**
 * What a test bed leaves on the machine.
 *
 * @module
 */
import type { NetworkNode } from "./network.ts";
import { run } from "./process.ts";

/** Names of the network namespaces that belong to the same network as a node. */
export async function namespacesBeside(node: NetworkNode): Promise<string[]> {
  const prefix = node.namespace.slice(0, -node.name.length);
  const names = (await run("ip", "netns", "list")).split("\n").map((line) => line.split(" ")[0]!);
  return names.filter((name) => name.startsWith(prefix));
}

/** Command lines of the processes that mention a text. */
export async function processesWith(text: string): Promise<string[]> {
  const found = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const command = (await Deno.readTextFile(`/proc/${name}/cmdline`)).replaceAll("\0", " ");
      if (command.includes(text)) found.push(command);
    } catch (error) {
      // It ended while we looked.
      if (!(error instanceof Deno.errors.NotFound) && !isGone(error)) throw error;
    }
  }
  return found;
}

function isGone(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ESRCH";
}

/** What is left of a test bed. */
export interface Remains {
  readonly namespaces: readonly string[];
  readonly processes: readonly string[];
  readonly mounts: readonly string[];
}

/**
 * Looks for what a disposed test bed has left behind.
 *
 * @param folder Its folder; processes and mounts are known by it.
 * @param node One of its nodes; the namespaces are known by it.
 */
export async function remainsOf(folder: string, node: NetworkNode): Promise<Remains> {
  const mounts = (await Deno.readTextFile("/proc/self/mountinfo")).split("\n");
  return {
    namespaces: await namespacesBeside(node),
    processes: await processesWith(folder),
    mounts: mounts.filter((line) => line.includes(folder)),
  };
}
