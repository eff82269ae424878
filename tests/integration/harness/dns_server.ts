/**
 * A DNS server that tells the addresses of a headless service: Debian's dnsmasq.
 *
 * @module
 */
import { inside, type NetworkNode, runInside, type TestNetwork } from "./network.ts";
import { eventually, ManagedProcess } from "./process.ts";

/** A running DNS server. */
export class DnsServer implements AsyncDisposable {
  readonly #node: NetworkNode;
  readonly #hostsPath: string;
  readonly #process: ManagedProcess;
  readonly #domain: string;

  private constructor(
    node: NetworkNode,
    hostsPath: string,
    domain: string,
    process: ManagedProcess,
  ) {
    this.#node = node;
    this.#hostsPath = hostsPath;
    this.#domain = domain;
    this.#process = process;
  }

  /** Starts a server that knows one name, without any address yet. */
  static async start(node: NetworkNode, folder: string, domain: string): Promise<DnsServer> {
    const hostsPath = `${folder}/dns-hosts`;
    await Deno.writeTextFile(hostsPath, "");
    const process = await ManagedProcess.start(
      "DNS server",
      `${folder}/dns.log`,
      "ip",
      inside(
        node,
        ...["dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null"],
        // It would drop its rights, and then could not read the test's folder.
        ...["--user=root", "--group=root", `--pid-file=${folder}/dns.pid`],
        ...["--no-resolv", "--no-hosts", `--addn-hosts=${hostsPath}`, `--local=/${domain}/`],
      ),
    );
    const server = new DnsServer(node, hostsPath, domain, process);
    await eventually("the DNS server listens", async () => {
      const { stdout } = await runInside(node, "ss", "-Huln", "sport", "=", ":53");
      return stdout !== "";
    });
    return server;
  }

  /** Tells these addresses from now on. */
  async publish(addresses: readonly string[]): Promise<void> {
    const lines = addresses.map((address) => `${address} ${this.#domain}\n`);
    await Deno.writeTextFile(this.#hostsPath, lines.join(""));
    this.#process.signal("SIGHUP");
  }

  /** Lets a node of the network ask this server; what runs in it must be started afterwards. */
  async serve(network: TestNetwork, client: NetworkNode): Promise<void> {
    const ip = this.#node.ip.replace(/[[\]]/g, "");
    const text = `nameserver ${ip}\noptions timeout:1 attempts:1\n`;
    await network.putFile(client, "resolv.conf", text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stop();
  }
}
