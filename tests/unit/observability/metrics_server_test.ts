import assert from "node:assert/strict";
import { UnavailableError } from "../../../lib/errors.ts";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { createMetrics, type Metrics } from "../../../lib/observability/metrics.ts";
import { MetricsServer } from "../../../lib/observability/metrics_server.ts";
import { recordingLog } from "../cli/recording_log.ts";
import { RawClient } from "../support/raw_client.ts";

async function withServer(
  metrics: Metrics,
  run: (port: number) => Promise<void>,
  log = silentLogger,
): Promise<void> {
  const server = new MetricsServer(metrics, log);
  const port = await server.listen({ host: "127.0.0.1", port: 0 });
  try {
    await run(port);
  } finally {
    await server.close();
  }
}

Deno.test("MetricsServer serves the metrics at /metrics", async () => {
  const metrics = createMetrics();
  metrics.counters.resumes.inc();
  await withServer(metrics, async (port) => {
    using client = await RawClient.connect(port);
    const { text, contentType } = await metrics.render();
    for (const target of ["/metrics", "/metrics?name[]=x"]) {
      const { status, headers, body } = await client.request("GET", target);
      assert.equal(status, 200);
      assert.equal(headers.get("content-type"), contentType);
      assert.equal(new TextDecoder().decode(body), text);
    }
    const head = await client.request("HEAD", "/metrics");
    assert.equal(head.status, 200);
    assert.equal(head.headers.get("content-length"), String(new TextEncoder().encode(text).length));
  });
});

Deno.test("MetricsServer has nothing else", async () => {
  await withServer(createMetrics(), async (port) => {
    using client = await RawClient.connect(port);
    for (const target of ["/", "/metrics/", "/v2/", "/debug/pprof/", "//metrics"]) {
      assert.equal((await client.request("GET", target)).status, 404, target);
    }
    assert.equal((await client.request("POST", "/metrics")).status, 404);
  });
});

Deno.test("MetricsServer breaks off and says why when the metrics cannot be rendered", async () => {
  const { log, next } = recordingLog();
  const failing = { ...createMetrics(), render: () => Promise.reject(new Error("no memory")) };
  await withServer(failing, async (port) => {
    const logged = next("metrics cannot be served");
    using client = await RawClient.connect(port);
    await client.ask("GET", "/metrics");
    assert.equal((await client.ended()).bytes.length, 0);
    assert.equal((await logged)["error"], "no memory");
    using other = await RawClient.connect(port);
    assert.equal((await other.request("GET", "/other")).status, 404, "the server goes on");
  }, log);
});

Deno.test("MetricsServer.listen() says that the address is in use", async () => {
  await withServer(createMetrics(), async (port) => {
    const second = new MetricsServer(createMetrics(), silentLogger);
    await assert.rejects(second.listen({ host: "127.0.0.1", port }), UnavailableError);
    await second.close();
  });
});

Deno.test("MetricsServer.close() does not wait for scrapers", async () => {
  const metrics = createMetrics();
  const rendering = Promise.withResolvers<void>();
  const stuck: Metrics = {
    ...metrics,
    render: () => {
      rendering.resolve();
      return new Promise(() => {});
    },
  };
  const server = new MetricsServer(stuck, silentLogger);
  const port = await server.listen({ host: "127.0.0.1", port: 0 });
  using client = await RawClient.connect(port);
  await client.ask("GET", "/metrics");
  await rendering.promise;
  await server.close();
  assert.equal((await client.ended()).bytes.length, 0);
});

Deno.test("MetricsServer serves further paths beside the metrics", async () => {
  const routes = {
    "/debug/x": (url: URL) =>
      Promise.resolve({
        status: 202,
        contentType: "text/plain",
        text: url.searchParams.get("q") ?? "",
      }),
    "/metrics": () => Promise.resolve({ status: 500, contentType: "text/plain", text: "no" }),
  };
  const server = new MetricsServer(createMetrics(), silentLogger, routes);
  const port = await server.listen({ host: "127.0.0.1", port: 0 });
  try {
    using client = await RawClient.connect(port);
    const { status, body, headers } = await client.request("GET", "/debug/x?q=a%20b");
    assert.equal(status, 202);
    assert.equal(new TextDecoder().decode(body), "a b");
    assert.equal(headers.get("content-type"), "text/plain");
    assert.equal((await client.request("POST", "/debug/x")).status, 404);
    assert.equal((await client.request("GET", "/metrics")).status, 200, "metrics stay metrics");
  } finally {
    await server.close();
  }
});
