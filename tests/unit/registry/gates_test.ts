import assert from "node:assert/strict";
import { silentLogger } from "../../../lib/observability/logger.ts";
import { LocalGate, MAX_REFUSALS_TOLD, PeerGate } from "../../../lib/registry/gates.ts";
import type { Answerer, RegistryAnswer, RegistryRequest } from "../../../lib/registry/messages.ts";
import { TransferTokens } from "../../../lib/registry/transfer_tokens.ts";
import { recordingLog } from "../cli/recording_log.ts";

const PULL = "/v2/team/app/manifests/v1";

function request(
  client: string,
  headers: Readonly<Record<string, string>> = {},
  path = PULL,
): RegistryRequest {
  return {
    method: "GET",
    url: new URL(`http://mirror${path}`),
    header: (name) => headers[name],
    client,
    signal: new AbortController().signal,
  };
}

/** A registry that answers 200, and what it was asked. */
function registry(): Answerer & { readonly asked: RegistryRequest[] } {
  const asked: RegistryRequest[] = [];
  return {
    asked,
    answer(request) {
      asked.push(request);
      const facts = { handler: "registry" } as const;
      return Promise.resolve({ status: 200, headers: {}, body: undefined, facts });
    },
  };
}

function recorder() {
  const told: string[] = [];
  return {
    told,
    events: {
      admitted: (transport: string) => void told.push(`admitted ${transport}`),
      refused: (reason: string) => void told.push(`refused ${reason}`),
    },
  };
}

function errorOf({ body }: RegistryAnswer): string {
  return JSON.parse(new TextDecoder().decode(body as Uint8Array)).errors[0].code;
}

Deno.test("LocalGate lets all in where plain transfers are allowed, and tells of peers", async () => {
  const { told, events } = recorder();
  const gate = new LocalGate({ registry: registry(), events, log: silentLogger });
  assert.equal((await gate.answer(request("10.0.0.9"))).status, 200);
  assert.deepEqual(told, []);
  const mirrored = request("10.0.0.9", { "x-spegel-mirrored": "true" });
  assert.equal((await gate.answer(mirrored)).status, 200);
  assert.deepEqual(told, ["admitted plain"]);
});

Deno.test("LocalGate refuses everybody but this node where TLS is required, mirrors and others alike", async () => {
  const { told, events } = recorder();
  const behind = registry();
  const isLocal = (ip: string) => ip === "10.0.0.1";
  const gate = new LocalGate({ registry: behind, events, log: silentLogger, isLocal });
  for (const headers of [{}, { "x-spegel-mirrored": "true" }]) {
    for (const path of [PULL, "/v2/", "/kagami/v1/chunks/sha256:1", "/"]) {
      const answer = await gate.answer(request("10.0.0.9", headers, path));
      assert.equal(answer.status, 403);
      assert.equal(errorOf(answer), "DENIED");
    }
  }
  assert.equal(behind.asked.length, 0);
  assert.equal(told.length, 8);
  assert(told.every((text) => text === "refused plain"));
  assert.equal((await gate.answer(request("10.0.0.1"))).status, 200);
  const mirrored = request("10.0.0.1", { "x-spegel-mirrored": "true" });
  assert.equal((await gate.answer(mirrored)).status, 403, "peers come over TLS");
});

Deno.test("LocalGate answers probes of anybody", async () => {
  const { events } = recorder();
  const gate = new LocalGate({
    registry: registry(),
    events,
    log: silentLogger,
    isLocal: () => false,
  });
  for (const path of ["/readyz", "/livez"]) {
    assert.equal((await gate.answer(request("10.0.0.9", {}, path))).status, 200);
  }
  assert.equal((await gate.answer(request("10.0.0.9", {}, "/readyz/"))).status, 403);
});

Deno.test("LocalGate tells of each client that it refuses once, and not of endlessly many", async () => {
  const { events } = recorder();
  const { log, lines } = recordingLog();
  const gate = new LocalGate({ registry: registry(), events, log, isLocal: () => false });
  for (let round = 0; round < 3; round++) {
    for (let number = 0; number < 2 * MAX_REFUSALS_TOLD; number++) {
      await gate.answer(request(`10.0.0.${number}`, { "user-agent": "containerd/1" }));
    }
  }
  assert.equal(lines.length, MAX_REFUSALS_TOLD);
  assert.equal(lines[0]?.["client"], "10.0.0.0");
  assert.equal(lines[0]?.["agent"], "containerd/1");
});

Deno.test("PeerGate lets in who has a token of this node, and gives nothing but what is here", async () => {
  const { told, events } = recorder();
  const tokens = new TransferTokens({ now: () => 0 });
  const behind = registry();
  const gate = new PeerGate({ registry: behind, tokens, events });
  const headers = { "x-kagami-token": tokens.issue("peer"), "range": "bytes=0-1" };
  assert.equal((await gate.answer(request("10.0.0.9", headers))).status, 200);
  const seen = behind.asked[0]!;
  assert.equal(seen.header("x-spegel-mirrored"), "true");
  assert.equal(seen.header("range"), "bytes=0-1");
  assert.equal(seen.client, "10.0.0.9");
  assert.deepEqual(told, ["admitted tls"]);
});

Deno.test("PeerGate refuses all others, probes and this node included", async () => {
  const { told, events } = recorder();
  const behind = registry();
  const tokens = new TransferTokens({ now: () => 0 });
  const other = new TransferTokens({ now: () => 0 });
  const gate = new PeerGate({ registry: behind, tokens, events });
  const sent = [{}, { "x-kagami-token": "peer" }, { "x-kagami-token": other.issue("peer") }];
  for (const headers of sent) {
    for (const path of [PULL, "/readyz"]) {
      assert.equal((await gate.answer(request("127.0.0.1", headers, path))).status, 403);
    }
  }
  assert.equal(behind.asked.length, 0);
  assert.deepEqual(new Set(told), new Set(["refused token"]));
});
