import assert from "node:assert/strict";
import { ConfigError } from "../../../lib/errors.ts";
import {
  BACKUP,
  cleanUpMirrorConfiguration,
  MARKER,
  type MirrorConfigurationOptions,
  writeMirrorConfiguration,
} from "../../../lib/hosts/mirror_configuration.ts";
import { createLogger } from "../../../lib/observability/logger.ts";
import { killedAfter } from "./killed_after.ts";
import { readFiles, snapshot, writeFiles } from "./snapshot.ts";

const OURS = `[host.'http://127.0.0.1:5000']
capabilities = ['pull', 'resolve']
dial_timeout = '200ms'`;
const DOCKER_IO = { url: "https://docker.io", host: "docker.io" };
const DOCKER_IO_TEXT = `server = 'https://registry-1.docker.io'\n\n${OURS}`;
const FOO_BAR = { url: "http://foo.bar:5000", host: "foo.bar:5000" };
const FOO_BAR_TEXT = `server = 'http://foo.bar:5000'\n\n${OURS}`;

/** Warns and errors of the runs under test. */
const lines: string[] = [];
const log = createLogger({ level: "WARN", write: (line) => lines.push(line) });

function options(
  configPath: string,
  overrides: Partial<MirrorConfigurationOptions> = {},
): MirrorConfigurationOptions {
  return {
    configPath,
    mirroredRegistries: [],
    mirrorTargets: ["http://127.0.0.1:5000"],
    resolveTags: true,
    prependExisting: false,
    log,
    ...overrides,
  };
}

