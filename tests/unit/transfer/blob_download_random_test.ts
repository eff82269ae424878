/**
 * Thousands of downloads from peers that fail at random: whatever happens, what is handed out is right.
 *
 * `RANDOM_SEED` runs a single one again, `RANDOM_DOWNLOADS` sets their number.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { PeerError, VerificationError } from "../../../lib/errors.ts";
import { CHUNK_SIZE, ChunkList } from "../../../lib/oci/chunk_list.ts";
import { ChunkBuffers } from "../../../lib/transfer/chunk_buffers.ts";
import { makeContent, type TestContent } from "../support/content.ts";
import { download, type DownloadSetting, listOf, type Script } from "./fake_peers.ts";

const DOWNLOADS = Number(Deno.env.get("RANDOM_DOWNLOADS") ?? 1500);

/** Random numbers that are the same for the same seed. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed * 2654435761) >>> 0 || 1;
    for (let round = 0; round < 8; round++) this.below(1);
  }

  /** @returns An integer from 0 up to, but not including, the limit. */
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }

  isOneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

/** Contents are made once: most of them small, so that many can be downloaded. */
const CONTENTS = [
  0,
  1,
  CHUNK_SIZE - 1,
  CHUNK_SIZE,
  CHUNK_SIZE + 1,
  2 * CHUNK_SIZE,
  2 * CHUNK_SIZE + 77,
  3 * CHUNK_SIZE - 5,
  7 * CHUNK_SIZE + 5,
  24 * CHUNK_SIZE + 5,
].map((size, index) => makeContent(size, index + 1));

/** The same with a byte changed in every chunk; made once, too. */
const WRONG = new Map(CONTENTS.map((content) => [content, wrongOf(content)]));

function wrongOf({ bytes }: TestContent): Uint8Array {
  const wrong = bytes.slice();
  for (let at = wrong.length - 1; at >= 0; at -= CHUNK_SIZE) wrong[at]! ^= 0x10;
  return wrong;
}

const FAULTS = ["breaks", "stalls", "ends early"] as const;

type Fault = typeof FAULTS[number];

/** What a peer does at random, fixed when it is made. */
function randomScript(random: Random, content: TestContent, mostDelayMs: number): Script {
  const isLiar = random.isOneIn(6);
  const failsOneIn = random.of([3, 10, 40, Infinity]);
  const isFailing = () => random.below(1000) * failsOneIn < 1000;
  let fault: Fault | "none" = "none";
  const piece = random.of([70_000, 256 * 1024, CHUNK_SIZE, 2 * CHUNK_SIZE]);
  return {
    piece,
    ...(isLiar ? { bytes: WRONG.get(content)! } : {}),
    answerMs: () => random.isOneIn(2) ? random.below(200) : 0,
    ask(_range, request) {
      // The first answer is the mirror's own affair.
      if (request > 0 && isFailing()) throw new PeerError("no answer");
    },
    delayMs() {
      fault = isFailing() ? random.of(FAULTS) : "none";
      // A stall is as long as the HTTP client lets it be.
      return fault === "stalls" ? 3000 : random.below(mostDelayMs + 1);
    },
    read(): "end" | void {
      if (fault === "ends early") return "end";
      if (fault !== "none") throw new PeerError(fault);
    },
  };
}

type ListKind = "right" | "late" | "none" | "wrong";

function randomList(random: Random, content: TestContent): [ListKind, ChunkList | undefined] {
  const right = listOf(content);
  const kind = random.of<ListKind>(["right", "right", "right", "late", "none", "none", "wrong"]);
  if (kind !== "wrong" || right === undefined || right.count < 2) {
    return kind === "none" ? [kind, undefined] : [kind === "wrong" ? "right" : kind, right];
  }
  const bytes = right.bytes.slice();
  // Not the digest at its end: such a list is refused when it is read.
  bytes[random.below(bytes.length - 32)]! ^= 1;
  return [kind, ChunkList.parse(bytes, content.digest, content.bytes.length)];
}

