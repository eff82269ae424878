import assert from "node:assert/strict";
import { type Libc, openLibc } from "../../../lib/net/libc.ts";
import { makeContent } from "../support/content.ts";
import { makeContentFile, openDescriptors } from "../support/content_file.ts";

const CONTENT = makeContent(100_000);

function libcHere(): Libc {
  const libc = openLibc();
  assert.ok(libc !== undefined, "the tests need Linux with glibc");
  return libc;
}

Deno.test("openLibc() finds nothing where there is no C library", () => {
  assert.equal(openLibc([]), undefined);
  assert.equal(openLibc(["/nowhere/libc.so.6", "/etc/hostname"]), undefined);
});

Deno.test({
  name: "openLibc() finds nothing without permission, and does not ask for it",
  permissions: { ffi: false },
  fn: () => assert.equal(openLibc(), undefined),
});

Deno.test("Libc.open() opens a file, and says so when there is none", async () => {
  using libc = libcHere();
  await using file = await makeContentFile(CONTENT.bytes);
  const descriptor = libc.open(file.path)!;
  assert.equal(openDescriptors(file.path), 1);
  libc.close(descriptor);
  assert.equal(openDescriptors(file.path), 0);
  assert.equal(libc.open(`${file.path}-absent`), undefined);
});

Deno.test("Libc.isFile() tells a file from another one, and from none", async () => {
  using libc = libcHere();
  await using file = await makeContentFile(CONTENT.bytes);
  await using other = await makeContentFile(CONTENT.bytes);
  const descriptor = libc.open(file.path)!;
  assert.equal(libc.isFile(descriptor, await Deno.stat(file.path)), true);
  assert.equal(libc.isFile(descriptor, await Deno.stat(other.path)), false);
  libc.close(descriptor);
  assert.equal(libc.isFile(-1, await Deno.stat(file.path)), false);
});

Deno.test("Libc.peerPort() knows only connected sockets", async () => {
  using libc = libcHere();
  await using file = await makeContentFile(CONTENT.bytes);
  const descriptor = libc.open(file.path)!;
  assert.equal(libc.peerPort(descriptor), undefined);
  assert.equal(libc.peerPort(-1), undefined);
  libc.close(descriptor);
});

Deno.test("Libc.sendfile() tells of nothing sent where it fails", async () => {
  using libc = libcHere();
  await using file = await makeContentFile(CONTENT.bytes);
  const descriptor = libc.open(file.path)!;
  assert.equal(await libc.sendfile(-1, descriptor, 0, 1000), 0);
  assert.equal(await libc.sendfile(descriptor, descriptor, 0, 1000), 0, "not open for writing");
  libc.close(descriptor);
});
