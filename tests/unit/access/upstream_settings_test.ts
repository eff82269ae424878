import assert from "node:assert/strict";
import { rootCertificates } from "node:tls";
import { SETTINGS_TTL_MS, UpstreamSettings } from "../../../lib/access/upstream_settings.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { recordingLog } from "../cli/recording_log.ts";

/** Settings over files, by their path below containerd's `config_path`. */
async function withFiles(
  files: Readonly<Record<string, string>>,
  run: (settings: UpstreamSettings, fixture: Fixture) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const fixture = new Fixture(folder);
    for (const [path, text] of Object.entries(files)) await fixture.write(path, text);
    await run(fixture.settings, fixture);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

class Fixture {
  now = 0;
  readonly recording = recordingLog();
  readonly settings: UpstreamSettings;

  constructor(readonly folder: string) {
    this.settings = new UpstreamSettings({
      configPath: `${folder}/certs.d`,
      urlOf: (registry) => registry === "registry.test:5000" ? `http://${registry}` : undefined,
      log: this.recording.log,
      now: () => this.now,
    });
  }

  async write(path: string, text: string): Promise<void> {
    const full = `${this.folder}/certs.d/${path}`;
    await Deno.mkdir(full.slice(0, full.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(full, text);
  }
}

Deno.test("UpstreamSettings goes by the registry's name where there are no files", async () => {
  await withFiles({}, async (settings) => {
    const bases = {
      "ghcr.io": "https://ghcr.io/v2",
      "registry.test:5000": "http://registry.test:5000/v2",
    };
    for (const [registry, base] of Object.entries(bases)) {
      assert.deepEqual(await settings.of(registry), { base, skipsVerification: false });
    }
  });
});

Deno.test("UpstreamSettings knows where docker.io really is", async () => {
  const folder = await Deno.makeTempDir();
  const { log } = recordingLog();
  const urlOf = (registry: string) => `https://${registry}`;
  const settings = new UpstreamSettings({ configPath: folder, urlOf, log });
  assert.equal((await settings.of("docker.io")).base, "https://registry-1.docker.io/v2");
  await Deno.remove(folder);
});

Deno.test("UpstreamSettings reads what the operator told containerd, before what Kagami wrote", async () => {
  const files = {
    "_backup/ghcr.io/hosts.toml": 'server = "https://cache.test/ghcr"\nskip_verify = true\n',
    "ghcr.io/hosts.toml": 'server = "https://ghcr.io"\n',
    "quay.io/hosts.toml": 'server = "https://quay.io/v2"\noverride_path = true\n',
    "_default/hosts.toml": 'server = "http://everything.test"\n',
    "registry.test_5000_/hosts.toml": '[host."http://mirror.test"]\n',
  };
  await withFiles(files, async (settings) => {
    const expected = {
      "ghcr.io": { base: "https://cache.test/ghcr/v2", skipsVerification: true },
      "quay.io": { base: "https://quay.io/v2", skipsVerification: false },
      "other.test": { base: "http://everything.test/v2", skipsVerification: false },
      "registry.test:5000": { base: "http://registry.test:5000/v2", skipsVerification: false },
    };
    for (const [registry, upstream] of Object.entries(expected)) {
      assert.deepEqual(await settings.of(registry), upstream);
    }
  });
});

Deno.test("UpstreamSettings adds the operator's certificates to those of the system", async () => {
  const files = {
    "a.test/hosts.toml": 'ca = "own.crt"\n',
    "a.test/own.crt": "own",
    "b.test/named-by-its-end.crt": "other",
    "c.test/hosts.toml": 'ca = ["/nowhere/absent.crt"]\n',
  };
  await withFiles(files, async (settings, { recording }) => {
    assert.deepEqual((await settings.of("a.test")).ca, [...rootCertificates, "own"]);
    assert.deepEqual((await settings.of("b.test")).ca, [...rootCertificates, "other"]);
    assert.equal((await settings.of("c.test")).ca, undefined);
    assert.match(JSON.stringify(recording.lines), /absent\.crt/);
  });
});

Deno.test("UpstreamSettings reads again after a while, and gives the same object for the same", async () => {
  await withFiles(
    { "a.test/hosts.toml": 'server = "https://one.test"\n' },
    async (settings, fixture) => {
      const first = await settings.of("a.test");
      await fixture.write("a.test/hosts.toml", 'server = "https://two.test"\n');
      assert.equal(await settings.of("a.test"), first);
      fixture.now = SETTINGS_TTL_MS;
      const second = await settings.of("a.test");
      assert.equal(second.base, "https://two.test/v2");
      fixture.now = 2 * SETTINGS_TTL_MS;
      assert.equal(await settings.of("a.test"), second);
    },
  );
});

Deno.test("UpstreamSettings names a file that is not TOML", async () => {
  await withFiles({ "a.test/hosts.toml": "server = " }, async (settings) => {
    await assert.rejects(
      settings.of("a.test"),
      (error) => error instanceof ConfigError && error.message.includes("a.test/hosts.toml"),
    );
  });
});
