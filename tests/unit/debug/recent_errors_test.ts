import assert from "node:assert/strict";
import {
  MAX_ERROR_TEXT,
  MAX_RECENT_ERRORS,
  RECENT_ERROR_TTL_MS,
  RecentErrors,
} from "../../../lib/debug/recent_errors.ts";
import { REMEDIES } from "../../../lib/debug/remedies.ts";
import { FakeClock } from "../support/fake_clock.ts";

const LIB = new URL("../../../lib/", import.meta.url);

/** Of commands that run no mirror: nobody looks at them on a page. */
const OTHER_COMMANDS = ["lib/cli/", "lib/hosts/"];

async function sourcesBelow(folder: URL): Promise<URL[]> {
  const found: URL[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) found.push(...await sourcesBelow(new URL(`${name}/`, folder)));
    else if (name.endsWith(".ts")) found.push(new URL(name, folder));
  }
  return found;
}

Deno.test("each warning and error of the service has a remedy", async () => {
  let count = 0;
  const missing: string[] = [];
  for (const url of await sourcesBelow(LIB)) {
    if (OTHER_COMMANDS.some((folder) => url.pathname.includes(`/${folder}`))) continue;
    const text = await Deno.readTextFile(url);
    for (const { 1: message, index } of text.matchAll(/\.(?:warn|error)\(\s*"([^"]+)"/g)) {
      count += 1;
      const call = text.slice(index, text.indexOf(");", index));
      if (!(message! in REMEDIES) && !call.includes("remedy")) missing.push(message!);
    }
  }
  assert.ok(count > 12, "the messages were found");
  assert.deepEqual(missing, []);
});

Deno.test("each remedy is for a message that there is", async () => {
  const sources = await Promise.all(
    (await sourcesBelow(LIB)).filter(({ pathname }) => !pathname.endsWith("/remedies.ts"))
      .map((url) => Deno.readTextFile(url)),
  );
  const unused = Object.keys(REMEDIES)
    .filter((message) => !sources.some((text) => text.includes(`"${message}"`)));
  assert.deepEqual(unused, []);
});

Deno.test("RecentErrors counts the same error of the same peer, and shows the latest first", async () => {
  const clock = new FakeClock();
  const errors = new RecentErrors(clock.now);
  const cause = new Error("connection refused");
  errors.note("WARN", "peer failed to deliver", {
    peer: "10.0.0.2:5000",
    error: new Error("no answer", { cause }),
  });
  errors.note("WARN", "peer failed to deliver", { peer: "10.0.0.3:5000", error: "slow" });
  await clock.advance(1000);
  errors.note("WARN", "peer failed to deliver", { peer: "10.0.0.2:5000", error: cause });
  errors.note("ERROR", "odd", { key: undefined });
  await clock.advance(500);
  const remedy = REMEDIES["peer failed to deliver"];
  assert.deepEqual(errors.list(), [
    { level: "failure", what: "odd", count: 1, lastAgoMs: 500 },
    {
      level: "warning",
      what: "peer failed to deliver: peer 10.0.0.2:5000, error connection refused",
      remedy,
      count: 2,
      lastAgoMs: 500,
    },
    {
      level: "warning",
      what: "peer failed to deliver: peer 10.0.0.3:5000, error slow",
      remedy,
      count: 1,
      lastAgoMs: 1500,
    },
  ]);
});

Deno.test("RecentErrors takes the remedy that the log has, and names causes", () => {
  const errors = new RecentErrors(() => 0);
  const cause = new Error("why");
  errors.note("WARN", "odd", { remedy: "do this", error: new Error("what", { cause }) });
  assert.deepEqual(errors.list(), [{
    level: "warning",
    what: "odd: error what: why",
    remedy: "do this",
    count: 1,
    lastAgoMs: 0,
  }]);
});

Deno.test("RecentErrors is bounded in number, length and time", async () => {
  const clock = new FakeClock();
  const errors = new RecentErrors(clock.now);
  for (let number = 0; number < MAX_RECENT_ERRORS + 3; number++) {
    errors.note("ERROR", "x".repeat(1000), { peer: number });
  }
  assert.equal(errors.list().length, MAX_RECENT_ERRORS);
  assert.equal(errors.list()[0]?.what.length, MAX_ERROR_TEXT);
  await clock.advance(RECENT_ERROR_TTL_MS);
  assert.deepEqual(errors.list(), []);
});
