/**
 * The page of what the compiled program embeds, by licence.
 *
 * @module
 */
import { code, table } from "./markdown.ts";
import { moduleGraph } from "./module_graph.ts";

/** Licences that allow what Kagami does with a package: to embed it, under its own licence, with a notice. */
export const ALLOWED_LICENCES: ReadonlySet<string> = new Set([
  "0BSD",
  "Apache-2.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "ISC",
  "MIT",
]);

/** A package and its licence. */
export interface LicensedPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX expression, as the package states it. */
  readonly licence: string;
}

/** A licence that is not allowed, or none. */
export class LicenceError extends Error {
  override readonly name = "LicenceError";
}

/**
 * Whether a licence is allowed: one of those in a choice is enough, of those that hold together all have to be.
 *
 * @param expression SPDX expression of names, `OR`, `AND` and parentheses around all of it.
 * @returns Whether the package may be embedded.
 */
export function isAllowed(expression: string): boolean {
  const inner = /^\(([^()]*)\)$/.exec(expression)?.[1] ?? expression;
  return inner.split(" OR ").some((choice) =>
    choice.split(" AND ").every((name) => ALLOWED_LICENCES.has(name.trim()))
  );
}

/**
 * Reads the licence that a package states in its package.json.
 *
 * @param metadata The parsed file.
 * @returns SPDX expression; empty if it states none.
 */
export function licenceOf(metadata: unknown): string {
  if (typeof metadata !== "object" || metadata === null) return "";
  const { license, licenses } = metadata as { license?: unknown; licenses?: unknown };
  const stated = license ?? (Array.isArray(licenses) ? licenses[0] : undefined);
  if (typeof stated === "string") return stated;
  const type = typeof stated === "object" && stated !== null && "type" in stated && stated.type;
  return typeof type === "string" ? type : "";
}

/**
 * Finds all packages that the program embeds.
 *
 * @returns The packages, by name.
 * @throws {LicenceError} If one may not be embedded.
 */
export async function embeddedPackages(): Promise<LicensedPackage[]> {
  const { npmPackages } = await moduleGraph("main.ts");
  const cache = await npmCache();
  const packages = await Promise.all(
    Object.values(npmPackages).map(async ({ name, version }) => {
      const path = `${cache}/registry.npmjs.org/${name}/${version}/package.json`;
      return { name, version, licence: licenceOf(JSON.parse(await Deno.readTextFile(path))) };
    }),
  );
  // A package that others need in several ways has several keys in the lock file.
  const distinct = new Map(packages.map((one) => [`${one.name}@${one.version}`, one]));
  const refused = [...distinct.values()].filter(({ licence }) => !isAllowed(licence));
  if (refused.length > 0) {
    const list = refused.map(({ name, version, licence }) =>
      `${name} ${version}: ${licence || "none"}`
    );
    throw new LicenceError(`licences that are not allowed: ${list.join("; ")}`);
  }
  return [...distinct.values()].sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

async function npmCache(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).npmCache;
}

/**
 * Writes the page.
 *
 * @param note First line, that it is generated.
 * @returns Markdown.
 * @throws {LicenceError} If a package may not be embedded.
 */
export async function licencesPage(note: string): Promise<string> {
  const packages = await embeddedPackages();
  const counts = [...Map.groupBy(packages, ({ licence }) => licence)]
    .sort(([, a], [, b]) => b.length - a.length)
    .map(([licence, found]) => [licence, String(found.length)]);
  const rows = packages.map(({ name, version, licence }) => [code(name), version, licence]);
  return [
    "# Licences of what the binary embeds",
    note,
    "`deno compile` puts these packages of npm into the binary. What they state in their package.json is read at " +
    "each run of the checks, which fail on a licence that is not allowed: " +
    `${[...ALLOWED_LICENCES].map(code).join(", ")}.`,
    table(["Licence", "Packages"], counts),
    "Besides, the binary holds the runtime: Deno (MIT), with V8 (BSD-3-Clause) and its Rust crates, whose notices come " +
    "with Deno. The image adds glibc and libgcc of Debian (LGPL-2.1 and GPL-3.0 with the runtime exception), linked " +
    "dynamically and unchanged. A release carries all of it as a bill of materials (`deno task sbom`).",
    table(["Package", "Version", "Licence"], rows),
  ].join("\n\n") + "\n";
}
