/**
 * Where the doctor looks: what it was given, else what the running mirror has, else the defaults.
 *
 * @module
 */
import type { DoctorSettings } from "../config/config.ts";
import { DOCTOR_OPTIONS } from "../config/options.ts";
import type { NodeSettings } from "../debug/node_status.ts";

/** Result of {@linkcode adoptSettings}. */
export interface AdoptedSettings {
  readonly settings: DoctorSettings;
  /** What was given and is otherwise in the mirror, in words. */
  readonly differences: readonly string[];
}

/**
 * Brings settings together.
 *
 * @param own What the doctor was given, with defaults for the rest.
 * @param given Names of what was given.
 * @param mirror Settings of the running mirror; undefined if it does not tell.
 * @returns What to look at.
 */
export function adoptSettings(
  own: DoctorSettings,
  given: ReadonlySet<string>,
  mirror: NodeSettings | undefined,
): AdoptedSettings {
  if (mirror === undefined) return { settings: own, differences: [] };
  const { registryPort, ...told } = mirror;
  const settings: Record<string, unknown> = { ...own };
  const differences: string[] = [];
  const tell = (name: keyof DoctorSettings, ours: string, theirs: string) =>
    differences.push(`--${DOCTOR_OPTIONS[name].flag} is ${ours}, the mirror has ${theirs}`);
  for (const [name, value] of Object.entries(told) as [keyof DoctorSettings, unknown][]) {
    if (!given.has(name)) settings[name] = value;
    else if (textOf(own[name]) !== textOf(value)) tell(name, textOf(own[name]), textOf(value));
  }
  if (!given.has("registryAddr")) {
    settings["registryAddr"] = { ...own.registryAddr, port: registryPort };
  } else if (own.registryAddr.port !== registryPort) {
    tell("registryAddr", `:${own.registryAddr.port}`, `:${registryPort}`);
  }
  // Each property was set from one of the same name and type.
  return { settings: settings as unknown as DoctorSettings, differences };
}

function textOf(value: unknown): string {
  return Array.isArray(value) ? value.map(String).join(",") || "none" : String(value ?? "none");
}
