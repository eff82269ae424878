/**
 * Where an upstream registry is, and whom to trust there: as the operator told containerd, in `hosts.toml`.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { rootCertificates } from "node:tls";
import { ALL_REGISTRIES } from "../config/value_parsers.ts";
import { parseUpstreamServer, upstreamUrl } from "../hosts/hosts_file.ts";
import { BACKUP, folderNames, readExisting } from "../hosts/mirror_configuration.ts";
import { lstatOrUndefined } from "../hosts/file_tree.ts";
import type { Logger } from "../observability/logger.ts";

/** How long the files are believed, in milliseconds. */
export const SETTINGS_TTL_MS = 60_000;

/** How a registry is reached. */
export interface Upstream {
  /** URL below which repositories are: `https://ghcr.io/v2`. */
  readonly base: string;
  /** Certificates to trust, in PEM; left out for the system's. */
  readonly ca?: readonly string[];
  /** Whether the registry's certificate is not looked at. */
  readonly skipsVerification: boolean;
}

/** Options of {@linkcode UpstreamSettings}. */
export interface UpstreamSettingsOptions {
  /** containerd's `config_path`, as this process sees it; it need not be there. */
  readonly configPath: string;
  /** Where a registry is if no file says so; undefined for where its name says. */
  readonly urlOf: (registry: string) => string | undefined;
  readonly log: Logger;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
}

interface Known {
  readonly upstream: Upstream;
  readonly text: string;
  readonly until: number;
}

/** Reads how registries are reached. */
export class UpstreamSettings {
  readonly #options: UpstreamSettingsOptions;
  /** By registry; the operator lists them. */
  readonly #known = new Map<string, Known>();
  readonly #now: () => number;

  /**
   * @param options Where the files are.
   */
  constructor(options: UpstreamSettingsOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Tells how a registry is reached.
   *
   * @param registry Its host, with its port if it has one.
   * @returns The settings: the same object as long as they are the same.
   * @throws {ConfigError} If a file is not TOML.
   */
  async of(registry: string): Promise<Upstream> {
    const known = this.#known.get(registry);
    if (known !== undefined && known.until > this.#now()) return known.upstream;
    const read = await this.#read(registry);
    const text = JSON.stringify(read);
    const upstream = known?.text === text ? known.upstream : read;
    this.#known.set(registry, { upstream, text, until: this.#now() + SETTINGS_TTL_MS });
    return upstream;
  }

  /**
   * Whether the operator's files name a registry, other than by telling what holds for all.
   *
   * @param registry Its host, with its port if it has one.
   * @returns True if it has a folder of its own.
   */
  async names(registry: string): Promise<boolean> {
    const { configPath } = this.#options;
    for (const root of [configPath, `${configPath}/${BACKUP}`]) {
      for (const name of folderNames(registry)) {
        if (name === ALL_REGISTRIES) continue;
        if (await lstatOrUndefined(`${root}/${name}`) !== undefined) return true;
      }
    }
    return false;
  }

  async #read(registry: string): Promise<Upstream> {
    const { configPath, urlOf } = this.#options;
    const byName = upstreamUrl(urlOf(registry) ?? `https://${registry}`);
    // What the operator wrote comes first: in our own file there may be less.
    for (const root of [`${configPath}/${BACKUP}`, configPath]) {
      for (const name of folderNames(registry)) {
        const folder = `${root}/${name}`;
        if (await lstatOrUndefined(folder) === undefined) continue;
        const existing = await readExisting(folder);
        if (existing === undefined) break;
        const { server = byName, ca, overridesPath, skipsVerification } = parseUpstreamServer(
          existing,
        );
        const certificates = await this.#certificates(folder, ca);
        return {
          base: baseOf(server, overridesPath),
          ...(certificates.length === 0 ? {} : { ca: [...rootCertificates, ...certificates] }),
          skipsVerification,
        };
      }
    }
    return { base: baseOf(byName, false), skipsVerification: false };
  }

  async #certificates(folder: string, paths: readonly string[]): Promise<string[]> {
    const texts: string[] = [];
    for (const path of paths) {
      const full = path.startsWith("/") ? path : `${folder}/${path}`;
      try {
        texts.push(Buffer.from(await Deno.readFile(full)).toString("latin1"));
      } catch (error) {
        this.#options.log.warn("a certificate of an upstream registry cannot be read", {
          path: full,
          error,
        });
      }
    }
    return texts;
  }
}

/** As containerd puts it together. */
function baseOf(server: string, overridesPath: boolean): string {
  const url = new URL(/^https?:\/\//.test(server) ? server : `https://${server}`);
  const path = url.pathname.replace(/\/+$/, "");
  return `${url.origin}${overridesPath || path.endsWith("/v2") ? path : `${path}/v2`}`;
}
