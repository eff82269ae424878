/**
 * Go's regular expressions, by a port of RE2: their time grows with the text alone, whatever an operator writes.
 *
 * @see https://github.com/google/re2/wiki/Syntax
 * @module
 */
import { ConfigError } from "../errors.ts";
import { createFilter, type FilterExpression, type ReferenceFilter } from "../oci/filter.ts";
import { REGISTRY_OPTIONS } from "./options.ts";
import { label } from "./parse_options.ts";

/**
 * Compiles the values of `--registry-filters`. The library is loaded only when there are any.
 *
 * @param sources Expressions of Go's package regexp.
 * @returns What matches the same texts.
 * @throws {ConfigError} If one is no such expression.
 *
 * @example
 * ```ts
 * const [filter] = await compileFilters(["^docker\\.io/[[:alpha:]]+:latest\\z"]);
 * filter?.test("docker.io/nginx:latest"); // true
 * ```
 */
export async function compileFilters(sources: readonly string[]): Promise<FilterExpression[]> {
  if (sources.length === 0) return [];
  const { RE2JS } = await import("re2js");
  return sources.map((source) => {
    try {
      const expression = RE2JS.compile(source);
      return { source, test: (text) => expression.test(text) };
    } catch (error) {
      const { allowed } = REGISTRY_OPTIONS.registryFilters.parser;
      throw new ConfigError(
        `${label(REGISTRY_OPTIONS.registryFilters)}: ${JSON.stringify(source)} is not allowed, ` +
          `must be ${allowed}: ${error instanceof Error ? error.message : error}`,
      );
    }
  });
}

/**
 * Creates the filter that an operator has configured.
 *
 * @param config Mirrored registries and expressions.
 * @returns The filter.
 * @throws {ConfigError} If an expression is none.
 */
export async function configuredFilter(
  { mirroredRegistries, registryFilters }: {
    readonly mirroredRegistries: readonly string[];
    readonly registryFilters: readonly string[];
  },
): Promise<ReferenceFilter> {
  return createFilter({
    mirroredRegistries,
    registryFilters: await compileFilters(registryFilters),
  });
}
