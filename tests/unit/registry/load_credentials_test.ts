import assert from "node:assert/strict";
import { ConfigError } from "../../../lib/errors.ts";
import { loadCredentials } from "../../../lib/registry/load_credentials.ts";
import { withFolder } from "../cli/configuration_folder.ts";

Deno.test("loadCredentials() reads user name and password of a mounted secret", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/username`, "me");
    await Deno.writeTextFile(`${folder}/password`, "it's a secret");
    assert.deepEqual(await loadCredentials(folder), { username: "me", password: "it's a secret" });
  });
});

Deno.test("loadCredentials() finds none where there is no secret", async () => {
  await withFolder(async (folder) => {
    assert.equal(await loadCredentials(folder), undefined);
    assert.equal(await loadCredentials(`${folder}/none`), undefined);
  });
});

for (const [there, missing] of [["username", "password"], ["password", "username"]] as const) {
  Deno.test(`loadCredentials() refuses a secret without ${missing}`, async () => {
    await withFolder(async (folder) => {
      await Deno.writeTextFile(`${folder}/${there}`, "me");
      await assert.rejects(
        loadCredentials(folder),
        (error: unknown) => error instanceof ConfigError && error.message.includes(missing),
      );
    });
  });
}

Deno.test("loadCredentials() refuses a secret that cannot be read, and names it", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/username`);
    await Deno.writeTextFile(`${folder}/password`, "secret");
    await assert.rejects(
      loadCredentials(folder),
      (error: unknown) =>
        error instanceof ConfigError && error.message.includes(`${folder}/username`),
    );
  });
});