/** Runs a test on a folder that has what operators have. */
async function withFolder(run: (configPath: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(`${folder}/certs.d`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const OPERATOR_FILES = {
  "docker.io/hosts.toml": `# ours since 2019\n[host."http://mirror.example"]\nca = "ca.crt"\n`,
  "docker.io/ca.crt": "certificate",
  "docker.io/nested/deep.pem": "nested",
  "ghcr.io/hosts.toml": `server = "https://ghcr.io"\n`,
  "notes.txt": "call Alice",
};

/** Files, modes, links whole and broken: what cleanup must bring back exactly. */
async function fillAsOperator(configPath: string): Promise<void> {
  await writeFiles(configPath, OPERATOR_FILES);
  await Deno.chmod(`${configPath}/docker.io/ca.crt`, 0o400);
  await Deno.chmod(`${configPath}/docker.io/nested`, 0o2750);
  await Deno.chmod(`${configPath}/ghcr.io`, 0o700);
  await Deno.mkdir(`${configPath}/empty.io`);
  await Deno.symlink("/nowhere/at/all", `${configPath}/broken.io`);
  await Deno.symlink("../nowhere.crt", `${configPath}/docker.io/broken.crt`);
  await Deno.symlink("ghcr.io", `${configPath}/linked.io`);
  const time = new Date("2020-02-02T02:02:02Z");
  for (const path of ["docker.io/hosts.toml", "docker.io/nested", "docker.io", "notes.txt"]) {
    await Deno.utime(`${configPath}/${path}`, time, time);
  }
}

/** Text of the hosts.toml files outside of the backup. */
async function hostsFiles(configPath: string): Promise<Record<string, string>> {
  const files = Object.entries(await readFiles(configPath));
  return Object.fromEntries(
    files.filter(([path]) => path.endsWith("/hosts.toml") && !path.startsWith(BACKUP)),
  );
}

const MODES: Record<string, Partial<MirrorConfigurationOptions>> = {
  "all registries": {},
  "all registries, prepending": { prependExisting: true },
  "some registries": {
    mirroredRegistries: [DOCKER_IO, FOO_BAR, { url: "https://linked.io", host: "linked.io" }],
  },
  "some registries, prepending": {
    mirroredRegistries: [DOCKER_IO, FOO_BAR, { url: "https://broken.io", host: "broken.io" }],
    prependExisting: true,
  },
};

Deno.test("writeMirrorConfiguration() makes the folder and writes _default for all", async () => {
  await withFolder(async (configPath) => {
    await writeMirrorConfiguration(options(configPath));
    assert.deepEqual(await hostsFiles(configPath), { "_default/hosts.toml": OURS });
    assert.equal((await Deno.stat(`${configPath}/_default/hosts.toml`)).mode! & 0o777, 0o644);
    assert.ok((await Deno.stat(`${configPath}/${BACKUP}`)).isDirectory);
  });
});

Deno.test("writeMirrorConfiguration() writes one folder a registry", async () => {
  await withFolder(async (configPath) => {
    const mirroredRegistries = [DOCKER_IO, FOO_BAR];
    await writeMirrorConfiguration(options(configPath, { mirroredRegistries }));
    assert.deepEqual(await hostsFiles(configPath), {
      "docker.io/hosts.toml": DOCKER_IO_TEXT,
      "foo.bar:5000/hosts.toml": FOO_BAR_TEXT,
    });
  });
});

Deno.test("a wildcard beside a registry writes both", async () => {
  await withFolder(async (configPath) => {
    const mirroredRegistries = [DOCKER_IO, { host: "_default" }];
    await writeMirrorConfiguration(options(configPath, { mirroredRegistries }));
    assert.deepEqual(await hostsFiles(configPath), {
      "_default/hosts.toml": OURS,
      "docker.io/hosts.toml": DOCKER_IO_TEXT,
    });
  });
});

Deno.test("all registries: the operator's folders are set aside, with a warning for each", async () => {
  await withFolder(async (configPath) => {
    await fillAsOperator(configPath);
    lines.length = 0;
    await writeMirrorConfiguration(options(configPath));
    assert.deepEqual(await hostsFiles(configPath), { "_default/hosts.toml": OURS });
    assert.equal(lines.length, 4);
    for (const name of ["docker.io", "empty.io", "ghcr.io", "linked.io"]) {
      assert.ok(lines.some((line) => line.includes(`${configPath}/${name}"`)), name);
    }
    assert.equal(await Deno.readTextFile(`${configPath}/notes.txt`), "call Alice");
    const backup = await readFiles(`${configPath}/${BACKUP}`);
    assert.deepEqual(backup, OPERATOR_FILES);
  });
});

Deno.test("some registries: all other folders and files stay as they are", async () => {
  await withFolder(async (configPath) => {
    await fillAsOperator(configPath);
    const before = await snapshot(configPath);
    await writeMirrorConfiguration(options(configPath, { mirroredRegistries: [DOCKER_IO] }));
    const after = await snapshot(configPath);
    for (const [path, entry] of Object.entries(before)) {
      if (path === "docker.io" || path === "docker.io/hosts.toml") continue;
      assert.equal(after[path], entry, path);
    }
    assert.equal(await Deno.readTextFile(`${configPath}/docker.io/hosts.toml`), DOCKER_IO_TEXT);
  });
});

Deno.test("prepending to all registries puts ours into each of the operator's folders", async () => {
  await withFolder(async (configPath) => {
    await fillAsOperator(configPath);
    await writeMirrorConfiguration(options(configPath, { prependExisting: true }));
    const ghcr = `server = "https://ghcr.io"\n\n${OURS}`;
    assert.deepEqual(await hostsFiles(configPath), {
      "_default/hosts.toml": OURS,
      "docker.io/hosts.toml": `${OURS}\n\n[host."http://mirror.example"]\nca = "ca.crt"`,
      "empty.io/hosts.toml": OURS,
      "ghcr.io/hosts.toml": ghcr,
      "linked.io/hosts.toml": ghcr,
    });
    assert.equal(await Deno.readTextFile(`${configPath}/docker.io/ca.crt`), "certificate");
  });
});

Deno.test("a linked registry folder is copied, never written through", async () => {
  await withFolder(async (configPath) => {
    const elsewhere = `${configPath}/../elsewhere`;
    await writeFiles(elsewhere, { "hosts.toml": "", "ca.crt": "certificate" });
    await Deno.symlink("../elsewhere", `${configPath}/docker.io`);
    await writeMirrorConfiguration(options(configPath, { mirroredRegistries: [DOCKER_IO] }));
    assert.deepEqual(await readFiles(elsewhere), { "hosts.toml": "", "ca.crt": "certificate" });
    assert.deepEqual(await readFiles(`${configPath}/docker.io`), {
      "ca.crt": "certificate",
      "hosts.toml": DOCKER_IO_TEXT,
    });
  });
});

Deno.test("a linked hosts.toml is replaced, never written through", async () => {
  await withFolder(async (configPath) => {
    await writeFiles(configPath, { "../shared.toml": "shared" });
    await Deno.mkdir(`${configPath}/docker.io`, { recursive: true });
    await Deno.symlink("../../shared.toml", `${configPath}/docker.io/hosts.toml`);
    await writeMirrorConfiguration(options(configPath, { mirroredRegistries: [DOCKER_IO] }));
    assert.equal(await Deno.readTextFile(`${configPath}/../shared.toml`), "shared");
    assert.equal(await Deno.readTextFile(`${configPath}/docker.io/hosts.toml`), DOCKER_IO_TEXT);
  });
});

Deno.test("broken links and files in the place of a registry's folder give way and come back", async () => {
  await withFolder(async (configPath) => {
    await Deno.mkdir(configPath);
    await Deno.symlink("/nowhere", `${configPath}/docker.io`);
    await Deno.writeTextFile(`${configPath}/foo.bar:5000`, "a file");
    const before = await snapshot(configPath);
    const mirroredRegistries = [DOCKER_IO, FOO_BAR];
    for (const prependExisting of [false, true]) {
      await writeMirrorConfiguration(options(configPath, { mirroredRegistries, prependExisting }));
      assert.deepEqual(await hostsFiles(configPath), {
        "docker.io/hosts.toml": DOCKER_IO_TEXT,
        "foo.bar:5000/hosts.toml": FOO_BAR_TEXT,
      });
    }
    await cleanUpMirrorConfiguration(configPath, log);
    assert.deepEqual(await snapshot(configPath), before);
  });
});

Deno.test("the folder <host>_<port>_, which containerd prefers, is used where there is one", async () => {
  await withFolder(async (configPath) => {
    await writeFiles(configPath, { "foo.bar_5000_/hosts.toml": `[host."http://a"]\nca = "x"` });
    const mirroredRegistries = [FOO_BAR];
    await writeMirrorConfiguration(
      options(configPath, { mirroredRegistries, prependExisting: true }),
    );
    assert.deepEqual(await hostsFiles(configPath), {
      "foo.bar_5000_/hosts.toml": `${FOO_BAR_TEXT}\n\n[host."http://a"]\nca = "x"`,
    });
  });
});

Deno.test("a hosts.toml that is not TOML is named, and nothing is changed", async () => {
  await withFolder(async (configPath) => {
    await writeFiles(configPath, { "docker.io/hosts.toml": "= broken [" });
    const before = await snapshot(configPath);
    await assert.rejects(
      writeMirrorConfiguration(options(configPath, { prependExisting: true })),
      (error: unknown) =>
        error instanceof ConfigError &&
        error.message.includes(`${configPath}/docker.io/hosts.toml`),
    );
    assert.deepEqual(await snapshot(configPath), before);
    await writeMirrorConfiguration(options(configPath, { mirroredRegistries: [DOCKER_IO] }));
    await cleanUpMirrorConfiguration(configPath, log);
    assert.deepEqual(await snapshot(configPath), before);
  });
});

for (const [mode, overrides] of Object.entries(MODES)) {
  Deno.test(`${mode}: a second run changes nothing`, async () => {
    await withFolder(async (configPath) => {
      await fillAsOperator(configPath);
      await writeMirrorConfiguration(options(configPath, overrides));
      const first = await snapshot(configPath);
      await writeMirrorConfiguration(options(configPath, overrides));
      assert.deepEqual(await snapshot(configPath), first);
    });
  });

  Deno.test(`${mode}: cleanup brings back all bytes, modes, times and links`, async () => {
    await withFolder(async (configPath) => {
      await fillAsOperator(configPath);
      const before = await snapshot(configPath);
      await writeMirrorConfiguration(options(configPath, overrides));
      assert.notDeepEqual(await snapshot(configPath), before);
      await cleanUpMirrorConfiguration(configPath, log);
      assert.deepEqual(await snapshot(configPath), before);
      await cleanUpMirrorConfiguration(configPath, log);
      assert.deepEqual(await snapshot(configPath), before);
    });
  });

  Deno.test(`${mode}: killed at any point, a rerun ends as an undisturbed run does`, async () => {
    let kills = 0;
    for (let killed = true; killed; kills += 1) {
      await withFolder(async (configPath) => {
        await fillAsOperator(configPath);
        const before = await snapshot(configPath);
        const write = () => writeMirrorConfiguration(options(configPath, overrides));
        killed = await killedAfter(kills, write);
        await killedAfter(kills * 7 % 31, write); // and once more while it mends
        await write();
        assert.deepEqual(await readFiles(`${configPath}/${BACKUP}`), OPERATOR_FILES);
        const files = await readFiles(configPath);
        await cleanUpMirrorConfiguration(configPath, log);
        assert.deepEqual(await snapshot(configPath), before, `killed after ${kills} changes`);
        await write();
        assert.deepEqual(await readFiles(configPath), files, `killed after ${kills} changes`);
      });
    }
    assert.ok(kills > 20);
  });

  Deno.test(`${mode}: killed at any point, cleanup brings back the original`, async () => {
    let kills = 0;
    for (let killed = true; killed; kills += 1) {
      await withFolder(async (configPath) => {
        await fillAsOperator(configPath);
        const before = await snapshot(configPath);
        killed = await killedAfter(
          kills,
          () => writeMirrorConfiguration(options(configPath, overrides)),
        );
        await cleanUpMirrorConfiguration(configPath, log);
        assert.deepEqual(await snapshot(configPath), before, `killed after ${kills} changes`);
      });
    }
    assert.ok(kills > 20);
  });

  Deno.test(`${mode}: a cleanup that was killed at any point can be repeated`, async () => {
    let kills = 0;
    for (let killed = true; killed; kills += 1) {
      await withFolder(async (configPath) => {
        await fillAsOperator(configPath);
        const before = await snapshot(configPath);
        await writeMirrorConfiguration(options(configPath, overrides));
        killed = await killedAfter(kills, () => cleanUpMirrorConfiguration(configPath, log));
        await cleanUpMirrorConfiguration(configPath, log);
        assert.deepEqual(await snapshot(configPath), before, `killed after ${kills} changes`);
      });
    }
    assert.ok(kills > 5);
  });
}

Deno.test("other options are applied to the operator's original, not to our own output", async () => {
  await withFolder(async (configPath) => {
    await fillAsOperator(configPath);
    const before = await snapshot(configPath);
    const mirroredRegistries = [DOCKER_IO];
    for (const port of [5000, 6000]) {
      const mirrorTargets = [`http://127.0.0.1:${port}`];
      await writeMirrorConfiguration(
        options(configPath, { mirroredRegistries, mirrorTargets, prependExisting: true }),
      );
      const text = await Deno.readTextFile(`${configPath}/docker.io/hosts.toml`);
      assert.deepEqual([...text.matchAll(/\[host\.['"](.*)['"]\]/g)].map(([, url]) => url), [
        `http://127.0.0.1:${port}`,
        "http://mirror.example",
      ]);
    }
    await writeMirrorConfiguration(options(configPath));
    assert.deepEqual(await hostsFiles(configPath), { "_default/hosts.toml": OURS });
    await cleanUpMirrorConfiguration(configPath, log);
    assert.deepEqual(await snapshot(configPath), before);
  });
});

Deno.test("a hosts.toml of ours that somebody changed is written again", async () => {
  await withFolder(async (configPath) => {
    await writeMirrorConfiguration(options(configPath));
    await Deno.writeTextFile(`${configPath}/_default/hosts.toml`, "changed");
    await writeMirrorConfiguration(options(configPath));
    assert.deepEqual(await hostsFiles(configPath), { "_default/hosts.toml": OURS });
  });
});

Deno.test("cleanup keeps what the operator added later, and leaves nothing of ours", async () => {
  await withFolder(async (configPath) => {
    await writeMirrorConfiguration(options(configPath));
    await writeFiles(configPath, { "new.io/hosts.toml": "new" });
    await cleanUpMirrorConfiguration(configPath, log);
    assert.deepEqual(await readFiles(configPath), { "new.io/hosts.toml": "new" });
    assert.deepEqual(Object.keys(await snapshot(configPath)), ["new.io", "new.io/hosts.toml"]);
  });
});

Deno.test("cleanup without a backup changes nothing, not even without a folder", async () => {
  await withFolder(async (configPath) => {
    await cleanUpMirrorConfiguration(configPath, log);
    await fillAsOperator(configPath);
    const before = await snapshot(configPath);
    await cleanUpMirrorConfiguration(configPath, log);
    assert.deepEqual(await snapshot(configPath), before);
  });
});

/** What Spegel leaves: everything outside of _backup is its own. */
const SPEGEL_FILES = {
  [`${BACKUP}/docker.io/hosts.toml`]: "original",
  "docker.io/hosts.toml": "of Spegel",
  "quay.io/hosts.toml": "of Spegel",
};

Deno.test("cleanup restores Spegel's backup, too", async () => {
  await withFolder(async (configPath) => {
    await writeFiles(configPath, SPEGEL_FILES);
    await cleanUpMirrorConfiguration(configPath, log);
    assert.deepEqual(await readFiles(configPath), { "docker.io/hosts.toml": "original" });
  });
});

Deno.test("writing over Spegel's configuration keeps the original that Spegel backed up", async () => {
  await withFolder(async (configPath) => {
    await writeFiles(configPath, SPEGEL_FILES);
    await writeMirrorConfiguration(options(configPath, { mirroredRegistries: [FOO_BAR] }));
    const { [MARKER]: _, ...files } = await readFiles(configPath);
    assert.deepEqual(files, {
      [`${BACKUP}/docker.io/hosts.toml`]: "original",
      "docker.io/hosts.toml": "original",
      "foo.bar:5000/hosts.toml": FOO_BAR_TEXT,
    });
    await cleanUpMirrorConfiguration(configPath, log);
    assert.deepEqual(await readFiles(configPath), { "docker.io/hosts.toml": "original" });
  });
});
