import assert from "node:assert/strict";
import { runConfiguration } from "../../../lib/cli/configuration.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { configurationOf, withFolder } from "./configuration_folder.ts";
import { recordingLog } from "./recording_log.ts";

const PLAIN = `[host.'http://127.0.0.1:5000']
capabilities = ['pull']
dial_timeout = '200ms'`;

Deno.test("runConfiguration() writes hosts.toml without credentials where there is no secret", async () => {
  await withFolder(async (folder) => {
    await runConfiguration(configurationOf(folder), recordingLog().log);
    assert.equal(await Deno.readTextFile(`${folder}/certs.d/_default/hosts.toml`), PLAIN);
  });
});

Deno.test("runConfiguration() writes the credentials of the mounted secret", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/auth`);
    await Deno.writeTextFile(`${folder}/auth/username`, "hello");
    await Deno.writeTextFile(`${folder}/auth/password`, "world");
    await runConfiguration(configurationOf(folder), recordingLog().log);
    assert.equal(
      await Deno.readTextFile(`${folder}/certs.d/_default/hosts.toml`),
      `${PLAIN}
[host.'http://127.0.0.1:5000'.header]
Authorization = 'Basic aGVsbG86d29ybGQ='`,
    );
  });
});

Deno.test("runConfiguration() warns of IPv6 addresses, which containerd 1.x cannot read", async () => {
  await withFolder(async (folder) => {
    const warningsFor = async (target: string) => {
      const { log, lines } = recordingLog();
      await runConfiguration({ ...configurationOf(folder), mirrorTargets: [target] }, log);
      return lines.filter(({ level }) => level === "WARN").map(({ targets }) => targets);
    };
    assert.deepEqual(await warningsFor("http://[fd00::7]:5000"), ["http://[fd00::7]:5000"]);
    assert.deepEqual(await warningsFor("http://node-7:5000"), []);
  });
});

Deno.test("runConfiguration() refuses half a secret before it changes anything", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/auth`);
    await Deno.writeTextFile(`${folder}/auth/username`, "hello");
    const run = runConfiguration(configurationOf(folder), recordingLog().log);
    await assert.rejects(
      run,
      (error: unknown) => error instanceof ConfigError && error.message.includes("password"),
    );
    await assert.rejects(Deno.stat(`${folder}/certs.d`), Deno.errors.NotFound);
  });
});
