import assert from "node:assert/strict";
import { NotFoundError, UnavailableError } from "../../../lib/errors.ts";
import { LayoutStore } from "../../../lib/store/layout/layout_store.ts";
import { LayoutFolder } from "../support/layout_folder.ts";
import { makeImage, testStoreCompliance } from "./compliance.ts";

testStoreCompliance("LayoutStore", async () => {
  const folder = await LayoutFolder.create();
  return {
    store: new LayoutStore({ path: folder.path }),
    add: (reference, image) => folder.add(reference, image),
    remove: (reference) => folder.remove(reference),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
});

Deno.test("LayoutStore names bare tags after its repository", async () => {
  await using folder = await LayoutFolder.create();
  const image = makeImage(1);
  await folder.add("v1", image);
  const named = new LayoutStore({ path: folder.path, repository: "docker.io/team/app" });
  assert.equal(await named.resolve("docker.io/team/app:v1"), image.manifest.digest);
  const nameless = new LayoutStore({ path: folder.path });
  await assert.rejects(nameless.resolve("docker.io/team/app:v1"), NotFoundError);
  const kinds = (await nameless.list()).map((entry) => entry.kind).sort();
  assert.deepEqual(kinds, ["content", "content", "content", "image"]);
});

Deno.test("LayoutStore tells what is wrong with a folder that is no layout", async () => {
  const store = new LayoutStore({ path: "/nowhere/at/all" });
  await assert.rejects(store.list(), (error: Error) => {
    assert(error instanceof UnavailableError);
    assert.match(error.message, /\/nowhere\/at\/all\/index\.json.*skopeo copy/s);
    return true;
  });
  assert.equal((await store.status()).ready, false);
});

Deno.test("LayoutStore.list() refuses an index.json that is half written", async () => {
  await using folder = await LayoutFolder.create();
  await Deno.writeTextFile(`${folder.path}/index.json`, '{"manifests": [{"dig');
  await assert.rejects(new LayoutStore({ path: folder.path }).list(), UnavailableError);
});

Deno.test("LayoutStore.watch() notices a layout that comes later", async () => {
  await using folder = await LayoutFolder.create();
  const path = `${folder.path}/later`;
  const abort = new AbortController();
  const events = new LayoutStore({ path }).watch(abort.signal)[Symbol.asyncIterator]();
  assert.deepEqual((await events.next()).value, { type: "reset" });
  const next = events.next();
  await Deno.mkdir(path);
  assert.deepEqual((await next).value, { type: "changed" });
  abort.abort();
  await events.return?.();
});
