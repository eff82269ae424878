/**
 * `kagami doctor` and `kagami status` inside of a node.
 *
 * @module
 */
import type { Finding, FindingCode } from "../../../lib/doctor/finding.ts";
import type { ImageReport } from "../../../lib/doctor/locate_image.ts";
import type { ClusterNode } from "./cluster.ts";
import { KAGAMI } from "./mirror_process.ts";
import { runInside } from "./network.ts";
import type { Output } from "./process.ts";

/** What the doctor said. */
export interface Diagnosis {
  readonly code: number;
  readonly healthy: boolean;
  readonly findings: readonly Finding[];
  readonly image?: ImageReport;
}

/** Runs a command of Kagami inside of a node. */
export function kagamiOn(
  node: ClusterNode,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Output> {
  const assignments = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return runInside(node.mirror.node, "env", ...assignments, ...KAGAMI, ...args);
}

/** Runs the doctor on a node, with the folder of its mirror configuration and what else is given. */
export async function doctorOn(
  node: ClusterNode,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Diagnosis> {
  const { code, stdout, stderr } = await kagamiOn(node, ["doctor", "--json", ...args], {
    CONTAINERD_REGISTRY_CONFIG_PATH: node.containerd.certsDir,
    ...env,
  });
  if (stdout === "") throw new Error(`doctor said nothing: ${stderr}`);
  return { code, ...JSON.parse(stdout) };
}

/** Codes of what was found. */
export function codesOf({ findings }: Diagnosis): FindingCode[] {
  return findings.map(({ code }) => code).filter((code) => code !== undefined);
}
