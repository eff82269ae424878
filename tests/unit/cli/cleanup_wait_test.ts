import assert from "node:assert/strict";
import { createServer } from "node:http";
import { type Lookup, runCleanupWait } from "../../../lib/cli/cleanup_wait.ts";
import type { CleanupWaitConfig } from "../../../lib/config/config.ts";
import { UnavailableError } from "../../../lib/errors.ts";
import { closeServer, listen } from "../../../lib/net/listen.ts";
import { recordingLog } from "./recording_log.ts";

/** Nodes that answer a probe with the given statuses, one after the other, the last one for ever. */
async function withNodes(
  script: Record<string, number[]>,
  run: (port: number, probes: Record<string, number>) => Promise<void>,
): Promise<void> {
  const probes: Record<string, number> = {};
  const server = createServer((request, response) => {
    const node = request.socket.localAddress?.replace("::ffff:", "") ?? "";
    const statuses = script[node] ?? [];
    const count = probes[node] ?? 0;
    probes[node] = count + 1;
    const right = request.method === "GET" && request.url === "/readyz";
    response.writeHead(right ? statuses[Math.min(count, statuses.length - 1)] ?? 500 : 400).end();
  });
  const port = await listen(server, { host: "0.0.0.0", port: 0 });
  try {
    await run(port, probes);
  } finally {
    await closeServer(server, Promise.resolve(), 0);
  }
}

function waitConfig(port: number, threshold = 3): CleanupWaitConfig {
  const probeEndpoint = { host: "cleanup.svc", port };
  return { logLevel: "INFO", probeEndpoint, threshold, periodMs: 1 };
}

function addresses(...nodes: string[]): Lookup {
  return () => Promise.resolve(nodes.map((address) => ({ address, family: 4 })));
}

Deno.test("runCleanupWait() ends after the threshold of rounds in which every node answered", async () => {
  const nodes = Array.from({ length: 12 }, (_, index) => `127.0.0.${index + 1}`);
  const script = Object.fromEntries(nodes.map((node) => [node, [200]]));
  await withNodes(script, async (port, probes) => {
    const { signal } = new AbortController();
    const asked: string[] = [];
    await runCleanupWait(waitConfig(port), recordingLog().log, signal, (host) => {
      asked.push(host);
      return addresses(...nodes)(host);
    });
    assert.deepEqual(asked, ["cleanup.svc", "cleanup.svc", "cleanup.svc"]);
    assert.deepEqual(probes, Object.fromEntries(nodes.map((node) => [node, 3])));
  });
});

Deno.test("runCleanupWait() counts from zero again after a failure of one node", async () => {
  const script = { "127.0.0.1": [200], "127.0.0.2": [200, 200, 503, 200] };
  await withNodes(script, async (port, probes) => {
    const { log, lines } = recordingLog();
    const lookup = addresses("127.0.0.1", "127.0.0.2");
    await runCleanupWait(waitConfig(port), log, new AbortController().signal, lookup);
    const counted = lines.map(({ successes }) => successes ?? "failed");
    assert.deepEqual(counted, [1, 2, "failed", 1, 2, 3]);
    assert.equal(probes["127.0.0.2"], 6);
  });
});

Deno.test("runCleanupWait() counts from zero again after a failed lookup", async () => {
  await withNodes({ "127.0.0.1": [200] }, async (port) => {
    const { log, lines } = recordingLog();
    let round = 0;
    const lookup: Lookup = (host) => {
      round += 1;
      if (round === 2) return Promise.reject(new Error("ENOTFOUND"));
      return addresses("127.0.0.1")(host);
    };
    await runCleanupWait(waitConfig(port, 2), log, new AbortController().signal, lookup);
    assert.deepEqual(lines.map(({ successes }) => successes ?? "failed"), [1, "failed", 1, 2]);
  });
});

Deno.test("runCleanupWait() does not take an endpoint without any node for success", async () => {
  const stop = new AbortController();
  const { log, next } = recordingLog();
  const failed = next("not all nodes answer yet");
  const waiting = runCleanupWait(waitConfig(1, 1), log, stop.signal, addresses());
  await Promise.race([failed, waiting]);
  stop.abort();
  await assert.rejects(waiting, UnavailableError);
});

Deno.test("runCleanupWait() asks the system for the addresses of its endpoint", async () => {
  await withNodes({ "127.0.0.1": [200] }, async (port, probes) => {
    const config = { ...waitConfig(port, 1), probeEndpoint: { host: "127.0.0.1", port } };
    await runCleanupWait(config, recordingLog().log, new AbortController().signal);
    assert.deepEqual(probes, { "127.0.0.1": 1 });
  });
});

Deno.test("runCleanupWait() that is stopped says that it did not finish", async () => {
  await withNodes({ "127.0.0.1": [503] }, async (port) => {
    const stop = new AbortController();
    const { log, next } = recordingLog();
    const failed = next("not all nodes answer yet");
    const lookup = addresses("127.0.0.1");
    const waiting = runCleanupWait(waitConfig(port), log, stop.signal, lookup);
    await failed;
    stop.abort();
    await assert.rejects(waiting, UnavailableError);
  });
});
