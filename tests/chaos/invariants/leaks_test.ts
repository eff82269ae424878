import assert from "node:assert/strict";
import type { ProcessSample } from "../process_sample.ts";
import { ALLOWED, judgeLeaks } from "./leaks.ts";

const SAMPLE: ProcessSample = {
  rssMib: 120,
  descriptors: 40,
  threads: 10,
  routerConnections: 2,
  streams: 0,
  halfClosed: 0,
  openContents: [],
};

function judge(changes: Partial<ProcessSample>): string[] {
  return judgeLeaks([SAMPLE, SAMPLE, SAMPLE], [SAMPLE, { ...SAMPLE, ...changes }, SAMPLE]);
}

Deno.test("mirrors that hold as much as before, or a little more, leak nothing", () => {
  assert.deepEqual(judge({}), []);
  assert.deepEqual(
    judge({ rssMib: 120 + ALLOWED.rssMib, descriptors: 40 + ALLOWED.descriptors }),
    [],
  );
  assert.deepEqual(judge({ rssMib: 10, descriptors: 3, threads: 1, routerConnections: 0 }), []);
});

Deno.test("a mirror that was small is compared with the largest one before", () => {
  const large = { ...SAMPLE, descriptors: 60 };
  assert.deepEqual(judgeLeaks([SAMPLE, large], [{ ...SAMPLE, descriptors: 60 }, large]), []);
});

Deno.test("whatever a mirror holds too much is told, and of which node", () => {
  const cases: readonly (readonly [Partial<ProcessSample>, RegExp])[] = [
    [{ rssMib: 120 + ALLOWED.rssMib + 1 }, /rssMib is 217, above 216/],
    [{ descriptors: 40 + ALLOWED.descriptors + 1 }, /descriptors is 49, above 48/],
    [{ threads: 10 + ALLOWED.threads + 1 }, /threads is 15, above 14/],
    [{ routerConnections: 9 }, /9 connections to routers of 2 peers/],
    [{ streams: 2 }, /2 streams are open/],
    [{ halfClosed: 1 }, /1 connections are half closed/],
    [{ openContents: ["/content/blobs/sha256/a"] }, /\/content\/blobs\/sha256\/a is open/],
  ];
  for (const [changes, pattern] of cases) {
    const [violation, ...others] = judge(changes);
    assert.match(violation ?? "", pattern);
    assert.match(violation!, /^mirror of node 2: /);
    assert.deepEqual(others, []);
  }
});
