import assert from "node:assert/strict";
import {
  createServiceMetrics,
  MAX_REGISTRY_LABELS,
  type ServiceMetrics,
} from "../../../lib/cli/service_metrics.ts";
import { createMetrics } from "../../../lib/observability/metrics.ts";
import { parseDigest } from "../../../lib/oci/digest.ts";
import type { DistributionPath } from "../../../lib/oci/distribution.ts";
import type { AnswerFacts } from "../../../lib/registry/messages.ts";
import type { Exchange } from "../../../lib/registry/registry_server.ts";
import { ClientGoneError } from "../../../lib/registry/send_body.ts";

Deno.test("counters of rare failures start at zero, so that the first one is an increase", async () => {
  const metrics = createMetrics();
  const events = createServiceMetrics(metrics, "libp2p");
  const samples = async () =>
    (await metrics.render()).text.split("\n")
      .filter((line) => /^kagami_(verification|peer)_failures_total/.test(line));
  assert.deepEqual(await samples(), [
    "kagami_peer_failures_total 0",
    'kagami_verification_failures_total{source="local"} 0',
    'kagami_verification_failures_total{source="peer"} 0',
  ]);
  events.corrupt();
  const peer = { id: "peer", addresses: ["10.0.0.1"], registryPort: 5000 };
  events.mirrorEvents.verificationFailed?.(peer);
  events.mirrorEvents.verificationFailed?.(peer);
  assert.deepEqual((await samples()).slice(1), [
    'kagami_verification_failures_total{source="local"} 1',
    'kagami_verification_failures_total{source="peer"} 2',
  ]);
});

/** Counts what is told, and reads single values. */
function counting(): ServiceMetrics & { samples: (name: string) => Promise<string[]> } {
  const metrics = createMetrics();
  return {
    ...createServiceMetrics(metrics, "libp2p"),
    samples: async (name) => {
      const { text } = await metrics.render();
      return text.split("\n").filter((line) =>
        line.startsWith(`${name}{`) || line.startsWith(`${name} `)
      );
    },
  };
}

const PATH: DistributionPath = {
  kind: "blobs",
  registry: "docker.io",
  repository: "library/test",
  digest: parseDigest(`sha256:${"a".repeat(64)}`),
  key: `sha256:${"a".repeat(64)}`,
};

/** An answered request: a blob from a peer, unless told otherwise. */
function exchange(
  facts: Partial<AnswerFacts> = {},
  others: Partial<Omit<Exchange, "answer">> = {},
): Exchange {
  return {
    method: "GET",
    path: "/v2/library/test/blobs/x",
    handler: "/v2/*",
    status: 200,
    bytes: 1000,
    seconds: 0.02,
    complete: true,
    answer: {
      status: 200,
      headers: {},
      body: undefined,
      facts: { handler: "mirror", path: PATH, source: "peer 10.0.0.1:5000", ...facts },
    },
    ...others,
  };
}

Deno.test("requests are counted by handler, method and code, while they run and after", async () => {
  const { observer, samples } = counting();
  observer.started("/v2/*");
  observer.started("/v2/*");
  observer.ended("/v2/*");
  assert.deepEqual(await samples("http_requests_inflight"), [
    'http_requests_inflight{handler="/v2/*"} 1',
  ]);
  observer.finished(exchange());
  observer.finished(exchange({}, { status: 206, method: "HEAD" }));
  const labels = [
    'handler="/v2/*",method="GET",code="200"',
    'handler="/v2/*",method="HEAD",code="206"',
  ];
  for (const name of ["http_request_duration_seconds", "http_response_size_bytes"]) {
    assert.deepEqual(
      await samples(`${name}_count`),
      labels.map((label) => `${name}_count{${label}} 1`),
    );
  }
  assert.ok((await samples("http_response_size_bytes_sum"))[0]?.endsWith(" 1000"));
});

Deno.test("methods that clients make up share one label", async () => {
  const { observer, samples } = counting();
  for (const method of ["BREW", "PROPFIND", "x"]) observer.finished(exchange({}, { method }));
  assert.deepEqual(await samples("http_request_duration_seconds_count"), [
    'http_request_duration_seconds_count{handler="/v2/*",method="other",code="200"} 3',
  ]);
});

Deno.test("a request that a peer served whole is a hit, any other that went to peers a miss", async () => {
  const { observer, samples } = counting();
  assert.deepEqual(await samples("spegel_mirror_last_success_timestamp_seconds"), [
    "spegel_mirror_last_success_timestamp_seconds 0",
  ]);
  const { source: _source, ...nobody } = exchange().answer.facts;
  const missed = exchange();
  observer.finished({ ...missed, status: 404, answer: { ...missed.answer, facts: nobody } });
  observer.finished(exchange({}, { complete: false }));
  assert.ok((await samples("spegel_mirror_last_success_timestamp_seconds"))[0]?.endsWith(" 0"));
  const before = Date.now() / 1000;
  observer.finished(exchange());
  assert.deepEqual((await samples("spegel_mirror_requests_total")).sort(), [
    'spegel_mirror_requests_total{registry="docker.io",cache="hit"} 1',
    'spegel_mirror_requests_total{registry="docker.io",cache="miss"} 2',
  ]);
  const [success = ""] = await samples("spegel_mirror_last_success_timestamp_seconds");
  assert.ok(Number(success.split(" ")[1]) >= Math.floor(before));
});

