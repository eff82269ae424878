/**
 * Text of a `hosts.toml`, by which containerd learns of mirrors; the same as Spegel writes.
 *
 * @see https://github.com/containerd/containerd/blob/main/docs/hosts.md
 * @module
 */
import { parse, stringify, type TomlTable } from "smol-toml";
import { ConfigError } from "../errors.ts";

/** Time limit of connecting to a mirror; honoured from containerd 2.1 on. */
export const DIAL_TIMEOUT = "200ms";

/** containerd asks another host for this registry. */
const DOCKER_IO = { url: "https://docker.io", server: "https://registry-1.docker.io" } as const;

/** What to write for one registry. */
export interface HostsFileOptions {
  /** URL of the registry; left out for `_default`. */
  readonly registryUrl?: string;
  /** URLs of the mirrors, the first is asked first. */
  readonly mirrorTargets: readonly string[];
  /** Whether mirrors are asked for tags, too. */
  readonly resolveTags: boolean;
  /** Value of the `Authorization` header for the mirrors. */
  readonly authorization?: string;
}

/**
 * Writes the file's text.
 *
 * @param options Registry and mirrors.
 * @returns TOML.
 */
export function formatHostsFile(options: HostsFileOptions): string {
  const server = serverLine(options.registryUrl);
  return [...(server === undefined ? [] : [server]), ...mirrorTables(options)].join("\n\n");
}

function serverLine(registryUrl: string | undefined): string | undefined {
  return registryUrl === undefined ? undefined : `server = '${upstreamUrl(registryUrl)}'`;
}

/**
 * Where a registry really is.
 *
 * @param registryUrl Its URL, as its name says.
 * @returns The URL that containerd asks if nobody tells it otherwise.
 */
export function upstreamUrl(registryUrl: string): string {
  return registryUrl === DOCKER_IO.url ? DOCKER_IO.server : registryUrl;
}

function mirrorTables(options: HostsFileOptions): string[] {
  const capabilities = options.resolveTags ? "['pull', 'resolve']" : "['pull']";
  return options.mirrorTargets.map((target) => {
    const lines = [
      `[host.'${target}']`,
      `capabilities = ${capabilities}`,
      `dial_timeout = '${DIAL_TIMEOUT}'`,
    ];
    if (options.authorization !== undefined) {
      lines.push(`[host.'${target}'.header]`, `Authorization = '${options.authorization}'`);
    }
    return lines.join("\n");
  });
}

/** A mirror that a file names. */
export interface NamedMirror {
  readonly url: string;
  /** What it is asked for; all if the file says nothing. */
  readonly capabilities: readonly string[];
  /** Value of the `Authorization` header that is sent. */
  readonly authorization?: string;
}

const ALL_CAPABILITIES = ["pull", "resolve", "push"];

/**
 * Reads the mirrors of a file.
 *
 * @param text Text of a `hosts.toml`.
 * @returns The mirrors, in the order in which they are asked.
 * @throws {ConfigError} If the text is not TOML.
 */
export function parseHostsFile(text: string): NamedMirror[] {
  let host: unknown;
  try {
    host = parse(text)["host"];
  } catch (cause) {
    throw new ConfigError(`not TOML (${firstLine(cause)})`, { cause });
  }
  return Object.entries(isTable(host) ? host : {}).map(([url, value]) => {
    const table = isTable(value) ? value : {};
    const { capabilities, header } = table;
    const authorization = isTable(header) ? [header["Authorization"]].flat()[0] : undefined;
    return {
      url,
      capabilities: Array.isArray(capabilities) ? capabilities.map(String) : ALL_CAPABILITIES,
      ...(typeof authorization === "string" ? { authorization } : {}),
    };
  });
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
}

/** What an operator already has for a registry. */
export interface ExistingHosts {
  /** Path, for messages. */
  readonly path: string;
  /** Text of `hosts.toml`; undefined if there is none. */
  readonly text: string | undefined;
  /** Names of the files beside it. */
  readonly files: readonly string[];
}

/**
 * Puts the mirrors before what the operator has: own mirrors stay behind ours in their order, and everything about the
 * registry itself (server, certificates) stays.
 *
 * @param options Registry and mirrors.
 * @param existing What is there.
 * @returns TOML.
 * @throws {ConfigError} If the existing file is not TOML.
 */
export function prependHostsFile(options: HostsFileOptions, existing: ExistingHosts): string {
  const { host, ...root } = parseExisting(existing);
  const ours = new Set(options.mirrorTargets);
  const hosts = Object.entries(isTable(host) ? host : {}).filter(([url]) => !ours.has(url));
  const head = "server" in root ? undefined : serverLine(options.registryUrl);
  const parts = [
    ...(head === undefined ? [] : [head]),
    ...(Object.keys(root).length === 0 ? [] : [stringify(root).trim()]),
    ...mirrorTables(options),
    ...hosts.map(([url, table]) => stringify({ host: { [url]: table } }).trim()),
  ];
  return parts.join("\n\n");
}

/** What a file says about the registry itself. */
export interface UpstreamServer {
  /** Its URL; left out if the file does not name it. */
  readonly server?: string;
  /** Files with certificates to trust, absolute or beside the file. */
  readonly ca: readonly string[];
  readonly skipsVerification: boolean;
  /** Whether the URL's path is all of the path, without `/v2`. */
  readonly overridesPath: boolean;
}

/**
 * Reads what an operator says about a registry itself.
 *
 * @param existing What is there.
 * @returns What it says.
 * @throws {ConfigError} If the file is not TOML.
 */
export function parseUpstreamServer(existing: ExistingHosts): UpstreamServer {
  const { server, ca, skip_verify, override_path } = parseExisting(existing);
  return {
    ...(typeof server === "string" && server !== "" ? { server } : {}),
    ca: [ca ?? []].flat(2).filter((path) => typeof path === "string"),
    skipsVerification: skip_verify === true,
    overridesPath: override_path === true,
  };
}

function parseExisting(existing: ExistingHosts): TomlTable {
  if (existing.text === undefined) return certificateSettings(existing.files);
  try {
    return parse(existing.text);
  } catch (cause) {
    const reason = firstLine(cause);
    throw new ConfigError(
      `${existing.path} is not TOML (${reason}); repair it, or set PREPEND_EXISTING to false`,
      { cause },
    );
  }
}

/**
 * Without a hosts.toml containerd takes certificates by their names, as Docker does. With one they must be named.
 *
 * @see https://docs.docker.com/engine/security/certificates/
 */
function certificateSettings(files: readonly string[]): TomlTable {
  const ca = files.filter((name) => name.endsWith(".crt"));
  const client = files.filter((name) => name.endsWith(".cert"))
    .map((cert) => [cert, cert.replace(/\.cert$/, ".key")])
    .filter(([, key]) => files.includes(key ?? ""));
  return {
    ...(ca.length === 0 ? {} : { ca }),
    ...(client.length === 0 ? {} : { client }),
  };
}

function isTable(value: unknown): value is TomlTable {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
