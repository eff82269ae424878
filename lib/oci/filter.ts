/**
 * Which references are mirrored. The same filter decides what is served and what is advertised.
 *
 * @module
 */

/** What a filter looks at: a reference, or the source of a content (no tag). */
export interface FilterSubject {
  /** Registry host, with or without port. */
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
}

/** A regular expression, of whatever kind. */
export interface FilterExpression {
  /** As the operator wrote it. */
  readonly source: string;
  /** True if it matches somewhere in the text; keeps no state between calls. */
  test(text: string): boolean;
}

/** Options of {@linkcode createFilter}. */
export interface FilterOptions {
  /**
   * Hosts (with port where they have one) of the mirrored registries. Empty means all registries.
   */
  readonly mirroredRegistries: readonly string[];
  /** Whatever matches one of these, as `registry/repository[:tag]`, is not mirrored. */
  readonly registryFilters: readonly FilterExpression[];
}

/** Decides what is mirrored. */
export interface ReferenceFilter {
  /** True if the filter lets everything pass, so that content of unknown origin passes too. */
  readonly passesAll: boolean;
  /** True if the subject is mirrored. */
  allows(subject: FilterSubject): boolean;
  /** What keeps the subject from being mirrored; undefined if nothing does. */
  refusal(subject: FilterSubject): FilterRefusal | undefined;
}

/** Why something is not mirrored: its registry is none of the mirrored ones, or an expression matches it. */
export type FilterRefusal =
  | { readonly because: "registry" }
  | { readonly because: "expression"; readonly expression: FilterExpression };

/**
 * @param host A registry host.
 * @returns The host without its port, as containerd's source labels tell it.
 */
export function withoutPort(host: string): string {
  return host.replace(/:[0-9]+$/, "");
}

/**
 * Creates a filter.
 *
 * A subject without a port passes as its registry if a mirrored registry has the same host with a port:
 * containerd's source labels leave the port out, and what cannot be told apart must not be lost.
 *
 * @param options Mirrored registries and expressions.
 * @returns The filter.
 *
 * @example
 * ```ts
 * const filter = createFilter({ mirroredRegistries: ["docker.io"], registryFilters: [/:latest$/] });
 * filter.allows({ registry: "docker.io", repository: "library/nginx", tag: "latest" }); // false
 * ```
 */
export function createFilter(options: FilterOptions): ReferenceFilter {
  const hosts = new Set(options.mirroredRegistries);
  const bareHosts = new Set(options.mirroredRegistries.map(withoutPort));
  const refusal = ({ registry, repository, tag }: FilterSubject): FilterRefusal | undefined => {
    const isMirrored = hosts.size === 0 || hosts.has(registry) ||
      (withoutPort(registry) === registry && bareHosts.has(registry));
    if (!isMirrored) return { because: "registry" };
    const text = `${registry}/${repository}${tag === undefined ? "" : `:${tag}`}`;
    const expression = options.registryFilters.find((expression) => expression.test(text));
    return expression === undefined ? undefined : { because: "expression", expression };
  };
  return {
    passesAll: hosts.size === 0 && options.registryFilters.length === 0,
    allows: (subject) => refusal(subject) === undefined,
    refusal,
  };
}
