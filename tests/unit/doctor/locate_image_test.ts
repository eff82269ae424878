import assert from "node:assert/strict";
import type { SharedDownloads } from "../../../lib/debug/locate.ts";
import {
  formatImageReport,
  type ImageReport,
  locateImage,
} from "../../../lib/doctor/locate_image.ts";
import { sha256Digest } from "../../../lib/oci/digest.ts";
import { createFilter, type FilterOptions } from "../../../lib/oci/filter.ts";
import { OCI_MANIFEST } from "../../../lib/oci/media_types.ts";
import { normalizeReference } from "../../../lib/oci/reference.ts";
import { MemoryNetwork, MemoryRouter } from "../../../lib/routing/memory_router.ts";
import type { Download } from "../../../lib/share/messages.ts";
import type { RoleView } from "../../../lib/share/participant.ts";
import type { Ingest, Ingests } from "../../../lib/store/store.ts";
import { makeContent, makeManifest, type TestContent } from "../support/content.ts";
import { guarded } from "../support/guarded.ts";
import { type DoctorNode, NEVER, startDoctorNode } from "./doctor_node.ts";

const NAME = "docker.io/library/test:v1";
const CONFIG = makeContent(200, 1);
const LAYER = makeContent(3000, 2);
const MANIFEST = makeManifest(CONFIG, [LAYER]);
const OTHER = makeManifest(CONFIG, []);
const ARM = { os: "linux", architecture: "arm64", variant: "v8" };
const INDEX = indexOf([[MANIFEST, { os: "linux", architecture: "amd64" }], [OTHER, ARM]]);

function indexOf(manifests: readonly (readonly [TestContent, object])[]): TestContent {
  const bytes = new TextEncoder().encode(JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: manifests.map(([{ bytes, digest }, platform]) => ({
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest,
      size: bytes.length,
      platform,
    })),
  }));
  return { bytes, digest: sha256Digest(bytes) };
}

/** A node that asks, and one that has contents. */
async function cluster(
  stack: AsyncDisposableStack,
  contents: readonly TestContent[],
  options: { readonly authorization?: string; readonly shared?: SharedDownloads } = {},
): Promise<{ asking: DoctorNode; having: DoctorNode }> {
  const network = new MemoryNetwork();
  const asking = stack.use(
    await startDoctorNode({ network, id: "asking", resolveTimeoutMs: 5000, ...options }),
  );
  const having = stack.use(await startDoctorNode({ network, id: "having" }));
  for (const { bytes } of contents) having.node.store.put(bytes);
  having.node.store.tag(NAME, INDEX.digest);
  await having.router.advertise([NAME, ...contents.map(({ digest }) => digest)]);
  return { asking, having };
}

function look(
  { client }: DoctorNode,
  image = NAME,
  filter: Partial<FilterOptions> = {},
  platform = "linux/amd64",
): Promise<ImageReport> {
  return locateImage(normalizeReference(image), {
    node: client,
    filter: createFilter({ mirroredRegistries: [], registryFilters: [], ...filter }),
    platform,
    signal: NEVER,
  });
}

Deno.test("locateImage() says of private content that it takes a proof", async () => {
  const challenge = 'Basic realm="test"';
  const { access } = guarded("docker.io", () => ({ result: "refused", challenge }));
  await using node = await startDoctorNode({ access });
  node.node.store.put(MANIFEST.bytes);
  node.node.store.tag(NAME, MANIFEST.digest);
  const { parts: [tag] } = await look(node);
  assert.equal(tag?.from, "upstream");
  assert.match(tag?.why ?? "", /^private: /);
  assert.match(tag?.remedy ?? "", /private-images\.md/);
});

Deno.test("locateImage() finds every part at peers, and all of it again on their own node", async () => {
  await using stack = new AsyncDisposableStack();
  const { asking, having } = await cluster(stack, [INDEX, MANIFEST, OTHER, CONFIG, LAYER]);
  const { image, parts, incomplete } = await look(asking);
  const peer = `127.0.0.1:${having.node.port}`;
  assert.equal(image, NAME);
  assert.equal(incomplete, undefined);
  assert.deepEqual(parts.map(({ kind, key, platform }) => [kind, key, platform]), [
    ["tag", NAME, undefined],
    ["index", INDEX.digest, undefined],
    ["manifest", OTHER.digest, "linux/arm64/v8"],
    ["manifest", MANIFEST.digest, "linux/amd64"],
    ["config", CONFIG.digest, undefined],
    ["layer", LAYER.digest, undefined],
  ]);
  for (const part of parts) {
    assert.equal(part.from, "peers");
    assert.deepEqual(part.peers, [peer]);
    assert.equal(part.why, `now from peer ${peer}; 1 peer has it`);
    assert.equal(part.remedy, undefined);
  }
  assert.equal(parts.at(-1)?.size, 3000);
  for (const part of (await look(having)).parts) {
    assert.equal(part.from, "local");
    assert.equal(part.why, "in this node's store; 0 peers have it");
  }
});

