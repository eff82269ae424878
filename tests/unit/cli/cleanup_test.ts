import assert from "node:assert/strict";
import { createServer } from "node:http";
import { runCleanup } from "../../../lib/cli/cleanup.ts";
import { runConfiguration } from "../../../lib/cli/configuration.ts";
import type { CleanupConfig } from "../../../lib/config/config.ts";
import { UnavailableError } from "../../../lib/errors.ts";
import { closeServer, listen } from "../../../lib/net/listen.ts";
import { configurationOf, withFolder } from "./configuration_folder.ts";
import { recordingLog } from "./recording_log.ts";

const LOOPBACK = { host: "127.0.0.1", port: 0 };

Deno.test("runCleanup() restores first, then answers probes until it is stopped", async () => {
  await withFolder(async (folder) => {
    const configuration = configurationOf(folder);
    const { log, next } = recordingLog();
    await runConfiguration(configuration, log);
    const config: CleanupConfig = {
      logLevel: "INFO",
      addr: LOOPBACK,
      configPath: configuration.configPath,
    };
    const stop = new AbortController();
    const listening = next("cleaned up, answering probes until stopped");
    const running = runCleanup(config, log, stop.signal);
    const { port } = await listening;
    assert.deepEqual(await Array.fromAsync(Deno.readDir(configuration.configPath)), []);
    const statuses: number[] = [];
    for (const [method, path] of [["GET", "/readyz"], ["GET", "/"], ["POST", "/readyz"]]) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: method! });
      await response.body?.cancel();
      statuses.push(response.status);
    }
    assert.deepEqual(statuses, [200, 404, 404]);
    stop.abort();
    await running;
    await assert.rejects(fetch(`http://127.0.0.1:${port}/readyz`), TypeError);
  });
});

Deno.test("runCleanup() says so when its address is taken, after it restored", async () => {
  await withFolder(async (folder) => {
    const configuration = configurationOf(folder);
    const { log } = recordingLog();
    await runConfiguration(configuration, log);
    const other = createServer();
    const port = await listen(other, LOOPBACK);
    const { configPath } = configuration;
    const config: CleanupConfig = { logLevel: "INFO", addr: { ...LOOPBACK, port }, configPath };
    const never = new AbortController().signal;
    await assert.rejects(runCleanup(config, log, never), UnavailableError);
    assert.deepEqual(await Array.fromAsync(Deno.readDir(configPath)), []);
    await closeServer(other, Promise.resolve(), 0);
  });
});
