/**
 * What the mirror serves from its own store, as curl and wrk see it: the real program, whose large blobs the kernel sends.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { makeContent, makeManifest, type TestContent } from "../unit/support/content.ts";
import { LayoutFolder } from "../unit/support/layout_folder.ts";
import { MirrorProcess } from "./harness/mirror_process.ts";
import { type NetworkNode, runInside, TestNetwork } from "./harness/network.ts";
import { eventually } from "./harness/process.ts";
import { REQUIRES_TEST_BED } from "./harness/requirements.ts";

const LARGE = makeContent(24_000_000);
const MIDDLE = makeContent(1_000_000, 2);
const SMALL = makeContent(5000, 3);
const MANIFEST = makeManifest(SMALL, [LARGE, MIDDLE]);
const REPOSITORY = "team/app";
const NS = "?ns=registry.example";

/** Most memory that the mirror may need for all of this, in MiB: 64 connections have up to two buffers of 1 MiB each. */
const MAX_MEMORY = 384;

function blobUrl(mirror: MirrorProcess, content: TestContent): string {
  return `${mirror.url}/v2/${REPOSITORY}/blobs/${content.digest}${NS}`;
}

async function startMirror(stack: AsyncDisposableStack): Promise<[MirrorProcess, NetworkNode]> {
  const folder = await Deno.makeTempDir({ prefix: "kagami-test-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const layout = stack.use(await LayoutFolder.create());
  await layout.add("v1", { manifest: MANIFEST, blobs: [LARGE, MIDDLE, SMALL] });
  const network = stack.use(await TestNetwork.create());
  const node = await network.addNode("mirror");
  const mirror = stack.use(
    await MirrorProcess.start(node, folder, {
      bootstrap: [node],
      env: {
        STORE: "oci-layout",
        OCI_LAYOUT_PATH: layout.path,
        OCI_LAYOUT_REPOSITORY: `registry.example/${REPOSITORY}`,
        LOG_LEVEL: "INFO",
      },
    }),
  );
  await mirror.ready();
  return [mirror, node];
}

/** Descriptors that the mirror has open on blobs and on connections to its registry's port. */
async function openDescriptors(mirror: MirrorProcess): Promise<number> {
  let count = 0;
  for await (const { name } of Deno.readDir(`/proc/${mirror.pid}/fd`)) {
    const target = await Deno.readLink(`/proc/${mirror.pid}/fd/${name}`).catch(() => "");
    if (target.includes("/blobs/") || target.startsWith("socket:")) count += 1;
  }
  return count;
}

Deno.test({
  name: "curl gets every byte of blobs of all sizes, whole and in parts, on one connection",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using stack = new AsyncDisposableStack();
    const [mirror] = await startMirror(stack);
    const folder = await Deno.makeTempDir({ prefix: "kagami-test-" });
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const sha256 = async (path: string) =>
      `sha256:${createHash("sha256").update(await Deno.readFile(path)).digest("hex")}`;

    await t.step("several on one connection", async () => {
      const contents = [LARGE, SMALL, MIDDLE, LARGE, MIDDLE, SMALL];
      const args = contents.flatMap((content, index) => [
        "-o",
        `${folder}/${index}`,
        blobUrl(mirror, content),
      ]);
      const connections = await mirror.curl("-w", "%{num_connects}\n", ...args);
      assert.deepEqual(connections.trim().split("\n"), ["1", "0", "0", "0", "0", "0"]);
      for (const [index, { digest }] of contents.entries()) {
        assert.equal(await sha256(`${folder}/${index}`), digest);
      }
    });

    for (const range of ["0-0", "0-262143", "1-5000000", "7000001-23999999", "-1000000"]) {
      await t.step(`bytes ${range}`, async () => {
        const path = `${folder}/part`;
        const format = ["-w", "%{http_code} %{size_download}"];
        const args = ["-r", range, "-o", path, blobUrl(mirror, LARGE)];
        const [from, to] = range.split("-");
        const wanted = from === ""
          ? LARGE.bytes.subarray(-Number(to))
          : LARGE.bytes.subarray(Number(from), Number(to) + 1);
        assert.equal(await mirror.curl(...format, ...args), `206 ${wanted.length}`);
        const digest = `sha256:${createHash("sha256").update(wanted).digest("hex")}`;
        assert.equal(await sha256(path), digest);
      });
    }

    await t.step("HEAD, HTTP/1.0, and a client that reads slowly", async () => {
      const path = `${folder}/odd`;
      const head = await mirror.curl("-I", blobUrl(mirror, LARGE));
      assert.match(head, /^content-length: 24000000\r$/im);
      await mirror.curl("--http1.0", "-o", path, blobUrl(mirror, LARGE));
      assert.equal(await sha256(path), LARGE.digest);
      await mirror.curl("--limit-rate", "12M", "-o", path, blobUrl(mirror, LARGE));
      assert.equal(await sha256(path), LARGE.digest);
    });

    await t.step("a client that goes away, again and again, leaves nothing open", async () => {
      const before = await openDescriptors(mirror);
      const abort = ["--limit-rate", "1M", "--max-time", "0.2", "-o", "/dev/null"];
      await Promise.all(
        Array.from({ length: 20 }, () => mirror.curl(...abort, blobUrl(mirror, LARGE))),
      );
      await eventually("all is closed", async () => await openDescriptors(mirror) <= before);
      await mirror.curl("-o", `${folder}/after`, blobUrl(mirror, LARGE));
      assert.equal(await sha256(`${folder}/after`), LARGE.digest);
    });
  },
});

/** Requests sixteen at a time, before any of them is answered. */
const PIPELINED = `init = function()
  local requests = {}
  for i = 1, 16 do requests[i] = wrk.format() end
  request16 = table.concat(requests)
end
request = function() return request16 end
`;

Deno.test({
  name: "wrk finds no request unanswered, of blobs and manifests, also of requests sent ahead",
  ...REQUIRES_TEST_BED,
  async fn(t) {
    await using stack = new AsyncDisposableStack();
    const [mirror, node] = await startMirror(stack);
    const script = await Deno.makeTempFile({ suffix: ".lua" });
    stack.defer(() => Deno.remove(script));
    await Deno.writeTextFile(script, PIPELINED);
    const manifest = `${mirror.url}/v2/${REPOSITORY}/manifests/v1${NS}`;
    const before = await openDescriptors(mirror);
    for (
      const [name, url, connections, args] of [
        ["large blobs", blobUrl(mirror, LARGE), 8, []],
        ["middle-sized blobs", blobUrl(mirror, MIDDLE), 32, []],
        ["small blobs", blobUrl(mirror, SMALL), 64, []],
        ["manifests", manifest, 32, []],
        ["manifests sent ahead", manifest, 8, ["-s", script]],
        ["blobs sent ahead", blobUrl(mirror, MIDDLE), 4, ["-s", script]],
      ] as const
    ) {
      await t.step(name, async () => {
        const load = ["-t", "1", "-c", String(connections), "-d", "2s", "--timeout", "30s"];
        const { code, stdout } = await runInside(node, "wrk", ...load, ...args, url);
        assert.equal(code, 0, stdout);
        assert.doesNotMatch(stdout, /Socket errors|Non-2xx/);
        assert.ok(Number(/^ +(\d+) requests in/m.exec(stdout)?.[1]) > 0, stdout);
        await eventually("all is closed", async () => await openDescriptors(mirror) <= before);
      });
    }
    const peak = await mirror.peakMemory();
    assert.ok(peak < MAX_MEMORY, `${peak} MiB`);
  },
});
