/**
 * What `deno task compile` would embed. The compiler's runtime has to be downloaded, so that the graph is what can be
 * checked anywhere.
 *
 * @module
 */
import assert from "node:assert/strict";
import { programPermissionFlags } from "../../lib/cli/permissions.ts";
import { moduleGraph } from "../../tools/module_graph.ts";
import { RUNTIME_ENVIRONMENT } from "../integration/harness/shipped_runtime.ts";

const root = new URL("../../", import.meta.url);

/** Modules that only tests use: stand-ins for the real store and router. */
const FOR_TESTS = ["lib/routing/memory_router.ts", "lib/store/memory_store.ts"];

/** Packages that the program does without: only tests and tools use them. */
const DEVELOPMENT_PACKAGES = ["ajv", "axe-core", "playwright-core", "yaml"];

async function sourcesBelow(folder: URL): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) found.push(...await sourcesBelow(new URL(`${name}/`, folder)));
    else if (/\.(ts|js|css|html|svg)$/.test(name)) found.push(new URL(name, folder).href);
  }
  return found;
}

Deno.test("the compiled program holds every module and file of lib, and none from the network", async () => {
  const { modules, npmPackages } = await moduleGraph("main.ts");
  assert.deepEqual(modules.filter(({ error }) => error !== undefined), []);
  const specifiers = new Set(modules.map(({ specifier }) => specifier));
  const expected = (await sourcesBelow(new URL("lib/", root)))
    .filter((href) => !FOR_TESTS.some((path) => href === new URL(path, root).href));
  assert.deepEqual(expected.filter((href) => !specifiers.has(href)), []);
  const schemes = new Set([...specifiers].map((specifier) => specifier.split(":")[0]));
  assert.deepEqual([...schemes].filter((scheme) => !["file", "npm", "node"].includes(scheme!)), []);
  const config = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  const embedded = Object.keys(npmPackages);
  for (const [name, specifier] of Object.entries<string>(config.imports)) {
    if (DEVELOPMENT_PACKAGES.includes(name)) continue;
    const wanted = specifier.slice("npm:".length);
    assert(embedded.some((found) => found.startsWith(wanted)), `${wanted} is embedded`);
  }
});

Deno.test("the compile task asks for no permission that the program does not need", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  for (const task of ["compile", "start", "demo"]) {
    const flags = tasks[task].match(/--(?:allow|deny)-\S+|--no-prompt|-A\b/g);
    assert.deepEqual(flags, programPermissionFlags(), task);
  }
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", ...programPermissionFlags(), "main.ts", "version"],
    cwd: root,
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  assert.match(new TextDecoder().decode(stdout), /^kagami version /);
});

Deno.test("the settings for memory are the same however the program is started", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  const v8Flags = (task: string) => task.match(/--v8-flags=\S+/)?.[0];
  assert.notEqual(v8Flags(tasks.start), undefined);
  assert.equal(v8Flags(tasks.compile), v8Flags(tasks.start));
  const dockerfile = await Deno.readTextFile(new URL("Dockerfile", root));
  assert(RUNTIME_ENVIRONMENT.length > 0);
  assert(
    dockerfile.includes(`\nENV ${RUNTIME_ENVIRONMENT.join(" ")}\n`),
    "the image sets them, too",
  );
});
