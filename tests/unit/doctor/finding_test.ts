import assert from "node:assert/strict";
import { CHECKS } from "../../../lib/doctor/checks/all.ts";
import { FINDINGS, reporter } from "../../../lib/doctor/finding.ts";

const root = new URL("../../../", import.meta.url);

async function sources(): Promise<string> {
  const folder = new URL("lib/doctor/", root);
  const texts: string[] = [];
  for (const path of [folder, new URL("checks/", folder)]) {
    for await (const { name, isFile } of Deno.readDir(path)) {
      if (isFile && name !== "finding.ts") texts.push(await Deno.readTextFile(new URL(name, path)));
    }
  }
  return texts.join("\n");
}

Deno.test("every finding is made by a check", async () => {
  const text = await sources();
  for (const code of Object.keys(FINDINGS)) assert.ok(text.includes(`"${code}"`), code);
});

Deno.test("the page on troubleshooting explains every finding where its symptom is, and lists it", async () => {
  const page = await Deno.readTextFile(new URL("docs/troubleshooting.md", root));
  const [bySymptom = "", list = ""] = page.split("## All findings");
  for (const [code, { meaning, remedy }] of Object.entries(FINDINGS)) {
    assert.ok(bySymptom.includes(`\`${code}\``), `${code} has no symptom`);
    assert.ok(list.includes(`| \`${code}\``), `${code} is not listed`);
    assert.ok(list.includes(meaning), `what ${code} means`);
    assert.ok(list.includes(remedy.slice(1)), `remedy of ${code}`);
  }
});

Deno.test("the page on troubleshooting names no finding that there is not", async () => {
  const page = await Deno.readTextFile(new URL("docs/troubleshooting.md", root));
  const known = new Set(Object.keys(FINDINGS));
  const prefixes = new Set([...known].map((code) => code.split("-")[0]));
  const named = [...page.matchAll(/`([a-z]+(?:-[a-z]+)+)`/g)].map(([, name]) => name ?? "");
  const codes = named.filter((name) => prefixes.has(name.split("-")[0]));
  assert.ok(codes.length > known.size);
  for (const code of codes) assert.ok(known.has(code), code);
});

Deno.test("checks have names of their own", () => {
  assert.equal(new Set(CHECKS.map(({ name }) => name)).size, CHECKS.length);
});

Deno.test("reporter() takes level and remedy from the list", () => {
  const { ok, found } = reporter("peers");
  assert.deepEqual(ok("well"), { check: "peers", level: "ok", what: "well" });
  const { level, remedy } = FINDINGS["peer-lost"];
  const expected = { check: "peers", level, code: "peer-lost", what: "gone", remedy };
  assert.deepEqual(found("peer-lost", "gone"), expected);
});
