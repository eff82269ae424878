import assert from "node:assert/strict";
import { runPrepare } from "../../../lib/cli/prepare.ts";
import { KEY_FILE } from "../../../lib/routing/libp2p/identity.ts";
import { withFolder } from "./configuration_folder.ts";
import { recordingLog } from "./recording_log.ts";

async function modeOf(path: string): Promise<string> {
  return ((await Deno.stat(path)).mode! & 0o7777).toString(8);
}

Deno.test("runPrepare() makes the data directory, and its group may write there", async () => {
  await withFolder(async (folder) => {
    const dataDir = `${folder}/lib/kagami`;
    await runPrepare({ logLevel: "INFO", dataDir }, recordingLog().log);
    assert.equal(Number.parseInt(await modeOf(dataDir), 8) & 0o770, 0o770);
  });
});

Deno.test("runPrepare() lets the group read an identity that is there, and leaves its bytes alone", async () => {
  await withFolder(async (dataDir) => {
    const path = `${dataDir}/${KEY_FILE}`;
    await Deno.writeTextFile(path, "key");
    await Deno.chmod(dataDir, 0o755);
    await Deno.chmod(path, 0o600);
    for (const _time of ["first", "second"]) {
      await runPrepare({ logLevel: "INFO", dataDir }, recordingLog().log);
      assert.deepEqual([await modeOf(dataDir), await modeOf(path)], ["775", "640"]);
    }
    assert.equal(await Deno.readTextFile(path), "key");
  });
});

Deno.test({
  name: "runPrepare() leaves an identity alone that belongs to the mirror's user",
  // Only root can give a file away.
  ignore: Deno.uid() !== 0,
  async fn() {
    await withFolder(async (dataDir) => {
      const path = `${dataDir}/${KEY_FILE}`;
      await Deno.writeTextFile(path, "key");
      await Deno.chmod(path, 0o600);
      await Deno.chown(path, 65_532, 0);
      await runPrepare({ logLevel: "INFO", dataDir }, recordingLog().log);
      assert.equal(await modeOf(path), "600");
    });
  },
});
