import assert from "node:assert/strict";
import config from "../../../deno.json" with { type: "json" };
import { makeSbom } from "../../../tools/sbom.ts";

Deno.test("the bill of materials names what is compiled in, each with the hash that was locked", async () => {
  const sbom = await makeSbom();
  const names = sbom.components.map(({ name, version }) => `${name}@${version}`);
  assert(names.includes(`deno@${Deno.version.deno}`));
  for (const name of ["libp2p", "@grpc/grpc-js", "prom-client"] as const) {
    assert(names.includes(config.imports[name].slice("npm:".length)), name);
  }
  for (const { name, hashes } of sbom.components) {
    if (name === "deno") continue;
    assert.match(hashes?.[0]?.content ?? "", /^[0-9a-f]{128}$/, name);
  }
  const refs = sbom.components.map((component) => component["bom-ref"]);
  assert.equal(new Set(refs).size, refs.length);
});

Deno.test("the bill of materials leaves out what only tests use", async () => {
  const { components } = await makeSbom();
  assert.deepEqual(components.filter(({ name }) => name === "ajv"), []);
});

Deno.test("the same lock file makes the same bill of materials", async () => {
  const [one, two] = [await makeSbom(), await makeSbom()];
  assert.deepEqual(one, two);
  assert.match(
    one.serialNumber,
    /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/,
  );
});
