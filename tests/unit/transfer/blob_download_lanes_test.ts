import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { PeerError } from "../../../lib/errors.ts";
import { CHUNK_SIZE } from "../../../lib/oci/chunk_list.ts";
import { makeContent } from "../support/content.ts";
import { download, type Outcome, type Script } from "./fake_peers.ts";

const CONTENT = makeContent(40 * CHUNK_SIZE + 5, 3);

/** A peer that takes so long for a chunk. */
function paced(delayMs: number, script: Script = {}): Script {
  return { piece: CHUNK_SIZE, delayMs, ...script };
}

function assertWhole({ bytes, error }: Outcome): void {
  assert.equal(error, undefined);
  assert.equal(Buffer.compare(bytes, CONTENT.bytes), 0);
}

Deno.test("BlobDownload goes on when the peer that the reader waits for breaks and the only other one is far ahead", async () => {
  let ahead = 0;
  const outcome = await download(CONTENT, {
    a: paced(100, {
      read(at) {
        if (ahead >= at + 7 * CHUNK_SIZE) throw new PeerError("broken");
      },
    }),
    b: paced(40, { read: (at) => void (ahead = Math.max(ahead, at)) }),
  });
  assertWhole(outcome);
  assert.deepEqual(outcome.peers.failures, ["a progressed"]);
});
