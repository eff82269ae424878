import assert from "node:assert/strict";
import { versionText } from "../../../lib/cli/version.ts";
import { VERSION } from "../../../lib/version.ts";

Deno.test("versionText() tells the version of deno.json as text and as JSON", async () => {
  const config = JSON.parse(
    await Deno.readTextFile(new URL("../../../deno.json", import.meta.url)),
  );
  assert.equal(VERSION, config.version);
  assert.ok(versionText("text").startsWith(`kagami version ${VERSION} `));
  assert.equal(JSON.parse(versionText("json")).version, VERSION);
});
