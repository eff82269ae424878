/**
 * Which clients are this node itself, by their addresses.
 *
 * @module
 */
import { BlockList, isIP } from "node:net";

/**
 * An address, or all that begin with the same bits; or the gateways of the networks that this machine is in, by custom
 * their first addresses: for a pod behind a bridge that is the node.
 */
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

/** An address of this machine. */
export interface OwnAddress {
  readonly address: string;
  /** The address with the length of its network's prefix; null where there is none. */
  readonly cidr: string | null;
}

/** What tells the addresses of this machine. */
export interface AddressSources {
  own(): OwnAddress[];
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
    const add = (ip: string | undefined) => {
      const plain = plainAddress(ip ?? "");
      if (plain !== undefined) list.addAddress(plain, familyOf(plain));
    };
    const own = this.#sources.own();
    for (const { address } of own) add(address);
    for (const rule of this.#rules) {
      if (rule.kind === "gateway") own.map(({ cidr }) => gatewayOf(cidr)).forEach(add);
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
 * The first address of a network.
 *
 * @param cidr An address in the network, with the length of the prefix.
 * @returns The first address; undefined if the network has no other one than that which is given.
 */
export function gatewayOf(cidr: string | null): string | undefined {
  const [address = "", bits = ""] = cidr?.split("/") ?? [];
  const plain = address.replace(/%.*$/, "");
  const version = isIP(plain);
  const size = version === 4 ? 32 : 128;
  const prefix = Number(bits);
  if (version === 0 || !/^[0-9]{1,3}$/.test(bits) || prefix >= size) return undefined;
  const rest = BigInt(size - prefix);
  const first = ((numberOf(plain, version) >> rest) << rest) + 1n;
  const hex = first.toString(16).padStart(size / 4, "0");
  return version === 4
    ? hex.match(/../g)!.map((byte) => parseInt(byte, 16)).join(".")
    : hex.match(/..../g)!.join(":");
}

function numberOf(ip: string, version: number): bigint {
  if (version === 4) {
    return ip.split(".").reduce((sum, byte) => (sum << 8n) + BigInt(byte), 0n);
  }
  // An address of IPv4 at the end is written in hexadecimal like all others.
  const [head = "", tail] = new URL(`http://[${ip}]`).hostname.slice(1, -1).split("::");
  const words = (text: string) => text === "" ? [] : text.split(":");
  const behind = words(tail ?? "");
  const zeros = tail === undefined ? 0 : 8 - words(head).length - behind.length;
  return [...words(head), ...Array(zeros).fill("0"), ...behind]
    .reduce((sum, word) => (sum << 16n) + BigInt(`0x${word}`), 0n);
}

const SYSTEM_ADDRESSES: AddressSources = {
  own: () => Deno.networkInterfaces(),
  now: () => performance.now(),
};
