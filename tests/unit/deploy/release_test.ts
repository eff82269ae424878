import assert from "node:assert/strict";
import { parse } from "yaml";

const root = new URL("../../../", import.meta.url);
const WORKFLOWS = ["ci.yaml", "release.yaml"];

function read(path: string): Promise<string> {
  return Deno.readTextFile(new URL(path, root));
}

for (const name of WORKFLOWS) {
  Deno.test(`${name} takes actions of others by full digest, with their version beside it`, async () => {
    const text = await read(`.github/workflows/${name}`);
    const uses = Array.from(text.matchAll(/uses: (.*)$/gm), ([, action = ""]) => action);
    assert(uses.length > 0);
    for (const action of uses) {
      if (action.startsWith("./")) continue;
      assert.match(action, /^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
    }
  });

  Deno.test(`${name} may only read, but for jobs that say what else they need`, async () => {
    const { permissions, jobs } = parse(await read(`.github/workflows/${name}`));
    assert.deepEqual(permissions, { contents: "read" });
    const writing = Object.entries<{ permissions?: object }>(jobs)
      .filter(([, job]) => job.permissions !== undefined).map(([job]) => job);
    assert.deepEqual(writing, name === "release.yaml" ? ["binaries", "image-and-chart"] : []);
  });

  Deno.test(`${name} puts nothing that a stranger can choose into a shell`, async () => {
    const { jobs } = parse(await read(`.github/workflows/${name}`));
    type Job = { readonly steps?: readonly { readonly run?: string }[] };
    for (const { steps = [] } of Object.values<Job>(jobs)) {
      // Values come in through variables, which a shell does not read as code.
      for (const { run = "" } of steps) assert.equal(run.includes("${{"), false, run);
    }
  });
}

Deno.test("the same Deno is used everywhere", async () => {
  const versions = new Set<string>();
  const patterns = [
    /deno-version: (\S+)/g,
    /denoland\/deno:debian-(\S+)/g,
    /deno@(\d+\.\d+\.\d+)/g,
  ];
  const files = [
    "Dockerfile",
    "README.md",
    ".ci/run",
    ...WORKFLOWS.map((name) => `.github/workflows/${name}`),
  ];
  for (const file of files) {
    const text = await read(file);
    const found = patterns.flatMap((pattern) =>
      Array.from(text.matchAll(pattern), ([, version = ""]) => version)
    );
    assert(found.length > 0, file);
    for (const version of found) versions.add(version);
  }
  assert.equal(versions.size, 1, [...versions].join());
});

Deno.test("the release finds the lines of values.yaml that name the image", async () => {
  const release = await read(".github/workflows/release.yaml");
  const values = await read("deploy/charts/kagami/values.yaml");
  const lines = Array.from(
    release.matchAll(/sed -i "s\|(\^[^|]*)\|/g),
    ([, pattern = ""]) => pattern,
  );
  assert.deepEqual(lines, ["^  repository: .*", "^  digest: .*"]);
  for (const line of lines) assert.equal(values.match(new RegExp(line, "gm"))?.length, 1, line);
});
