import assert from "node:assert/strict";
import { Debugging } from "../../../lib/cli/debugging.ts";
import { Activity } from "../../../lib/debug/activity.ts";
import type { ImageList, Overview, SavingsSeries } from "../../../lib/debug/node_activity.ts";
import { PeerError, UnavailableError, VerificationError } from "../../../lib/errors.ts";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { createMetrics } from "../../../lib/observability/metrics.ts";
import { MAX_POST_BYTES, MetricsServer } from "../../../lib/observability/metrics_server.ts";
import { createFilter } from "../../../lib/oci/filter.ts";
import { MemoryNetwork, MemoryRouter } from "../../../lib/routing/memory_router.ts";
import { MemoryStore } from "../../../lib/store/memory_store.ts";
import { mirrorOf } from "../support/mirror_of.ts";
import { type RawAnswer, RawClient } from "../support/raw_client.ts";

const NAME = "docker.io/library/test:v1";
const JSON_TYPE = { "Content-Type": "application/json" } as const;

interface Web extends AsyncDisposable {
  readonly store: MemoryStore;
  readonly debugging: Debugging;
  get(target: string): Promise<RawAnswer>;
  /** Posts to the path that measures. */
  post(body: string, headers?: Readonly<Record<string, string>>): Promise<RawAnswer>;
}

/** A node without peers, with its page. */
async function startWeb(): Promise<Web> {
  const { mirror } = await mirrorOf(NAME, []);
  const self = { id: "the node", addresses: ["10.0.0.1"], registryPort: 5000 };
  const router = new MemoryRouter({ network: new MemoryNetwork(), self });
  const store = new MemoryStore();
  const debugging = new Debugging();
  const ending = new AbortController();
  const none = { started: () => {}, finished: () => {}, ended: () => {} };
  const idle = () => ({ active: 0, most: 0, bytesPerSecond: 0 });
  const routes = debugging.routes({
    version: "1.2.3",
    store,
    router,
    activity: new Activity(debugging.observer(none)),
    uploads: idle,
    downloads: idle,
    settings: {
      store: "containerd",
      registryPort: 5000,
      mirroredRegistries: [],
      registryFilters: [],
      defaultRegistry: "docker.io",
    },
    now: () => performance.now(),
  }, {
    mirror,
    filter: createFilter({ mirroredRegistries: [], registryFilters: [] }),
    signal: ending.signal,
  });
  const server = new MetricsServer(createMetrics(), silentLogger, routes);
  const port = await server.listen({ host: "127.0.0.1", port: 0 });
  const ask = async (send: (client: RawClient) => Promise<void>) => {
    using client = await RawClient.connect(port);
    await send(client);
    return await client.receive();
  };
  return {
    store,
    debugging,
    get: (target) => ask((client) => client.ask("GET", target)),
    post: (body, headers = JSON_TYPE) =>
      ask(async (client) => {
        const length = String(new TextEncoder().encode(body).length);
        await client.ask("POST", "/debug/measure", { ...headers, "Content-Length": length });
        await client.send(body);
      }),
    async [Symbol.asyncDispose]() {
      ending.abort();
      await server.close();
    },
  };
}

function textOf({ body }: RawAnswer): string {
  return new TextDecoder().decode(body);
}

