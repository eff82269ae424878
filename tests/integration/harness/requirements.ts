/**
 * What the integration tests need of the machine.
 *
 * @module
 */
import { CONTAINERD, CTR } from "./containerd_program.ts";

const BINARIES = [
  CONTAINERD,
  "runc",
  CTR,
  "skopeo",
  "docker-registry",
  "dnsmasq",
  "ip",
  "ss",
  "tc",
  "curl",
  "wrk",
];

async function succeeds(command: string, ...args: string[]): Promise<boolean> {
  try {
    const options = { args, stdout: "null", stderr: "null" } as const;
    return (await new Deno.Command(command, options).output()).success;
  } catch {
    return false;
  }
}

async function missing(): Promise<string[]> {
  if (Deno.build.os !== "linux") return ["Linux is needed"];
  const reasons: string[] = [];
  for (const name of BINARIES) {
    if (!await succeeds("sh", "-c", `command -v ${name}`)) reasons.push(`no ${name}`);
  }
  if (Deno.uid() !== 0) reasons.push("not root");
  if (reasons.length > 0) return reasons;
  const probe = `kagami-probe-${Deno.pid}`;
  if (!await succeeds("ip", "netns", "add", probe)) return ["cannot make network namespaces"];
  await succeeds("ip", "netns", "delete", probe);
  return [];
}

/** Why the integration tests cannot run; empty if they can. */
export const MISSING: readonly string[] = await missing();

/** Options for tests that need the whole test bed. */
export const REQUIRES_TEST_BED = { ignore: MISSING.length > 0 } as const;

if (MISSING.length > 0) {
  const text = `integration tests are skipped: ${MISSING.join(", ")}\n`;
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}
