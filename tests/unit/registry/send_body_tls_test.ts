import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { OutgoingMessage, ServerResponse } from "node:http";
import { BodySender, TLS_PIECE_BYTES } from "../../../lib/registry/send_body.ts";
import { FileReader } from "../../../lib/store/file_reader.ts";
import { PeerChannels } from "../../../lib/transfer/peer_channels.ts";
import { PeerClient } from "../../../lib/transfer/peer_client.ts";
import { makeContent } from "../support/content.ts";
import { makeContentFile } from "../support/content_file.ts";
import { drain } from "../support/drain.ts";
import { blobPath, TEST_TIMEOUTS } from "../support/mirror_of.ts";
import { GivenOffers, startTlsPeer } from "../support/tls_peer.ts";

/** Notes how many bytes each write of a response has, until it is disposed of. */
function watchWrites(): Disposable & { readonly sizes: number[] } {
  const sizes: number[] = [];
  const { write, end } = OutgoingMessage.prototype;
  const note = (chunk: unknown) => {
    if (chunk instanceof Uint8Array) sizes.push(chunk.length);
  };
  Object.assign(ServerResponse.prototype, {
    write(this: ServerResponse, ...args: Parameters<typeof write>) {
      note(args[0]);
      return write.apply(this, args);
    },
    end(this: ServerResponse, ...args: Parameters<typeof end>) {
      note(args[0]);
      return end.apply(this, args);
    },
  });
  return {
    sizes,
    [Symbol.dispose]() {
      Reflect.deleteProperty(ServerResponse.prototype, "write");
      Reflect.deleteProperty(ServerResponse.prototype, "end");
    },
  };
}

const SIZES = [1, TLS_PIECE_BYTES, TLS_PIECE_BYTES + 1, 200_000, 256 * 1024, 3_000_001];
for (const size of SIZES) {
  for (const kind of ["a file", "memory"]) {
    Deno.test(`BodySender sends ${size} bytes from ${kind} over TLS, in small pieces`, async () => {
      const content = makeContent(size);
      await using file = await makeContentFile(content.bytes);
      const sending = { sender: new BodySender(), open: () => FileReader.open(file.path) };
      await using server = await startTlsPeer(content, 0, kind === "memory" ? undefined : sending);
      const channels = new PeerChannels({
        offers: new GivenOffers(server.offer()),
        required: true,
        now: () => performance.now(),
      });
      const client = new PeerClient({ timeouts: TEST_TIMEOUTS, channels });
      using writes = watchWrites();
      const request = { path: blobPath(content.digest), method: "GET" } as const;
      const { response } = await client.request(server.peer, request);
      const { bytes } = await drain(response);
      response.close();
      assert.equal(Buffer.compare(bytes, content.bytes), 0);
      assert.equal(writes.sizes.reduce((sum, count) => sum + count, 0), size);
      assert.ok(Math.max(...writes.sizes) <= TLS_PIECE_BYTES, String(writes.sizes));
    });
  }
}