Deno.test("the page and all that it needs come from the node, under a strict policy", async () => {
  await using web = await startWeb();
  const page = await web.get("/debug/web/");
  assert.equal(page.status, 200);
  assert.equal(page.headers.get("content-type"), "text/html; charset=utf-8");
  const html = textOf(page);
  const files = [...html.matchAll(/(?:src|href)="([^"#.][^"]*)"/g)].map(({ 1: file }) => file!);
  assert.ok(files.includes("page.js") && files.includes("style.css"));
  for (const name of ["sections.js", "chart.js", "dom.js", "format.js"]) files.push(name);
  for (const file of files) {
    assert.match(file, /^[a-z]+\.(js|css|svg)$/, "of this node");
    const { status, headers, body } = await web.get(`/debug/web/${file}`);
    assert.equal(status, 200, file);
    assert.ok(body.length > 100, file);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    for (const url of textOf({ body } as RawAnswer).match(/https?:\/\/[^\s"'`)]+/g) ?? []) {
      assert.equal(url, "http://www.w3.org/2000/svg", "a name, no address");
    }
  }
  assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=/);
  const policy = page.headers.get("content-security-policy") ?? "";
  for (
    const rule of [
      "default-src 'none'",
      "script-src 'self'",
      "connect-src 'self'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
    ]
  ) {
    assert.ok(policy.split("; ").includes(rule), rule);
  }
  assert.doesNotMatch(policy, /unsafe|\*|http/);
});

Deno.test("the page is found at the paths that one would try", async () => {
  await using web = await startWeb();
  for (const path of ["/debug", "/debug/", "/debug/web"]) {
    const { status, headers } = await web.get(path);
    assert.equal(status, 307);
    const target = new URL(headers.get("location") ?? "", `http://node:9090${path}`);
    assert.equal(target.pathname, "/debug/web/", path);
    const proxied = new URL(headers.get("location") ?? "", `http://proxy/to/node${path}`);
    assert.equal(proxied.pathname, "/to/node/debug/web/", path);
  }
  assert.deepEqual(JSON.parse(textOf(await web.get("/debug/web/metadata"))), {
    libp2p: { id: "the node" },
  });
});

Deno.test("/debug/overview tells the node, what is on its way, and what is wrong", async () => {
  await using web = await startWeb();
  const { debugging } = web;
  const log = debugging.observed(silentLogger);
  log.with({ registry: "docker.io" }).error("request failed", { path: "/v2/" });
  log.warn("peer failed in the middle of a content", { peer: "b" });
  log.info("running");
  const told: unknown[] = [];
  const events = debugging.mirrorEvents({ peerFailed: (_, error) => told.push(error) });
  const peer = { id: "b", addresses: ["10.0.0.2"], registryPort: 5000 };
  const failures = [new PeerError("slow"), new VerificationError("other bytes")];
  for (const failure of failures) events.peerFailed?.(peer, failure);
  assert.deepEqual(told, failures, "all is passed on");
  const overview: Overview = JSON.parse(textOf(await web.get("/debug/overview")));
  assert.equal(overview.status.id, "the node");
  assert.deepEqual(overview.totals, { peers: 0, local: 0, given: 0, upstream: 0 });
  assert.deepEqual([overview.transfers, overview.finished, overview.probes], [[], [], {}]);
  assert.deepEqual(overview.errors.map(({ level, what, remedy }) => [level, what, typeof remedy]), [
    ["failure", "peer delivered wrong bytes: peer 10.0.0.2:5000, error other bytes", "string"],
    ["warning", "peer failed to deliver: peer 10.0.0.2:5000, error slow", "string"],
    ["failure", "request failed: registry docker.io, path /v2/", "string"],
  ]);
  const [problem] = overview.problems;
  assert.equal(problem?.level, "failure");
  assert.match(problem?.remedy ?? "", /BOOTSTRAP_KIND/);
});

Deno.test("/debug/savings and /debug/images answer, also while the store is away", async () => {
  await using web = await startWeb();
  const { hour, day }: SavingsSeries = JSON.parse(textOf(await web.get("/debug/savings")));
  assert.deepEqual([hour.length, day.length], [1, 1]);
  const digest = web.store.put(new Uint8Array(10));
  web.store.tag(NAME, digest);
  const list: ImageList = JSON.parse(textOf(await web.get("/debug/images?filter=library%2F")));
  assert.deepEqual(list.images.map(({ name }) => name), [NAME]);
  web.store.list = () => Promise.reject(new UnavailableError("containerd is away"));
  const away = await web.get("/debug/images");
  assert.deepEqual([away.status, textOf(away)], [503, '{"error":"containerd is away"}\n']);
});

Deno.test("/debug/measure measures for programs and for the page itself", async () => {
  await using web = await startWeb();
  for (const headers of [{}, { Origin: "http://mirror" }, { "Sec-Fetch-Site": "same-origin" }]) {
    const answer = await web.post('{"image": " library/test:v1 "}', { ...JSON_TYPE, ...headers });
    assert.equal(answer.status, 200);
    const { image, incomplete } = JSON.parse(textOf(answer));
    assert.deepEqual([image, incomplete], [NAME, "no peer has the image"]);
  }
});

Deno.test("/debug/measure refuses other pages, other types, and what is no image", async () => {
  await using web = await startWeb();
  const body = JSON.stringify({ image: NAME });
  const statusOf = async (text: string, headers: Readonly<Record<string, string>>) =>
    (await web.post(text, headers)).status;
  assert.equal(await statusOf(body, { ...JSON_TYPE, Origin: "http://evil.example" }), 403);
  assert.equal(await statusOf(body, { ...JSON_TYPE, "Sec-Fetch-Site": "cross-site" }), 403);
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"]) {
    assert.equal(await statusOf(body, { "Content-Type": type }), 415, type);
  }
  for (
    const text of ["", "x", "[]", "null", '{"image": 1}', '{"image": " "}', '{"image": "A B"}']
  ) {
    const answer = await web.post(text);
    assert.equal(answer.status, 400, text);
    assert.match(JSON.parse(textOf(answer)).error, /image/);
  }
  assert.equal(
    await statusOf(JSON.stringify({ image: "a".repeat(MAX_POST_BYTES) }), JSON_TYPE),
    413,
  );
  assert.equal((await web.get("/debug/measure")).status, 405);
});
