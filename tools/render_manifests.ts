/**
 * Renders deploy/manifests from the chart. With `--check` it only compares.
 *
 * @module
 */
import { Helm } from "../tests/chart/render.ts";
import { findHelm } from "../tests/chart/tools.ts";
import { manifestFiles } from "./chart/manifests.ts";
import { writeOrCompare } from "./generated_files.ts";

const helm = await findHelm();
if ("missing" in helm) throw new Error(helm.missing);
const files = await manifestFiles(new Helm(helm.value));
if (await writeOrCompare(files, "deno task manifests") > 0) Deno.exit(1);
