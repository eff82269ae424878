/**
 * Version of this build.
 *
 * @module
 */
import config from "../deno.json" with { type: "json" };

/** Version, as deno.json states it. */
export const VERSION: string = config.version;
