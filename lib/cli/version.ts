/**
 * The command `version`.
 *
 * @module
 */
import { VERSION } from "../version.ts";

/**
 * @param format Form of the answer.
 * @returns What to print.
 */
export function versionText(format: "text" | "json"): string {
  const { deno, v8, typescript } = Deno.version;
  const { os, arch } = Deno.build;
  if (format === "text") return `kagami version ${VERSION} (deno ${deno}, ${os}/${arch})\n`;
  return JSON.stringify({ version: VERSION, deno, v8, typescript, os, arch }) + "\n";
}
