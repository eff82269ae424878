/**
 * Does containerd's mirror configuration lead here?
 *
 * @module
 */
import { ALL_REGISTRIES } from "../../config/value_parsers.ts";
import type { NamedMirror } from "../../hosts/hosts_file.ts";
import { BACKUP, registryFolders } from "../../hosts/mirror_configuration.ts";
import { readHosts } from "../../hosts/read_hosts.ts";
import { NODE_HEADER } from "../../registry/messages.ts";
import type { Check, CheckContext } from "../check.ts";
import { type Finding, reporter } from "../finding.ts";

const hosts = reporter("hosts");

/** What answers at a mirror's URL. */
type Target = "this" | "other" | "silent";

/** `hosts.toml` of each mirrored registry. */
export const hostsCheck: Check = {
  name: "hosts",
  async run(context, signal) {
    const { settings, configPath } = context;
    if (settings.store !== "containerd") return [];
    try {
      for await (const _ of Deno.readDir(configPath)) break;
    } catch {
      return []; // Told by another check.
    }
    const { mirroredRegistries } = settings;
    const isAll = mirroredRegistries.length === 0;
    const probes = new Probes(context, signal);
    const findings: Finding[] = [];
    for (const host of isAll ? [ALL_REGISTRIES] : mirroredRegistries) {
      findings.push(...await checkRegistry(host, context, probes));
    }
    if (isAll) findings.push(...await overridden(configPath, probes));
    return findings;
  },
};

/** Asks each mirror once. */
class Probes {
  readonly #context: CheckContext;
  readonly #signal: AbortSignal;
  readonly #targets = new Map<string, Promise<Target>>();

  constructor(context: CheckContext, signal: AbortSignal) {
    this.#context = context;
    this.#signal = signal;
  }

  /** Says who answers. */
  target(url: string): Promise<Target> {
    const known = this.#targets.get(url) ?? this.#probe(url);
    this.#targets.set(url, known);
    return known;
  }

  async #probe(url: string): Promise<Target> {
    const { ask, readiness } = this.#context;
    try {
      const { headers } = await ask(`${url}/readyz`, { signal: this.#signal });
      const id = headers.get(NODE_HEADER);
      const own = readiness instanceof Error ? null : readiness.headers.get(NODE_HEADER);
      return id !== null && id === own ? "this" : "other";
    } catch {
      return "silent";
    }
  }

  /** Whether a mirror takes what the file lets containerd send. */
  async isAuthorized({ url, authorization }: NamedMirror): Promise<boolean> {
    const headers = authorization === undefined ? {} : { Authorization: authorization };
    const { status } = await this.#context.ask(`${url}/v2/`, { headers, signal: this.#signal });
    return status !== 401;
  }
}

async function checkRegistry(
  host: string,
  context: CheckContext,
  probes: Probes,
): Promise<Finding[]> {
  const name = host === ALL_REGISTRIES ? "all registries" : host;
  let file: Awaited<ReturnType<typeof readHosts>>;
  try {
    file = await readHosts(context.configPath, host);
  } catch (error) {
    return [hosts.found("hosts-invalid", `${name}: hosts.toml: ${(error as Error).message}`)];
  }
  if (file === undefined) {
    return [hosts.found("hosts-missing", `${name}: no hosts.toml in ${context.configPath}`)];
  }
  const urls = file.mirrors.map(({ url }) => url);
  const targets = await Promise.all(urls.map((url) => probes.target(url)));
  const own = file.mirrors[targets.indexOf("this")];
  if (own === undefined) {
    const places = urls.length === 0 ? "no mirror" : urls.join(", ");
    const isUnproven = context.readiness instanceof Error && targets.includes("silent");
    return [
      hosts.found(
        isUnproven ? "hosts-unproven" : "hosts-elsewhere",
        `${name}: ${file.path} names ${places}`,
      ),
    ];
  }
  if (!await probes.isAuthorized(own)) {
    return [hosts.found("hosts-unauthorized", `${name}: ${own.url} refuses its credentials`)];
  }
  const what = own.capabilities.includes("resolve") ? "" : ", not for tags";
  const silent = urls.filter((_, index) => targets[index] === "silent");
  return [
    hosts.ok(`${name}: ${file.path} leads here by ${own.url}${what}`),
    ...silent.map((url) => hosts.found("hosts-target-silent", `${name}: ${url} does not answer`)),
  ];
}

/** Registries whose own folders come before the one for all. */
async function overridden(configPath: string, probes: Probes): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const name of await registryFolders(configPath)) {
    if (name === ALL_REGISTRIES || name === BACKUP) continue;
    try {
      const mirrors = (await readHosts(configPath, name))?.mirrors ?? [];
      const targets = await Promise.all(mirrors.map(({ url }) => probes.target(url)));
      if (!targets.includes("this") && !targets.includes("silent")) {
        const what = `${configPath}/${name} does not name this mirror`;
        findings.push(hosts.found("hosts-overridden", what));
      }
    } catch (error) {
      findings.push(hosts.found("hosts-invalid", `${name}: ${(error as Error).message}`));
    }
  }
  return findings;
}