Deno.test("a client that hangs up when it has enough makes a hit, one that got nothing does not", async () => {
  const { observer, samples } = counting();
  const error = new ClientGoneError("client closed the connection");
  observer.finished(exchange({ error }, { complete: false, bytes: 10 }));
  observer.finished(exchange({ error }, { complete: false, bytes: 0 }));
  assert.deepEqual((await samples("spegel_mirror_requests_total")).sort(), [
    'spegel_mirror_requests_total{registry="docker.io",cache="hit"} 1',
    'spegel_mirror_requests_total{registry="docker.io",cache="miss"} 1',
  ]);
});

Deno.test("what the own store served goes to no peer, and its bytes are counted apart", async () => {
  const { observer, samples } = counting();
  observer.finished(exchange({ handler: "registry", source: "local" }));
  observer.finished(exchange());
  observer.finished(exchange({}, { complete: false, bytes: 10 }));
  assert.deepEqual((await samples("spegel_mirror_requests_total")).length, 2);
  assert.deepEqual(await samples("kagami_served_bytes_total"), [
    'kagami_served_bytes_total{source="local"} 1000',
    'kagami_served_bytes_total{source="peer"} 1010',
  ]);
});

Deno.test("registries that clients make up share one label beyond the limit", async () => {
  const { observer, samples } = counting();
  for (let index = 0; index < MAX_REGISTRY_LABELS + 5; index++) {
    observer.finished(exchange({ path: { ...PATH, registry: `r${index}.test` } }));
  }
  observer.finished(exchange({ path: { ...PATH, registry: "r0.test" } }));
  const lines = await samples("spegel_mirror_requests_total");
  assert.equal(lines.length, MAX_REGISTRY_LABELS + 1);
  assert.ok(lines.includes('spegel_mirror_requests_total{registry="other",cache="hit"} 5'));
  assert.ok(lines.includes('spegel_mirror_requests_total{registry="r0.test",cache="hit"} 2'));
});

Deno.test("a request without a path that made sense still counts", async () => {
  const { observer, samples } = counting();
  const { path: _path, ...facts } = exchange().answer.facts;
  observer.finished({ ...exchange(), answer: { ...exchange().answer, facts } });
  assert.deepEqual(await samples("spegel_mirror_requests_total"), [
    'spegel_mirror_requests_total{registry="other",cache="hit"} 1',
  ]);
});

Deno.test("what happens in transfers is counted", async () => {
  const { mirrorEvents, samples } = counting();
  const peer = { id: "peer", addresses: ["10.0.0.1"], registryPort: 5000 };
  mirrorEvents.resolved?.(0.002);
  mirrorEvents.peerFailed?.(peer, new Error("gone"));
  mirrorEvents.resumed?.();
  mirrorEvents.peerBusy?.();
  mirrorEvents.hedged?.();
  mirrorEvents.laneAdded?.();
  assert.deepEqual(await samples("spegel_resolve_duration_seconds_count"), [
    'spegel_resolve_duration_seconds_count{router="libp2p"} 1',
  ]);
  for (
    const name of [
      "kagami_peer_failures_total",
      "kagami_transfer_resumes_total",
      "kagami_peer_busy_total",
      "kagami_transfer_hedges_total",
      "kagami_transfer_lanes_added_total",
    ]
  ) {
    assert.deepEqual(await samples(name), [`${name} 1`]);
  }
});

Deno.test("the advertised state is shown as it is, without what it was before", async () => {
  const { advertised, samples } = counting();
  advertised({
    tags: new Map([["docker.io", 2], ["ghcr.io", 1]]),
    images: new Map([["docker.io", 3]]),
    contents: new Map([["docker.io", 9], ["unknown", 1]]),
  });
  advertised({
    tags: new Map([["docker.io", 1]]),
    images: new Map(),
    contents: new Map([["docker.io", 4]]),
  });
  assert.deepEqual(await samples("spegel_advertised_image_tags"), [
    'spegel_advertised_image_tags{registry="docker.io"} 1',
  ]);
  assert.deepEqual(await samples("spegel_advertised_image_digests"), []);
  assert.deepEqual(await samples("spegel_advertised_content_digests"), [
    'spegel_advertised_content_digests{registry="docker.io"} 4',
  ]);
});

Deno.test("registries beyond the limit are advertised together", async () => {
  const { advertised, samples } = counting();
  const many = Array.from({ length: MAX_REGISTRY_LABELS + 3 }, (_, index) => `r${index}.test`);
  advertised({
    tags: new Map(many.map((name) => [name, 2])),
    images: new Map(),
    contents: new Map(),
  });
  const lines = await samples("spegel_advertised_image_tags");
  assert.equal(lines.length, MAX_REGISTRY_LABELS + 1);
  assert.ok(lines.includes('spegel_advertised_image_tags{registry="other"} 6'));
});