Deno.test("locateImage() goes on upstream for what nobody has, and says so", async () => {
  await using stack = new AsyncDisposableStack();
  const { asking } = await cluster(stack, [INDEX, MANIFEST, CONFIG]);
  const { parts } = await look(asking);
  const upstream = parts.filter(({ from }) => from === "upstream");
  assert.deepEqual(upstream.map(({ key }) => key), [OTHER.digest, LAYER.digest]);
  for (const { why, remedy } of upstream) {
    assert.match(why, /^nobody announces it \(\d+ ms\)$/);
    assert.match(remedy ?? "", /first pull/);
  }
});

Deno.test("locateImage() does not take what upstream said of a tag for what a peer has", async () => {
  const descriptor = {
    digest: MANIFEST.digest,
    mediaType: OCI_MANIFEST,
    size: MANIFEST.bytes.length,
  };
  await using node = await startDoctorNode({
    sharing: {
      join: () => Promise.resolve(undefined),
      resolve: () => Promise.resolve(descriptor),
      state: () => undefined,
      isQueued: () => false,
    },
  });
  const { parts } = await look(node);
  assert.deepEqual(parts.map(({ key, from }) => [key, from]), [
    [NAME, "upstream"],
    [MANIFEST.digest, "upstream"],
  ]);
  assert.match(parts[0]!.why, /^upstream was asked/);
});

Deno.test("locateImage() ends where the parts cannot be known", async () => {
  await using stack = new AsyncDisposableStack();
  const { asking } = await cluster(stack, [INDEX, OTHER]);
  const unknown = await look(asking, "nginx");
  assert.equal(unknown.image, "docker.io/library/nginx:latest");
  assert.match(unknown.incomplete ?? "", /nobody here knows what the tag stands for/);
  const lacking = await look(asking);
  assert.equal(lacking.parts.at(-1)?.from, "upstream");
  assert.match(lacking.incomplete ?? "", /manifest is not to be had/);
  const foreign = await look(asking, NAME, {}, "linux/riscv64");
  assert.match(foreign.incomplete ?? "", /nothing for linux\/riscv64/);
});

Deno.test("locateImage() names the option that filters", async () => {
  await using stack = new AsyncDisposableStack();
  const { asking } = await cluster(stack, [INDEX]);
  const registry = await look(asking, NAME, { mirroredRegistries: ["ghcr.io"] });
  assert.match(registry.parts[0]?.why ?? "", /--mirrored-registries does not name docker\.io/);
  const expression = await look(asking, NAME, { registryFilters: [/:v1$/] });
  assert.match(expression.parts[0]?.why ?? "", /--registry-filters has :v1\$, which matches/);
  assert.match(expression.parts[0]?.remedy ?? "", /take the expression out/);
});

Deno.test("locateImage() tells of peers that announce and do not deliver", async () => {
  await using stack = new AsyncDisposableStack();
  const { asking, having } = await cluster(stack, [INDEX]);
  const liar = { id: "liar", addresses: ["127.0.0.1"], registryPort: having.node.port };
  await new MemoryRouter({ network: asking.node.network, self: liar }).advertise([MANIFEST.digest]);
  const { parts } = await look(asking, `docker.io/library/test@${MANIFEST.digest}`);
  assert.equal(parts[0]?.why, "1 peer has it, and none delivers");
  assert.equal(parts[0]?.from, "upstream");
});

const FETCHER = { id: "fetcher", addresses: ["10.0.0.2"], registryPort: 5000 };
const FOLLOWER = { id: "follower", addresses: ["fd00::3"], registryPort: 5001 };

/** Downloads of the layer: of a peer from upstream, and of another one from that. */
function sharedLayer(role?: RoleView): SharedDownloads {
  const downloads: Download[] = [
    { peer: FETCHER, state: "fetching", offset: 1500, total: 3000 },
    { peer: FOLLOWER, state: "following", offset: 1000 },
  ];
  return {
    role: () => role,
    look: (key) => Promise.resolve(key === LAYER.digest ? downloads : []),
  };
}

