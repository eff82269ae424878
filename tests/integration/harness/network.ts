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
  /** Its address as URLs have it: IPv4, or IPv6 in brackets where there is nothing else. */
  readonly ip: string;
  readonly ipv6: string;
}

/** Where `ip netns exec` takes a namespace's own files from, in place of those in `/etc`. */
const NETNS_FILES = "/etc/netns";

/** Hardware address that nobody has. */
const NOBODY = "02:00:00:00:00:01";

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
  /** Where the nodes' cables end at the bridge, by namespace. */
  readonly #ports = new Map<string, string>();
  readonly #hasIpv4: boolean;

  private constructor(hasIpv4: boolean) {
    this.#hasIpv4 = hasIpv4;
  }

  /** Makes a network without nodes: of both families, or of IPv6 alone. */
  static async create(options: { readonly ipv6Only?: boolean } = {}): Promise<TestNetwork> {
    const network = new TestNetwork(options.ipv6Only !== true);
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
    const ipv6 = `fd99::${number}`;
    const node = { name, namespace, ip: this.#hasIpv4 ? `10.99.0.${number}` : `[${ipv6}]`, ipv6 };
    await this.#addNamespace(namespace);
    const port = `v${number}`;
    this.#ports.set(namespace, port);
    await run(
      ...["ip", "-n", this.#bridge, "link", "add", port, "type", "veth"] as const,
      ...["peer", "name", "eth0", "netns", namespace],
    );
    await run("ip", "-n", this.#bridge, "link", "set", port, "master", "br0", "up");
    await this.#addAddresses(node);
    await run("ip", "-n", namespace, "link", "set", "eth0", "up");
    if (!this.#hasIpv4) await this.putFile(node, "hosts", `::1 localhost\n${ipv6} ${name}\n`);
    return node;
  }

  /** Gives a node a file of its own in `/etc`, for what is started afterwards. */
  async putFile(node: NetworkNode, name: string, text: string): Promise<void> {
    const folder = `${NETNS_FILES}/${node.namespace}`;
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeTextFile(`${folder}/${name}`, text);
  }

  async #addAddresses({ namespace, ip, ipv6 }: NetworkNode): Promise<void> {
    if (this.#hasIpv4) await run("ip", "-n", namespace, "addr", "add", `${ip}/24`, "dev", "eth0");
    // nodad: the address is of use at once, not after a second of looking for doubles.
    const v6 = ["addr", "add", `${ipv6}/64`, "dev", "eth0", "nodad"];
    await runCommand("ip", ["-n", namespace, ...v6]);
  }

  /**
   * Gives a node other addresses, as a restarted pod has them.
   *
   * @returns The node as it is now.
   */
  async moveNode(node: NetworkNode): Promise<NetworkNode> {
    const number = 200 + Number(node.ipv6.split("::")[1]);
    const ipv6 = `fd99::${number}`;
    const moved = { ...node, ip: this.#hasIpv4 ? `10.99.0.${number}` : `[${ipv6}]`, ipv6 };
    await run("ip", "-n", node.namespace, "addr", "flush", "dev", "eth0", "scope", "global");
    await this.#addAddresses(moved);
    return moved;
  }

  /** Lets no connection to a TCP port through, in either direction; packets get lost, as by a firewall. */
  async blockPort(node: NetworkNode, port: number): Promise<void> {
    for (const family of ["-4", "-6"]) {
      for (const end of ["dport", "sport"]) {
        const rule = ["rule", "add", "ipproto", "tcp", end, String(port), "blackhole"];
        await run("ip", family, "-n", node.namespace, ...rule);
      }
    }
  }

  /** Cuts a node off, or joins it again. */
  async setLink(node: NetworkNode, state: "up" | "down"): Promise<void> {
    await run("ip", "-n", node.namespace, "link", "set", "eth0", state);
  }

  /** Pulls a node's cable out, or puts it back: it keeps its addresses and routes, but nothing gets through. */
  async setCable(node: NetworkNode, state: "up" | "down"): Promise<void> {
    await run("ip", "-n", this.#bridge, "link", "set", this.#ports.get(node.namespace)!, state);
  }

  /** Lets packets between two nodes get lost, or lets them through again. Others still reach both of them. */
  async setSplit(one: NetworkNode, two: NetworkNode, isSplit: boolean): Promise<void> {
    for (const [from, to] of [[one, two], [two, one]] as const) {
      for (const ip of new Set([to.ip, to.ipv6])) {
        const neighbour = [ip.replace(/[\[\]]/g, ""), "dev", "eth0"];
        const change = isSplit
          ? ["replace", ...neighbour, "lladdr", NOBODY, "nud", "permanent"]
          : ["del", ...neighbour];
        await run("ip", "-n", from.namespace, "neigh", ...change);
      }
    }
  }

  /** Limits what a node sends, in bytes per second. */
  async limitRate(node: NetworkNode, bytesPerSecond: number): Promise<void> {
    const rate = `${bytesPerSecond * 8}bit`;
    const shape = ["tbf", "rate", rate, "burst", "128kb", "latency", "200ms"];
    await run("tc", "-n", node.namespace, "qdisc", "replace", "dev", "eth0", "root", ...shape);
  }

  /** Ends {@linkcode limitRate}. */
  async unlimitRate(node: NetworkNode): Promise<void> {
    await run("tc", "-n", node.namespace, "qdisc", "del", "dev", "eth0", "root");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#namespaces.reverse()) {
      await runCommand("ip", ["netns", "delete", name]);
      await removeIfThere(`${NETNS_FILES}/${name}`);
    }
    // Not if another network has files there.
    await Deno.remove(NETNS_FILES).catch(() => {});
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
