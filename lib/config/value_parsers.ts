/**
 * Parsers of single values, as they stand on the command line or in the environment.
 *
 * @module
 */
import { type ListenAddress, parseListenAddress } from "../net/listen.ts";
import { type ClientRule, parseClientRule } from "../net/local_clients.ts";
import { LOG_LEVELS, type LogLevel } from "../observability/logger.ts";
import { isRegistry, isRepository } from "../oci/reference.ts";

/** Reads a text, and says what it may be. */
export interface ValueParser<T> {
  /** What is allowed, to follow "must be". */
  readonly allowed: string;
  /**
   * @param text The value as given.
   * @returns The value, or undefined if it is not allowed.
   */
  parse(text: string): T | undefined;
}

/** Any text. */
export const anyText: ValueParser<string> = { allowed: "any text", parse: (text) => text };

/** Address to listen on. */
export const listenAddress: ValueParser<ListenAddress> = {
  allowed: "[<host>]:<port>",
  parse(text) {
    try {
      return parseListenAddress(text);
    } catch {
      return undefined;
    }
  },
};

/** Address to listen on, or nothing. */
export const optionalListenAddress: ValueParser<ListenAddress | null> = {
  allowed: "[<host>]:<port>, or empty for none",
  parse: (text) => text === "" ? null : listenAddress.parse(text),
};

/** True or false, as Go reads them. */
export const boolean: ValueParser<boolean> = {
  allowed: "true or false",
  parse(text) {
    if (/^(1|t|true)$/i.test(text)) return true;
    if (/^(0|f|false)$/i.test(text)) return false;
    return undefined;
  },
};

/**
 * @param least Smallest value.
 * @returns Parser of integers.
 */
export function integer(least: number): ValueParser<number> {
  return {
    allowed: `an integer of at least ${least}`,
    parse(text) {
      const value = Number(text);
      return /^[0-9]{1,9}$/.test(text) && value >= least ? value : undefined;
    },
  };
}

const UNITS_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  "µs": 1e-3, // U+00B5, the micro sign.
  "μs": 1e-3, // U+03BC, the Greek letter.
  ns: 1e-6,
};

const DURATION_PART = /([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|μs|ns)/g;
const DURATION = new RegExp(`^(?:${DURATION_PART.source})+$`);

/** Longest time that a timer can wait for, in milliseconds: with a longer one it would not wait at all. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Duration as Go writes it (`20ms`, `1m30s`), in milliseconds; more than 24 days are as good as 24. */
export const duration: ValueParser<number> = {
  allowed: "a duration such as 20ms, 2s or 1m30s",
  parse(text) {
    const [, unsigned = ""] = /^\+?(.*)$/.exec(text) ?? [];
    if (unsigned === "0") return 0;
    if (!DURATION.test(unsigned)) return undefined;
    let total = 0;
    for (const [, value, unit] of unsigned.matchAll(DURATION_PART)) {
      total += Number(value) * (UNITS_MS[unit ?? ""] ?? 0);
    }
    return Math.min(total, MAX_TIMER_MS);
  },
};

const BYTE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
};

/** Bytes per second. */
export const byteRate: ValueParser<number> = {
  allowed: "a number of bytes such as 100M, 1.5G or 64Mi",
  parse(text) {
    const match = /^([0-9]{1,12}(?:\.[0-9]{1,6})?)(|k|M|G|Ki|Mi|Gi)B?$/.exec(text);
    if (match === null) return undefined;
    return Math.round(Number(match[1]) * (BYTE_UNITS[match[2] ?? ""] ?? 1));
  },
};

/**
 * @param choices What is allowed.
 * @returns Parser of one of them.
 */
export function oneOf<const T extends string>(...choices: T[]): ValueParser<T> {
  return {
    allowed: choices.join(", ").replace(/, ([^,]*)$/, " or $1"),
    parse: (text) => choices.find((choice) => choice === text),
  };
}

/** Clients that are this node. */
export const clientRule: ValueParser<ClientRule> = {
  allowed: "an IP address, a subnet such as 10.0.0.0/24, or gateway",
  parse: parseClientRule,
};

/** Level of the log, in any case. */
export const logLevel: ValueParser<LogLevel> = {
  allowed: oneOf(...LOG_LEVELS).allowed,
  parse: (text) => LOG_LEVELS.find((level) => level === text.toUpperCase()),
};

