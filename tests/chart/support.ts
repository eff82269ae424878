/**
 * Helm and schemas for the tests of one file, or the reason why they are skipped.
 *
 * @module
 */
import { Helm } from "./render.ts";
import { Schemas } from "./schemas.ts";
import { findHelm, findSchemas } from "./tools.ts";

const helm = await findHelm();
const schemas = await findSchemas();

/** Why the tests are skipped; nothing if they are not. */
export const MISSING: readonly string[] = [helm, schemas]
  .flatMap((found) => "missing" in found ? [found.missing] : []);

/** Options of tests that need Helm and the schemas. */
export const REQUIRES_HELM = { ignore: MISSING.length > 0 } as const;

if (MISSING.length > 0) {
  const text = `tests of the chart are skipped: ${MISSING.join("; ")}\n`;
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}

/**
 * @returns Helm, for a test that is not skipped.
 */
export function theHelm(): Helm {
  if ("missing" in helm) throw new Error(helm.missing);
  return new Helm(helm.value);
}

let loading: Promise<Schemas> | undefined;

/**
 * @returns The schemas, for a test that is not skipped.
 */
export function theSchemas(): Promise<Schemas> {
  if ("missing" in schemas) throw new Error(schemas.missing);
  loading ??= Schemas.load(schemas.value);
  return loading;
}