/** Lets the node's containerd have some of the layer. */
function isGetting({ node }: DoctorNode, offset: number): void {
  const ingest: Ingest = {
    digest: LAYER.digest,
    offset,
    total: 3000,
    open: () => Promise.reject(new Error("nobody is to read it")),
  };
  const ingests: Ingests = {
    list: () => Promise.resolve([ingest]),
    find: (digest) => Promise.resolve(digest === LAYER.digest ? ingest : undefined),
    watch: () => {},
  };
  Object.assign(node.store, { ingests });
}

Deno.test("locateImage() shows what peers are getting just now, how far they are, and from where", async () => {
  await using stack = new AsyncDisposableStack();
  const shared = sharedLayer();
  const { asking } = await cluster(stack, [INDEX, MANIFEST, CONFIG], { shared });
  const { parts } = await look(asking);
  const layer = parts.at(-1);
  assert.equal(layer?.from, "in progress");
  assert.equal(layer.done, 1500);
  assert.equal(layer.size, 3000);
  assert.equal(
    layer.why,
    "10.0.0.2:5000 has 1.5 kB of 3.0 kB (50 %) so far, from upstream; " +
      "[fd00::3]:5001 has 1.0 kB so far, from a peer",
  );
  assert.equal(parts.find(({ key }) => key === OTHER.digest)?.from, "upstream");
});

Deno.test("locateImage() shows what this node's containerd is getting just now, and from whom", async () => {
  const sources: readonly [RoleView | undefined, string][] = [
    [{ state: "fetching" }, ", from upstream"],
    [{ state: "following", parent: "fetcher" }, ", from peer 10.0.0.2:5000"],
    [{ state: "following", parent: "unknown" }, ", from peer unknown"],
    [undefined, ""],
  ];
  for (const [role, source] of sources) {
    await using stack = new AsyncDisposableStack();
    const shared = sharedLayer(role);
    const { asking } = await cluster(stack, [INDEX, MANIFEST, CONFIG], { shared });
    isGetting(asking, 900);
    const report = await look(asking);
    const layer = report.parts.at(-1);
    assert.deepEqual([layer?.from, layer?.done], ["in progress", 900]);
    const here = `this node's containerd has 900 B of 3.0 kB (30 %) so far${source}; 10.0.0.2`;
    assert(layer?.why.startsWith(here), layer?.why ?? "no layer");
    assert.match(formatImageReport(report), / in progress {2}this node's containerd has 900 B/);
  }
});

Deno.test("locateImage() lists all downloads of this node where the tag is not known yet", async () => {
  await using stack = new AsyncDisposableStack();
  const { asking } = await cluster(stack, [], { shared: sharedLayer({ state: "fetching" }) });
  isGetting(asking, 900);
  const { incomplete, parts } = await look(asking, "nginx");
  assert.deepEqual(parts.map(({ kind, from }) => [kind, from]), [["tag", "upstream"]]);
  const [first, second] = (incomplete ?? "").split("\n");
  assert.match(first ?? "", /before its first pull has ended; containerd is getting now:$/);
  const digest = LAYER.digest.slice(0, "sha256:".length + 12);
  assert.equal(second, `  ${digest}…  900 B of 3.0 kB (30 %), from upstream`);
});

Deno.test("locateImage() leaves the mirror alone about a manifest that nobody has: a GET would announce a pull", async () => {
  await using stack = new AsyncDisposableStack();
  const { asking } = await cluster(stack, [INDEX, OTHER]);
  await look(asking);
  const asked = asking.node.exchanges.map(({ method, path }) =>
    `${method} ${path.split("/").at(-1)}`
  );
  assert(asked.includes(`HEAD ${MANIFEST.digest}`));
  assert(!asked.includes(`GET ${MANIFEST.digest}`), asked.join("\n"));
  assert(asked.includes(`GET ${INDEX.digest}`));
});

Deno.test("formatImageReport() is aligned, shortens digests and gives each remedy once", async () => {
  await using stack = new AsyncDisposableStack();
  const { asking } = await cluster(stack, [INDEX, MANIFEST]);
  const text = formatImageReport(await look(asking));
  const lines = text.split("\n");
  assert.equal(lines[0], NAME);
  assert.equal(text.match(/^remedy: /gm)?.length, 1);
  assert.match(
    text,
    new RegExp(`^layer +${LAYER.digest.slice(0, 19)}… +3\\.0 kB +upstream  nobody`, "m"),
  );
  const columns = lines.slice(2, 7).map((line) => line.search(/ (peers|upstream) /));
  assert.equal(new Set(columns).size, 1, text);
});
