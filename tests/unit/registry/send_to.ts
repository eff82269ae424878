/**
 * Sending one body to one client over a socket.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createServer, type ServerResponse } from "node:http";
import { closeServer, listen } from "../../../lib/net/listen.ts";
import type { TransferSlot } from "../../../lib/net/transfer_limits.ts";
import { BodySender } from "../../../lib/registry/send_body.ts";
import type { ContentReader } from "../../../lib/store/store.ts";
import { RawClient } from "../support/raw_client.ts";

/** What became of a body, and how far it got. */
export interface Sending {
  /** Pieces that were handed over. */
  readonly pieces: number[];
  /** How often a head was written. */
  heads: number;
  /** Why it could not be sent. */
  error: unknown;
}

/**
 * Sends one body to one client.
 *
 * @param reader What is sent, with a `Content-Length` of what it announces.
 * @param receive What the client does; the connection is broken if the body could not be sent.
 * @param sender How.
 * @param slot Paces it.
 * @returns What became of it.
 */
export async function sendTo(
  reader: ContentReader,
  receive: (client: RawClient) => Promise<void>,
  sender: BodySender = new BodySender(),
  slot?: TransferSlot,
): Promise<Sending> {
  const sending: Sending = { pieces: [], heads: 0, error: undefined };
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const send = async (response: ServerResponse) => {
    response.on("error", () => {});
    const writeHead = () => {
      sending.heads += 1;
      response.writeHead(200, { "Content-Length": String(reader.end - reader.start + 1) });
    };
    try {
      await sender.send(response, reader, {
        writeHead,
        onSent: (count) => sending.pieces.push(count),
        slot,
      });
      await sender.end(response);
    } catch (error) {
      sending.error = error;
      response.destroy();
    }
    resolve();
  };
  const server = createServer((_request, response) => void send(response));
  const port = await listen(server, { host: "127.0.0.1", port: 0 });
  try {
    using client = await RawClient.connect(port);
    await client.ask("GET", "/");
    await receive(client);
    await over;
  } finally {
    await closeServer(server, Promise.resolve(), 0);
  }
  assert.equal(sender.active, 0);
  return sending;
}