/** A registry that is mirrored, or all. */
export interface MirroredRegistry {
  /** `https://docker.io`; left out for all registries. */
  readonly url?: string;
  /** Host, with its port if it has one; {@linkcode ALL_REGISTRIES} for all registries. */
  readonly host: string;
}

/** The host that stands for all registries: the name of containerd's folder for them. */
export const ALL_REGISTRIES = "_default";

/** Registry as URL, as Spegel takes it, or as host alone, which means https; `_default` and `*` mean all. */
export const mirroredRegistry: ValueParser<MirroredRegistry> = {
  allowed: "a registry such as https://docker.io or ghcr.io without a path, or _default for all",
  parse(text) {
    if (text === ALL_REGISTRIES || text === "*") return { host: ALL_REGISTRIES };
    const match = /^(?:(https?):\/\/)?([^/]+)$/.exec(text);
    const host = match?.[2];
    if (host === undefined || !isRegistry(host)) return undefined;
    return { url: `${match?.[1] ?? "https"}://${host}`, host };
  },
};

/** A registry, or a part of it, whose content is private. */
export interface PrivateRegistry {
  /** Host, with its port if it has one. */
  readonly host: string;
  /** First parts of the names of the repositories; left out for all of the registry. */
  readonly prefix?: string;
  /** Where the registry is, if nothing else says so. */
  readonly url: string;
}

/** Registry whose content is private, or a part of it: as URL or host, with the beginning of a repository's name. */
export const privateRegistry: ValueParser<PrivateRegistry> = {
  allowed: "a registry such as ghcr.io, ghcr.io/team or https://registry.example.com:5000/team",
  parse(text) {
    const match = /^(?:(https?):\/\/)?([^/]+)(?:\/(.+?))?\/?$/.exec(text);
    const [, scheme = "https", host, prefix] = match ?? [];
    if (host === undefined || !isRegistry(host)) return undefined;
    if (prefix !== undefined && !isRepository(prefix)) return undefined;
    return { host, url: `${scheme}://${host}`, ...(prefix === undefined ? {} : { prefix }) };
  },
};

/** URL of a mirror. */
export const mirrorTarget: ValueParser<string> = {
  allowed: "a URL such as http://127.0.0.1:5000, without a path",
  parse(text) {
    const match = /^(https?):\/\/(.+)$/.exec(text);
    const [, scheme, authority] = match ?? [];
    if (scheme === undefined || authority === undefined) return undefined;
    // Node addresses come from the environment, where IPv6 has no brackets.
    const ipv6 = /^([0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F]*):([0-9]{1,5})$/.exec(authority);
    const host = ipv6 === null ? authority : `[${ipv6[1]}]:${ipv6[2]}`;
    return isRegistry(host) ? `${scheme}://${host}` : undefined;
  },
};

/** Host of a registry, with its port if it has one. */
export const registryHost: ValueParser<string> = {
  allowed: "a registry host such as docker.io",
  parse: (text) => isRegistry(text) ? text : undefined,
};

/** `<registry>/<repository>`. */
export const repositoryName: ValueParser<string> = {
  allowed: "<registry>/<repository>, such as docker.io/library/nginx",
  parse(text) {
    const slash = text.indexOf("/");
    const isName = isRegistry(text.slice(0, Math.max(0, slash))) &&
      isRepository(text.slice(slash + 1));
    return isName ? text : undefined;
  },
};

/** URL of a service. */
export const httpUrl: ValueParser<string> = {
  allowed: "a URL such as http://bootstrap:5002",
  parse: (text) => /^https?:\/\//.test(text) && URL.canParse(text) ? text : undefined,
};

/** `host:port` to connect to. */
export const endpoint: ValueParser<{ readonly host: string; readonly port: number }> = {
  allowed: "<host>:<port>",
  parse(text) {
    const address = listenAddress.parse(text);
    if (address?.host === undefined || address.port === 0) return undefined;
    return { host: address.host, port: address.port };
  },
};

/** Regular expression of Go; compiled, and refused if it is none, by `compileFilters()` where it is used. */
export const goRegExp: ValueParser<string> = {
  allowed: "a regular expression of Go",
  parse: (text) => text,
};
