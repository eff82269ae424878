import assert from "node:assert/strict";
import { createTagDesk } from "../../../lib/cli/sharing.ts";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { OCI_INDEX } from "../../../lib/oci/media_types.ts";
import { createFilter } from "../../../lib/oci/filter.ts";
import { TestRegistry } from "../access/test_registry.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
const HEADERS = {
  "Docker-Content-Digest": DIGEST,
  "Content-Type": OCI_INDEX,
  "Content-Length": "500",
};

interface Setup {
  /** Whether the operator lists the registry. */
  readonly isListed?: boolean;
  /** A file below containerd's `config_path`. */
  readonly file?: (authority: string) => string;
  readonly filters?: readonly RegExp[];
  readonly privatePrefix?: string;
}

/** Lets a desk ask a real registry, and says whether it did and was told. */
async function isAsked(setup: Setup, tag = "v1"): Promise<boolean> {
  await using registry = await TestRegistry.start((_request, response) =>
    void response.writeHead(200, HEADERS).end()
  );
  const { authority } = registry;
  const configPath = await Deno.makeTempDir();
  try {
    if (setup.file !== undefined) {
      const folder = `${configPath}/${setup.file(authority)}`;
      await Deno.mkdir(folder, { recursive: true });
      await Deno.writeTextFile(`${folder}/hosts.toml`, `server = "http://${authority}"\n`);
    }
    const url = `http://${authority}`;
    const registries = setup.isListed ? [{ host: authority, url }] : [];
    const prefix = setup.privatePrefix;
    using open = createTagDesk({ registries, configPath }, {
      filter: createFilter({ mirroredRegistries: [], registryFilters: setup.filters ?? [] }),
      privateRegistries: prefix === undefined ? [] : [{ host: authority, url, prefix }],
      log: silentLogger,
      events: {},
    });
    const descriptor = await open.desk.resolve({
      registry: authority,
      repository: "team/app",
      tag,
    });
    const wasAsked = registry.requests.length > 0;
    assert.equal(descriptor?.digest, wasAsked ? DIGEST : undefined);
    return wasAsked;
  } finally {
    await Deno.remove(configPath, { recursive: true });
  }
}

Deno.test("createTagDesk() asks registries that are listed, or have a folder of containerd's", async () => {
  assert.equal(await isAsked({ isListed: true }), true);
  assert.equal(await isAsked({ file: (authority) => authority }), true);
  assert.equal(await isAsked({ file: (authority) => authority.replace(/:(\d+)$/, "_$1_") }), true);
  assert.equal(await isAsked({ file: (authority) => `_backup/${authority}` }), true);
});

Deno.test("createTagDesk() asks no registry that only a peer names", async () => {
  assert.equal(await isAsked({}), false);
  assert.equal(await isAsked({ file: () => "_default" }), false);
  assert.equal(await isAsked({ file: () => "_backup/_default" }), false);
});

Deno.test("createTagDesk() asks about nothing that is not mirrored, or private", async () => {
  const filters = [/:latest$/];
  assert.equal(await isAsked({ isListed: true, filters }, "latest"), false);
  assert.equal(await isAsked({ isListed: true, filters }), true);
  assert.equal(await isAsked({ isListed: true, privatePrefix: "team" }), false);
  assert.equal(await isAsked({ isListed: true, privatePrefix: "other" }), true);
});
