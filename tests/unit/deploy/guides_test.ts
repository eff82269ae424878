import assert from "node:assert/strict";
import Ajv from "ajv";
import { parse as parseToml } from "smol-toml";
import { parseDocument } from "yaml";

const guides = new URL("../../../deploy/guides/", import.meta.url);
const chart = new URL("../../../deploy/charts/kagami/", import.meta.url);
const schema = JSON.parse(await Deno.readTextFile(new URL("values.schema.json", chart)));
const validate = new Ajv.default({ allErrors: true, strict: false }).compile(schema);
const names = await Array.fromAsync(Deno.readDir(guides), ({ name }) => name);
const pages = names.filter((name) => name !== "README.md");

function read(name: string): Promise<string> {
  return Deno.readTextFile(new URL(name, guides));
}

function blocks(text: string, language: string): string[] {
  const pattern = new RegExp(`^ *\`\`\`${language}\n([^]*?)^ *\`\`\``, "gm");
  return Array.from(text.matchAll(pattern), ([, block = ""]) => block);
}

for (const name of pages) {
  Deno.test(`guide ${name}: values are ones of the chart, YAML and TOML can be read`, async () => {
    const text = await read(name);
    const yaml = blocks(text, "yaml");
    for (const block of yaml) {
      const document = parseDocument(block);
      assert.deepEqual(document.errors, [], block);
      if (!block.startsWith("# values.yaml\n")) continue;
      assert(validate(document.toJS()), `${JSON.stringify(validate.errors)}\n${block}`);
    }
    for (const block of blocks(text, "toml")) parseToml(block);
    assert(yaml.length > 0);
  });

  Deno.test(`guide ${name} has its parts, and says what was not tried`, async () => {
    const text = await read(name);
    for (const part of ["## See that it works", "## Undo", "ot tried"]) {
      assert(text.includes(part), part);
    }
    assert((await read("README.md")).includes(`(${name})`), "is listed");
  });

  Deno.test(`guide ${name} names the ports of the chart`, async () => {
    const { hostPort, nodePort } = schema.properties.service.properties.registry.properties;
    for (const [, port] of (await read(name)).matchAll(/http:\/\/[^\s"/]*:(\d+)/g)) {
      assert([hostPort.default, nodePort.default].includes(Number(port)), `${port}`);
    }
  });
}
