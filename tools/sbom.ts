/**
 * Prints the bill of materials of the compiled program, in CycloneDX: scanners cannot look into what `deno compile` makes.
 *
 * @see https://cyclonedx.org/docs/1.6/json/
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import config from "../deno.json" with { type: "json" };
import { moduleGraph } from "./module_graph.ts";

/** A part of the program. */
export interface Component {
  readonly type: string;
  readonly "bom-ref": string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
}

/** A bill of materials. */
export interface Sbom {
  readonly bomFormat: "CycloneDX";
  readonly specVersion: string;
  readonly serialNumber: string;
  readonly version: number;
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
}

/**
 * Makes the bill of materials.
 *
 * @returns The same one for the same lock file.
 */
export async function makeSbom(): Promise<Sbom> {
  const { npmPackages } = await moduleGraph("main.ts");
  const lock = JSON.parse(await Deno.readTextFile(new URL("../deno.lock", import.meta.url)));
  const integrity: Readonly<Record<string, { integrity: string } | undefined>> = lock.npm;
  const components = Object.entries(npmPackages).map(([key, { name, version }]) => {
    const component = componentOf("library", name, version, "npm");
    const [algorithm, hash] = integrity[key]?.integrity.split("-") ?? [];
    if (algorithm !== "sha512" || hash === undefined) return component;
    const content = Buffer.from(hash, "base64").toString("hex");
    return { ...component, hashes: [{ alg: "SHA-512", content }] };
  });
  const runtime = componentOf("framework", "deno", Deno.version.deno, "generic");
  const all = [runtime, ...components].sort((a, b) => a.purl < b.purl ? -1 : 1);
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify(all) + config.version)}`,
    version: 1,
    metadata: { component: componentOf("application", "kagami", config.version, "generic") },
    components: all,
  };
}

function componentOf(type: string, name: string, version: string, kind: string): Component {
  const purl = `pkg:${kind}/${name.replace("@", "%40")}@${version}`;
  return { type, "bom-ref": purl, name, version, purl };
}

/** A UUID (version 8) that follows from a text. */
function uuidOf(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `a${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}

if (import.meta.main) {
  const text = JSON.stringify(await makeSbom(), null, 2);
  await Deno.stdout.write(new TextEncoder().encode(`${text}\n`));
}
