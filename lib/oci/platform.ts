/**
 * Choosing from an index.
 *
 * @module
 */
import type { ManifestChild } from "./manifest.ts";

/** `<os>/<architecture>` of the containers that run on this machine. */
export const NODE_PLATFORM = `linux/${Deno.build.arch === "aarch64" ? "arm64" : "amd64"}`;

/**
 * @param child A manifest of an index.
 * @param platform `<os>/<architecture>`.
 * @returns True if it is for that platform, whatever its variant.
 */
export function isForPlatform(child: ManifestChild, platform: string): boolean {
  return child.platform === platform || child.platform?.startsWith(`${platform}/`) === true;
}
