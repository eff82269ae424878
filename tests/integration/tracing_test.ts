/**
 * Traces of a pull through two nodes, received by a collector.
 *
 * @module
 */
import assert from "node:assert/strict";
import { makeContent, makeManifest } from "../unit/support/content.ts";
import { eventually } from "../unit/support/eventually.ts";
import { freePort } from "../unit/support/free_port.ts";
import { LayoutFolder } from "../unit/support/layout_folder.ts";
import { KAGAMI_REGISTRY } from "./harness/mirror_process.ts";
import { OtlpReceiver, type ReceivedSpan } from "./harness/otlp_receiver.ts";
import { ManagedProcess } from "./harness/process.ts";

const REPOSITORY = "registry.example/team/app";
const CONFIG = makeContent(100, 1);
const LAYER = makeContent(3_000_000, 2);
const IMAGE = { manifest: makeManifest(CONFIG, [LAYER]), blobs: [CONFIG, LAYER] };

/** Where a client says that the request belongs. */
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN = "b7ad6b7169203331";

interface Node {
  readonly url: string;
}

/** Two nodes on loopback; the second one has an image, the first one asks. */
class Pair implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;

  private constructor(stack: AsyncDisposableStack, readonly asking: Node) {
    this.#stack = stack;
  }

  static async start(env: Readonly<Record<string, string>>): Promise<Pair> {
    await using stack = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir({ prefix: "kagami-tracing-" });
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    // Nodes have addresses of their own, and the same ports.
    const ports = { registry: freePort(), router: freePort(), metrics: freePort() };
    const ips = ["127.0.0.1", "127.0.0.2"];
    const start = async (name: string, ip: string): Promise<Node> => {
      const layout = stack.use(await LayoutFolder.create());
      if (name === "asked") await layout.add(`${REPOSITORY}:v1`, IMAGE);
      await Deno.mkdir(`${folder}/${name}`);
      const [command, ...args] = KAGAMI_REGISTRY;
      stack.use(
        await ManagedProcess.start(name, `${folder}/${name}/log`, command!, args, {
          STORE: "oci-layout",
          OCI_LAYOUT_PATH: layout.path,
          REGISTRY_ADDR: `${ip}:${ports.registry}`,
          ROUTER_ADDR: `${ip}:${ports.router}`,
          PEER_TLS_ADDR: `${ip}:0`,
          METRICS_ADDR: `${ip}:${ports.metrics}`,
          BOOTSTRAP_KIND: "static",
          STATIC_BOOTSTRAP_PEERS: ips.map((ip) => `${ip}:${ports.router}`).join(","),
          BASIC_AUTH_DIR: `${folder}/none`,
          DATA_DIR: `${folder}/${name}`,
          MIRROR_RESOLVE_TIMEOUT: "2s",
          OTEL_RESOURCE_ATTRIBUTES: `service.instance.id=${name}`,
          ...env,
        }),
      );
      return { url: `http://${ip}:${ports.registry}` };
    };
    const [asking] = await Promise.all([start("asking", ips[0]!), start("asked", ips[1]!)]);
    return new Pair(stack.move(), asking!);
  }

  /** Asks the first node for the layer, as a part of a client's trace. */
  async pull(): Promise<void> {
    const path = `/v2/team/app/blobs/${LAYER.digest}?ns=registry.example`;
    await eventually("the first node gets the layer from the second one", async () => {
      const response = await fetch(`${this.asking.url}${path}`, {
        headers: { traceparent: `00-${TRACE}-${CLIENT_SPAN}-01` },
      });
      return (await response.bytes()).length === LAYER.bytes.length;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** What Deno is told to send spans soon, and nothing else. */
function exporting(receiver: OtlpReceiver, protocol: string): Record<string, string> {
  return {
    OTEL_DENO: "true",
    OTEL_DENO_METRICS: "false",
    OTEL_DENO_CONSOLE: "ignore",
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
    OTEL_BSP_SCHEDULE_DELAY: "200",
    OTEL_SERVICE_NAME: "kagami",
  };
}

/** The spans from one of them to the root, by name. */
function lineOf(span: ReceivedSpan, spans: readonly ReceivedSpan[]): string[] {
  const parent = spans.find(({ spanId }) => spanId === span.parentSpanId);
  return [`${span.instance}: ${span.name}`, ...(parent === undefined ? [] : lineOf(parent, spans))];
}

Deno.test("one trace tells of a pull through two nodes, from the client's span to the peer's check of its content", async () => {
  await using receiver = new OtlpReceiver();
  await using pair = await Pair.start(exporting(receiver, "http/json"));
  await pair.pull();
  const spans = await receiver.received("spans of both nodes", (all) => {
    const names = new Set(all.map(({ instance, name }) => `${instance}: ${name}`));
    // A span is sent when it has ended: the inner ones first.
    const wanted = ["download", "ask peer", "GET blobs"].map((name) => `asking: ${name}`);
    return [...wanted, "asked: verify", "asked: GET blobs"].every((name) => names.has(name));
  });
  assert(spans.every(({ traceId }) => traceId === TRACE));
  const verify = spans.find(({ name }) => name === "verify")!;
  assert.deepEqual(lineOf(verify, spans), [
    "asked: verify",
    "asked: GET blobs",
    "asking: ask peer",
    "asking: GET blobs",
  ]);
  assert.equal(verify.attributes.get("kagami.matches"), true);
  const download = spans.find(({ name }) => name === "download")!;
  assert.deepEqual(lineOf(download, spans), ["asking: download", "asking: GET blobs"]);

  const request = spans.find(({ spanId }) => spanId === download.parentSpanId)!;
  assert.equal(request.parentSpanId, CLIENT_SPAN);
  assert.equal(request.kind, 2);
  const facts = Object.fromEntries(request.attributes);
  assert.equal(Number(facts["http.response.status_code"]), 200);
  assert.equal(facts["kagami.digest"], LAYER.digest);
  assert.equal(facts["kagami.kind"], "blobs");
  assert.match(String(facts["kagami.source"]), /^peer 127\.0\.0\.2:\d+$/);
  const answered = spans.find(({ name, attributes }) =>
    name === "ask peer" && attributes.get("kagami.outcome") === "answered"
  )!;
  assert.equal(answered.kind, 3);
  assert.equal(answered.attributes.get("kagami.reason"), "first");
  const resolve = spans.find(({ name, attributes }) =>
    name === "resolve" && attributes.get("kagami.found") === true
  )!;
  assert.deepEqual(lineOf(resolve, spans), ["asking: resolve", "asking: GET blobs"]);
});

Deno.test("a content that nobody has is traced to the decision to leave it to upstream", async () => {
  await using receiver = new OtlpReceiver();
  await using pair = await Pair.start(exporting(receiver, "http/json"));
  await pair.pull(); // The nodes know each other then.
  const { digest } = makeContent(10, 9);
  const response = await fetch(
    `${pair.asking.url}/v2/team/app/blobs/${digest}?ns=registry.example`,
  );
  await response.bytes();
  assert.equal(response.status, 404);
  const spans = await receiver.received(
    "the decision",
    (all) =>
      all.some(({ name, attributes }) =>
        name === "GET blobs" && attributes.get("kagami.digest") === digest
      ),
  );
  const root = spans.find(({ name, attributes }) =>
    name === "GET blobs" && attributes.get("kagami.digest") === digest
  )!;
  assert.notEqual(root.traceId, TRACE, "a request without a trace begins one");
  const share = spans.find(({ name, traceId }) => name === "share" && traceId === root.traceId)!;
  assert.equal(share.attributes.get("kagami.share.decision"), "upstream");
  assert.equal(share.parentSpanId, root.spanId);
  assert.equal(root.parentSpanId, "");
  assert.equal(root.isError, false);
});

Deno.test("spans go out as protobuf, too, and neither metrics nor the log with them", async () => {
  await using receiver = new OtlpReceiver();
  await using pair = await Pair.start(exporting(receiver, "http/protobuf"));
  await pair.pull();
  await eventually("an export", () => receiver.others.length > 0);
  for (const { path, contentType, bytes } of receiver.others) {
    assert.equal(path, "/v1/traces");
    assert.equal(contentType, "application/x-protobuf");
    assert(bytes > 0);
  }
});

Deno.test("nothing is traced unless it is turned on", async () => {
  await using receiver = new OtlpReceiver();
  {
    const { OTEL_DENO: _off, ...env } = exporting(receiver, "http/json");
    await using pair = await Pair.start(env);
    await pair.pull();
  } // What is left is sent when a process ends.
  assert.deepEqual([receiver.spans.length, receiver.others.length], [0, 0]);
});
