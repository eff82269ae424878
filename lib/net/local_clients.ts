/**
 * Which clients are this node itself, by their addresses.
 *
 * @module
 */
import { BlockList, isIP } from "node:net";

/** An address, or all that begin with the same bits; or the gateway of this network, which is the node, for a pod. */
export type ClientRule =
  | { readonly kind: "subnet"; readonly address: string; readonly prefix: number }
  | { readonly kind: "gateway" };

/** How long the addresses of this machine are believed, in milliseconds. */
export const ADDRESSES_TTL_MS = 10_000;

/**
 * Reads a rule.
 *
 * @param text `gateway`, an IP address, or a subnet such as `10.0.0.0/24`.
 * @returns The rule; undefined if it is none.
 */
export function parseClientRule(text: string): ClientRule | undefined {
  if (text === "gateway") return { kind: "gateway" };
  const [, address, bits] = /^([0-9a-fA-F:.]+)(?:\/([0-9]{1,3}))?$/.exec(text) ?? [];
  if (address === undefined || isIP(address) === 0) return undefined;
  const longest = isIP(address) === 4 ? 32 : 128;
  const prefix = bits === undefined ? longest : Number(bits);
  return prefix > longest ? undefined : { kind: "subnet", address, prefix };
}

/** What tells the addresses of this machine. */
export interface AddressSources {
  /** Addresses of its network interfaces. */
  own(): string[];
  /** Addresses of its gateways. */
  gateways(): string[];
  /** Monotonic clock in milliseconds. */
  now(): number;
}

/** Knows this node's addresses, which may change. */
export class LocalClients {
  readonly #rules: readonly ClientRule[];
  readonly #sources: AddressSources;
  #list: BlockList | undefined;
  #madeAt = -Infinity;

  /**
   * @param rules Further addresses that are this node's.
   * @param sources Addresses of the machine.
   */
  constructor(rules: readonly ClientRule[], sources: AddressSources = SYSTEM_ADDRESSES) {
    this.#rules = rules;
    this.#sources = sources;
  }

  /**
   * @param ip Address of a client; one of IPv4 may be mapped into IPv6.
   * @returns True if it is this node.
   */
  has(ip: string): boolean {
    const plain = plainAddress(ip);
    return plain !== undefined && this.#current().check(plain, familyOf(plain));
  }

  #current(): BlockList {
    const now = this.#sources.now();
    if (this.#list !== undefined && now - this.#madeAt < ADDRESSES_TTL_MS) return this.#list;
    const list = new BlockList();
    list.addSubnet("127.0.0.0", 8, "ipv4");
    list.addAddress("::1", "ipv6");
    const add = (ip: string) => {
      const plain = plainAddress(ip);
      if (plain !== undefined) list.addAddress(plain, familyOf(plain));
    };
    this.#sources.own().forEach(add);
    for (const rule of this.#rules) {
      if (rule.kind === "gateway") this.#sources.gateways().forEach(add);
      else list.addSubnet(rule.address, rule.prefix, familyOf(rule.address));
    }
    this.#list = list;
    this.#madeAt = now;
    return list;
  }
}

/** An address without its zone, and of IPv4 if it is one that is mapped into IPv6; undefined if it is none. */
function plainAddress(ip: string): string | undefined {
  const plain = ip.replace(/%.*$/, "").replace(/^::ffff:(?=[0-9.]+$)/i, "");
  return isIP(plain) > 0 ? plain : undefined;
}

function familyOf(ip: string): "ipv4" | "ipv6" {
  return isIP(ip) === 6 ? "ipv6" : "ipv4";
}

/**
 * Reads the tables of routes that Linux shows.
 *
 * @param ipv4Table `/proc/net/route`.
 * @param ipv6Table `/proc/net/ipv6_route`.
 * @returns Gateways of the default routes.
 */
export function gatewaysOf(ipv4Table: string, ipv6Table: string): string[] {
  const found: string[] = [];
  for (const line of ipv4Table.split("\n").slice(1)) {
    const [, destination, gateway] = line.trim().split(/\s+/);
    if (destination !== "00000000" || !/^[0-9A-F]{8}$/i.test(gateway ?? "")) continue;
    // In the byte order of the machine, which is the little one wherever Deno runs.
    found.push(gateway!.match(/../g)!.toReversed().map((byte) => parseInt(byte, 16)).join("."));
  }
  for (const line of ipv6Table.split("\n")) {
    const [destination, bits, , , gateway] = line.trim().split(/\s+/);
    if (bits !== "00" || !/^0{32}$/.test(destination ?? "")) continue;
    if (!/^[0-9a-f]{32}$/i.test(gateway ?? "")) continue;
    found.push(gateway!.match(/..../g)!.join(":"));
  }
  return [...new Set(found)].filter((ip) => !/^(?:0\.0\.0\.0|[0:]+)$/.test(ip));
}

const SYSTEM_ADDRESSES: AddressSources = {
  own: () => Deno.networkInterfaces().map(({ address }) => address),
  gateways: () => gatewaysOf(readOr("/proc/net/route"), readOr("/proc/net/ipv6_route")),
  now: () => performance.now(),
};

function readOr(path: string, fallback = ""): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return fallback; // No such family, or no Linux.
  }
}
