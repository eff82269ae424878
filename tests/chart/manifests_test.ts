import assert from "node:assert/strict";
import { formatted } from "../../tools/generated_files.ts";
import { manifestFiles } from "../../tools/chart/manifests.ts";
import { REQUIRES_HELM, theHelm } from "./support.ts";

Deno.test({
  ...REQUIRES_HELM,
  name: "plain manifests are what the chart renders; otherwise run deno task manifests",
  async fn() {
    for (const [path, text] of Object.entries(await manifestFiles(theHelm()))) {
      const url = new URL(`../../${path}`, import.meta.url);
      assert.equal(await Deno.readTextFile(url), await formatted(text, path), path);
    }
  },
});
