import assert from "node:assert/strict";
import { PeerError, VerificationError } from "../../../lib/errors.ts";
import { CHUNK_SIZE } from "../../../lib/oci/chunk_list.ts";
import type { BlobDownload } from "../../../lib/transfer/blob_download.ts";
import { ChunkBuffers } from "../../../lib/transfer/chunk_buffers.ts";
import { makeContent } from "../support/content.ts";
import { settle } from "../support/fake_clock.ts";
import { fakeTimers, finished } from "../support/fake_timers.ts";
import { type DownloadSetting, FakePeers, hang, type Script } from "./fake_peers.ts";

const CONTENT = makeContent(40 * CHUNK_SIZE + 5);

/** Closes a download in some state, and finds nothing of it left. */
async function closing(
  scripts: Readonly<Record<string, Script>>,
  setting: DownloadSetting,
  until: (reader: BlobDownload, peers: FakePeers) => Promise<void>,
): Promise<void> {
  const peers = new FakePeers(CONTENT, scripts, setting);
  using _timers = fakeTimers(peers.clock);
  const reader = await peers.open(setting);
  await until(reader, peers);
  await reader.close();
  await reader.close();
  await peers.assertNothingLeft();
  await assert.rejects(reader.next(), PeerError);
  await assert.rejects(reader.read(new Uint8Array(10)), PeerError);
  await peers.assertNothingLeft();
}

/** Reads one chunk, and lets the peer fill what it may. */
async function readOne(reader: BlobDownload, peers: FakePeers): Promise<void> {
  await finished(peers.clock, reader.next());
  await settle();
}

/** Two peers, of which the second one is special. */
function paced(second: Script): Readonly<Record<string, Script>> {
  const both: Script = { piece: CHUNK_SIZE, delayMs: 100 };
  return { a: both, b: { ...both, ...second } };
}

/** Reads until two peers are asked. */
async function untilSeveral(reader: BlobDownload, peers: FakePeers): Promise<void> {
  while (!peers.requests.some((request) => request.startsWith("b "))) {
    await finished(peers.clock, reader.next());
  }
}

const STATES: Readonly<
  Record<string, [
    scripts: Readonly<Record<string, Script>>,
    setting: DownloadSetting,
    until: (reader: BlobDownload, peers: FakePeers) => Promise<void>,
  ]>
> = {
  "before anything was read": [{ a: {} }, {}, async () => {}],
  "with bytes lent": [{ a: {} }, {}, readOne],
  "with bytes copied in part": [{ a: {} }, {}, async (reader) => {
    assert.equal(await reader.read(new Uint8Array(10)), 10);
  }],
  "while the first byte is awaited": [{ a: { read: hang } }, {}, async (reader) => {
    const reading = reader.next();
    await settle();
    await reader.close();
    await assert.rejects(reading, PeerError);
  }],
  "in mid-chunk": [
    { a: { read: (at) => at > CHUNK_SIZE + 5 ? hang() : undefined } },
    {},
    readOne,
  ],
  "while the list is awaited": [{ a: {} }, { listMs: Infinity }, async (reader) => {
    const reading = reader.next();
    await settle();
    await reader.close();
    await assert.rejects(reading, PeerError);
  }],
  "while another peer is looked for": [
    {
      a: {
        read: () => {
          throw new PeerError("broken");
        },
      },
      b: { ask: hang },
    },
    {},
    async (reader, peers) => {
      const reading = reader.next();
      await settle();
      assert.deepEqual(peers.requests.map((request) => request.slice(0, 1)), ["a", "b"]);
      await reader.close();
      await assert.rejects(reading, PeerError);
    },
  ],
  "with nobody left": [
    {
      a: {
        read: (at) => {
          if (at > CHUNK_SIZE) throw new PeerError("broken");
        },
      },
    },
    {},
    async (reader, peers) => {
      await readOne(reader, peers);
      await assert.rejects(finished(peers.clock, reader.next()));
    },
  ],
  "after it was told to fail": [{ a: {} }, {}, async (reader, peers) => {
    await readOne(reader, peers);
    reader.fail(new VerificationError("peers disagree"));
    await assert.rejects(reader.next(), /peers disagree/);
  }],
  "while several peers deliver": [paced({}), {}, untilSeveral],
  "while one of several peers is asked": [
    paced({ ask: hang }),
    {},
    untilSeveral,
  ],
  "while one of several peers waits for the reader": [
    paced({ delayMs: 1 }),
    {},
    async (reader, peers) => {
      await untilSeveral(reader, peers);
      await finished(peers.clock, new Promise<void>((resolve) => setTimeout(resolve, 60_000)));
      assert.equal(reader.lanes, 2);
    },
  ],
  "while one of several peers waits for memory": [
    paced({ delayMs: 1 }),
    { buffers: new ChunkBuffers(0) },
    async (reader, peers) => {
      await untilSeveral(reader, peers);
      await finished(peers.clock, new Promise<void>((resolve) => setTimeout(resolve, 60_000)));
    },
  ],
  "while chunks are paced": [
    { a: {} },
    { pace: hang },
    async (reader) => {
      const reading = reader.next();
      await settle();
      await reader.close();
      await assert.rejects(reading, PeerError);
    },
  ],
  "at its end": [{ a: {} }, {}, async (reader, peers) => {
    while (await finished(peers.clock, reader.next()) !== undefined);
    assert.equal(await reader.next(), undefined);
  }],
};
for (const [state, [scripts, setting, until]] of Object.entries(STATES)) {
  Deno.test(`BlobDownload.close() leaves nothing behind ${state}`, () =>
    closing(scripts, setting, until));
}
