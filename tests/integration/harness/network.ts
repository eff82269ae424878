/**
 * Nodes as network namespaces, joined by one bridge. The machine's own network is not touched.
 *
 * @module
 */
import { type Output, run, runCommand } from "./process.ts";

let networks = 0;

/** A node of a {@linkcode TestNetwork}. */
export interface NetworkNode {
  readonly name: string;
  readonly namespace: string;
  readonly ip: string;
  readonly ipv6: string;
}

/** Arguments that run a command inside of a node. */
export function inside(node: NetworkNode, ...command: string[]): string[] {
  return ["netns", "exec", node.namespace, ...command];
}

/** Runs a command inside of a node, whatever its code. */
export function runInside(node: NetworkNode, ...command: string[]): Promise<Output> {
  return runCommand("ip", inside(node, ...command));
}

/** Bytes that a node has sent so far. */
export async function bytesSent(node: NetworkNode): Promise<number> {
  const { stdout } = await runInside(node, "cat", "/sys/class/net/eth0/statistics/tx_bytes");
  return Number(stdout);
}

/** A network of nodes. Everything is removed when disposed. */
export class TestNetwork implements AsyncDisposable {
  readonly #prefix = `kagami-${Deno.pid}-${networks++}`;
  readonly #bridge = `${this.#prefix}-bridge`;
  readonly #namespaces: string[] = [];

  private constructor() {}

  /** Makes a network without nodes. */
  static async create(): Promise<TestNetwork> {
    const network = new TestNetwork();
    await network.#addNamespace(network.#bridge);
    await run("ip", "-n", network.#bridge, "link", "add", "br0", "type", "bridge");
    await run("ip", "-n", network.#bridge, "link", "set", "br0", "up");
    return network;
  }

  async #addNamespace(name: string): Promise<void> {
    await run("ip", "netns", "add", name);
    this.#namespaces.push(name);
    await run("ip", "-n", name, "link", "set", "lo", "up");
  }

  /** Adds a node. */
  async addNode(name: string): Promise<NetworkNode> {
    const number = this.#namespaces.length;
    const namespace = `${this.#prefix}-${name}`;
    const node = { name, namespace, ip: `10.99.0.${number}`, ipv6: `fd99::${number}` };
    await this.#addNamespace(namespace);
    const port = `v${number}`;
    await run(
      ...["ip", "-n", this.#bridge, "link", "add", port, "type", "veth"] as const,
      ...["peer", "name", "eth0", "netns", namespace],
    );
    await run("ip", "-n", this.#bridge, "link", "set", port, "master", "br0", "up");
    await run("ip", "-n", namespace, "addr", "add", `${node.ip}/24`, "dev", "eth0");
    // nodad: the address is of use at once, not after a second of looking for doubles.
    const v6 = ["addr", "add", `${node.ipv6}/64`, "dev", "eth0", "nodad"];
    await runCommand("ip", ["-n", namespace, ...v6]);
    await run("ip", "-n", namespace, "link", "set", "eth0", "up");
    return node;
  }

  /** Cuts a node off, or joins it again. */
  async setLink(node: NetworkNode, state: "up" | "down"): Promise<void> {
    await run("ip", "-n", node.namespace, "link", "set", "eth0", state);
  }

  /** Limits what a node sends, in bytes per second. */
  async limitRate(node: NetworkNode, bytesPerSecond: number): Promise<void> {
    const rate = `${bytesPerSecond * 8}bit`;
    const shape = ["tbf", "rate", rate, "burst", "128kb", "latency", "200ms"];
    await run("tc", "-n", node.namespace, "qdisc", "add", "dev", "eth0", "root", ...shape);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#namespaces.reverse()) {
      await runCommand("ip", ["netns", "delete", name]);
    }
  }
}