function randomRange(random: Random, size: number): string | undefined {
  if (size === 0 || !random.isOneIn(3)) return undefined;
  const start = random.below(size);
  const end = start + random.below(size - start);
  return random.of([`bytes=${start}-`, `bytes=${start}-${end}`, `bytes=-${size - start}`]);
}

function wantedOf(range: string | undefined, { bytes }: TestContent): Uint8Array {
  const [first = "", last = ""] = /=(\d*)-(\d*)$/.exec(range ?? "=0-")!.slice(1);
  if (first === "") return bytes.subarray(bytes.length - Number(last));
  return bytes.subarray(Number(first), last === "" ? bytes.length : Number(last) + 1);
}

/** Runs one download and checks what has to hold. */
async function run(seed: number): Promise<"whole" | "broken"> {
  const random = new Random(seed);
  // Several peers at the same time are of use only for large content that comes slowly.
  const isSwarm = random.isOneIn(6);
  const content = isSwarm ? CONTENTS.at(-1)! : random.of(CONTENTS.slice(0, -1));
  const size = content.bytes.length;
  const range = randomRange(random, size);
  const [kind, list] = randomList(random, content);
  const mostDelayMs = random.of(isSwarm ? [100, 200] : [0, 5, 50, 200]);
  const scripts: Record<string, Script> = {};
  const count = random.below(6) + (isSwarm ? 3 : 1);
  for (let peer = 0; peer < count; peer++) {
    scripts[`peer${peer}`] = randomScript(random, content, mostDelayMs);
  }
  const readerMs = random.of(isSwarm ? [0, 20] : [0, 0, 20, 300]);
  const setting: DownloadSetting = {
    ...(range === undefined ? {} : { range }),
    buffers: new ChunkBuffers(random.of([0, 4, 24])),
    chunks: Promise.resolve(list),
    // The mirror waits for a second.
    listMs: kind === "late" ? random.below(1000) : 0,
  };
  const { bytes, error, peers } = await download(
    content,
    scripts,
    setting,
    (_piece, { clock }) => readerMs === 0 ? undefined : clock.sleep(random.below(readerMs)),
  );
  const wanted = wantedOf(range, content);
  // A part can be checked where a list tells about its chunks, all of a content always.
  const isWhole = wanted.length === size;
  const isSuffix = range?.startsWith("bytes=-") === true;
  const isChecked = isWhole || kind === "right" || kind === "late";
  const isPrefix = Buffer.compare(bytes, wanted.subarray(0, bytes.length)) === 0;
  const hasList = (kind === "right" || kind === "late") && list !== undefined;
  if (hasList && !isSuffix) assert.ok(isPrefix, "only right bytes are handed out");
  if (error === undefined) {
    assert.equal(bytes.length, wanted.length, "a clean end is the end");
    if (isChecked && !(isSuffix && !isWhole)) assert.ok(isPrefix, "a clean end is right");
    return "whole";
  }
  assert.ok(!(error instanceof assert.AssertionError), String(error));
  assert.doesNotMatch(String(error), /of the clock/, "it ends");
  assert.equal(peers.poisonings.length > 0, error instanceof VerificationError && size > 0);
  return "broken";
}

const only = Deno.env.get("RANDOM_SEED");
Deno.test("BlobDownload hands out only right bytes, and always ends, in thousands of random downloads", async () => {
  const seeds = only === undefined
    ? Array.from({ length: DOWNLOADS }, (_, index) => index + 1)
    : [Number(only)];
  const ends = { whole: 0, broken: 0 };
  for (const seed of seeds) {
    try {
      ends[await run(seed)] += 1;
    } catch (cause) {
      throw new Error(`RANDOM_SEED=${seed}`, { cause });
    }
  }
  if (only === undefined) assert.ok(Math.min(ends.whole, ends.broken) > DOWNLOADS / 20);
});
