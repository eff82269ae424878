import assert from "node:assert/strict";
import { NotFoundError } from "../../../lib/errors.ts";
import {
  createLogger,
  LOG_LEVELS,
  type Logger,
  type LogLevel,
  silentLogger,
} from "../../../lib/observability/logger.ts";

const NOW = new Date("2026-11-24T20:48:17.123Z");

function collecting(level?: LogLevel): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const log = createLogger({
    ...(level === undefined ? {} : { level }),
    write: (line) => lines.push(line),
    now: () => NOW,
  });
  return { log, lines };
}

function writeAll(log: Logger): void {
  log.debug("one");
  log.info("two");
  log.warn("three");
  log.error("four");
}

Deno.test("createLogger() writes a JSON object a line with slog's fields", () => {
  const { log, lines } = collecting();
  log.info("running", { registry: ":5000", peers: 3 });
  assert.deepEqual(lines, [
    '{"time":"2026-11-24T20:48:17.123Z","level":"INFO","msg":"running","registry":":5000","peers":3}\n',
  ]);
});

for (const [index, level] of LOG_LEVELS.entries()) {
  Deno.test(`createLogger() with level ${level} writes nothing below it`, () => {
    const { log, lines } = collecting(level);
    writeAll(log);
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).level),
      LOG_LEVELS.slice(index),
    );
    assert.deepEqual(
      LOG_LEVELS.map((each) => log.enabled(each)),
      LOG_LEVELS.map((_, at) => at >= index),
    );
  });
}

Deno.test("createLogger() writes from INFO on where no level is given", () => {
  const { log, lines } = collecting();
  writeAll(log);
  assert.deepEqual(lines.map((line) => JSON.parse(line).msg), ["two", "three", "four"]);
});

Deno.test("Logger.with() adds fields to every line, and leaves the first logger alone", () => {
  const { log, lines } = collecting();
  const bound = log.with({ peer: "a", key: "x" }).with({ key: "y" });
  bound.info("one", { size: 1 });
  log.info("two");
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)).map(({ peer, key, size }) => [peer, key, size]),
    [["a", "y", 1], [undefined, undefined, undefined]],
  );
});

Deno.test("createLogger() writes errors with their code and causes, and no stack", () => {
  const { log, lines } = collecting();
  const cause = new Error("connection refused");
  log.error("failed", { error: new NotFoundError("no content", { cause }) });
  log.error("failed", { error: new Error("plain", { cause: "text" }) });
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).error),
    ["ERR_NOT_FOUND: no content: connection refused", "plain: text"],
  );
});

Deno.test("createLogger() writes errors and large numbers also within lists and objects", () => {
  const { log, lines } = collecting();
  log.info("all", {
    errors: [new Error("one")],
    deep: { size: 2n ** 70n, error: new Error("two") },
  });
  const { errors, deep } = JSON.parse(lines[0] ?? "");
  assert.deepEqual(errors, ["one"]);
  assert.deepEqual(deep, { size: "1180591620717411303424", error: "two" });
});

Deno.test("createLogger() keeps a message with line breaks on one line", () => {
  const { log, lines } = collecting();
  log.warn("one\ntwo", { path: "/v2/\r\n{}" });
  assert.equal(lines.length, 1);
  assert.equal(lines[0]?.indexOf("\n"), (lines[0]?.length ?? 0) - 1);
});

Deno.test("createLogger() leaves out fields that are undefined", () => {
  const { log, lines } = collecting();
  log.info("some", { source: undefined, peer: null });
  assert.deepEqual(JSON.parse(lines[0] ?? ""), {
    time: NOW.toISOString(),
    level: "INFO",
    msg: "some",
    peer: null,
  });
});

Deno.test("silentLogger writes nothing", async () => {
  const module = new URL("../../../lib/observability/logger.ts", import.meta.url).href;
  const script = `import { createLogger, silentLogger } from ${JSON.stringify(module)};
    silentLogger.error("nothing");
    createLogger().info("something");`;
  const { stdout, stderr, success } = await runScript(script);
  assert.equal(success, true);
  assert.equal(stdout, "");
  assert.equal(JSON.parse(stderr).msg, "something", "the usual logger writes to standard error");
  assert.equal(silentLogger.enabled("ERROR"), true);
});

Deno.test("createLogger() survives a standard error that nobody reads", async () => {
  const module = new URL("../../../lib/observability/logger.ts", import.meta.url).href;
  const script = `import { createLogger } from ${JSON.stringify(module)};
    const log = createLogger();
    while (true) {
      log.info("into the void".repeat(1000));
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (performance.now() > 500) break;
    }
    console.log("alive");`;
  const process = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--ext=ts", script],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  await process.stderr.cancel();
  const alive = await new Response(process.stdout).text();
  assert.equal((await process.status).success, true);
  assert.equal(alive, "alive\n");
});

async function runScript(
  script: string,
): Promise<{ stdout: string; stderr: string; success: boolean }> {
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--ext=ts", script],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { stdout: decoder.decode(stdout), stderr: decoder.decode(stderr), success };
}
