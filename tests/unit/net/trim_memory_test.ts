import assert from "node:assert/strict";
import { TRIM_INTERVAL_MS, trimMemory } from "../../../lib/net/trim_memory.ts";
import { FakeClock } from "../support/fake_clock.ts";

Deno.test("trimMemory() gives memory back again and again, until it is ended", async () => {
  const clock = new FakeClock();
  const abort = new AbortController();
  let trimmed = 0;
  const running = trimMemory({ trim: () => void trimmed++ }, abort.signal, clock.sleep);
  await clock.advance(TRIM_INTERVAL_MS - 1);
  assert.equal(trimmed, 0);
  await clock.advance(1);
  assert.equal(trimmed, 1);
  await clock.advance(3 * TRIM_INTERVAL_MS);
  assert.equal(trimmed, 4);
  abort.abort();
  await running;
  assert.equal(trimmed, 4);
});

/**
 * Holds 100 MiB in pieces, frees all but the last one, and says how many MiB were given back: by being freed, and then by
 * `trim()`.
 */
const PROGRAM = `
import { openLibc } from ${JSON.stringify(import.meta.resolve("../../../lib/net/libc.ts"))};
const libc = openLibc();
const resident = () => Deno.memoryUsage().rss / 2 ** 20;
let pieces = Array.from({ length: 1600 }, () => new Uint8Array(65_536).fill(1));
const last = pieces.at(-1);
const before = resident();
pieces = [];
const external = () => Deno.memoryUsage().external;
// A thread of the garbage collector's frees them.
for (let turn = 0; turn < 100 && external() > 2 ** 20; turn++) {
  gc();
  await new Promise((resolve) => setTimeout(resolve, 100));
}
const freed = resident();
libc.trim();
console.log(JSON.stringify([before - freed, freed - resident(), last[0]]));
`;

Deno.test("Libc.trim() gives back what lies free below what is in use", async () => {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "--ext=ts",
      "--v8-flags=--expose-gc",
      PROGRAM,
    ],
    // Pieces come from the heap, and none is given back by being freed.
    env: {
      MALLOC_ARENA_MAX: "1",
      MALLOC_MMAP_THRESHOLD_: "1048576",
      MALLOC_TRIM_THRESHOLD_: "1073741824",
    },
  }).output();
  const said = new TextDecoder().decode(stdout);
  assert.notEqual(said, "", new TextDecoder().decode(stderr));
  const [freed, trimmed] = JSON.parse(said);
  assert(freed < 40, `${freed} MiB were given back without it`);
  assert(trimmed > 60, `${trimmed} MiB`);
});
