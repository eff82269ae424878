/**
 * The command `demo`: an image travels through the stores of three nodes on this machine.
 *
 * @module
 */
import { UnavailableError } from "../errors.ts";
import { sleep } from "../sleep.ts";
import { DEMO_REPOSITORY, DEMO_TAG, pullDemoImage, type PulledContent } from "./demo_image.ts";
import { DemoNode, freePorts } from "./demo_node.ts";

/** Loopback addresses that stand for the nodes'. */
const NODE_IPS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"] as const;

/** Longest time until a node that has an image is found by the others, in milliseconds. */
const ADVERTISED_TIMEOUT_MS = 30_000;

/**
 * Runs the demo.
 *
 * @param options `keep` leaves stores and logs for a look.
 * @param print Writes to standard output.
 * @param signal Ends it early.
 * @returns True if every blob came from where it should.
 */
export async function runDemo(
  options: { readonly keep: boolean },
  print: (text: string) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const folder = await Deno.makeTempDir({ prefix: "kagami-demo-" });
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    if (!options.keep) await Deno.remove(folder, { recursive: true });
  });
  const [first, second, third] = await startNodes(folder, stack);
  print(`Three nodes are up: ${[first, second, third].map(describeNode).join(", ")}.\n`);
  print(`Only node-1 has ${DEMO_REPOSITORY}:${DEMO_TAG}. There is no registry at all.\n\n`);

  print("node-2 pulls through its own mirror:\n");
  const fromFirst = await pull(second, signal);
  printContents(fromFirst, [first, second, third], print);

  await first.stop();
  print("\nnode-1 is stopped. node-3 pulls through its own mirror:\n");
  const fromSecond = await pull(third, signal);
  printContents(fromSecond, [first, second, third], print);

  const isRight = fromFirst.every(({ source }) => source === `peer ${first.address}`) &&
    fromSecond.every(({ source }) => source === `peer ${second.address}`);
  print(isRight ? "\nEvery byte came from a neighbour, verified.\n" : "\nUnexpected source!\n");
  if (options.keep) print(`Stores and logs are in ${folder}\n`);
  return isRight;
}

async function startNodes(
  folder: string,
  stack: AsyncDisposableStack,
): Promise<[DemoNode, DemoNode, DemoNode]> {
  const ports = freePorts(NODE_IPS);
  const nodes: DemoNode[] = [];
  for (const [index, ip] of NODE_IPS.entries()) {
    const name = `node-${index + 1}`;
    const node = new DemoNode({
      name,
      ip,
      ports,
      bootstrapIp: NODE_IPS[0],
      repository: DEMO_REPOSITORY,
      folder: `${folder}/${name}`,
    });
    await node.store.create();
    nodes.push(node);
  }
  const [first, second, third] = nodes as [DemoNode, DemoNode, DemoNode];
  await first.store.addImage();
  for (const node of nodes) {
    stack.use(node);
    await node.start();
  }
  await Promise.all(nodes.map((node) => node.ready(nodes.length - 1)));
  return [first, second, third];
}

/** Pulls as soon as the image is found: nodes tell each other within moments. */
async function pull(node: DemoNode, signal: AbortSignal): Promise<PulledContent[]> {
  const deadline = performance.now() + ADVERTISED_TIMEOUT_MS;
  while (true) {
    try {
      return await pullDemoImage(node.url, node.store);
    } catch (error) {
      if (performance.now() > deadline) throw error;
      if (signal.aborted) throw new UnavailableError("the demo was stopped");
    }
    await sleep(200, signal);
  }
}

function describeNode(node: DemoNode): string {
  return `${node.name} (${node.address})`;
}

function printContents(
  contents: readonly PulledContent[],
  nodes: readonly DemoNode[],
  print: (text: string) => void,
): void {
  for (const { role, digest, size, source } of contents) {
    const node = nodes.find(({ address }) => source === `peer ${address}`);
    const served = node?.name ?? source;
    print(
      `  ${role.padEnd(9)} ${digest.slice(0, 19)}…  ${String(size).padStart(8)} bytes  ` +
        `from ${served}\n`,
    );
  }
}
