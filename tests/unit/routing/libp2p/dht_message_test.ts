import assert from "node:assert/strict";
import {
  decodeDhtMessage,
  type DhtMessage,
  encodeDhtMessage,
} from "../../../../lib/routing/libp2p/dht_message.ts";

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.fromHex(hex.replace(/\s+/g, ""));
}

/** Without the length before it. */
function bodyOf(message: DhtMessage): Uint8Array {
  const encoded = encodeDhtMessage(message);
  let at = 0;
  while (encoded[at++]! >= 0x80) { /* Length. */ }
  return encoded.subarray(at);
}

const KEY = bytesOf("1220" + "22".repeat(32));
const PEER = {
  id: bytesOf("0024 0801 1220" + "11".repeat(32)),
  multiaddrs: [bytesOf("04 7f000001 06 1389"), bytesOf("04 0a000007 06 1389")],
};

Deno.test("decodeDhtMessage() reads what go-libp2p-kad-dht writes", () => {
  const message = decodeDhtMessage(bytesOf([
    "08 03", // 1 type: GET_PROVIDERS
    "12 22 1220" + "22".repeat(32), // 2 key
    "42 3e 0a 26 0024 0801 1220" + "11".repeat(32), // 8 closer: 1 id
    "12 08 04 7f000001 06 1389", // 2 addresses
    "12 08 04 0a000007 06 1389",
    "18 01", // 3 connection: CONNECTED
    "50 05", // 10 clusterLevel
  ].join("")));
  assert.deepEqual(message, {
    type: "GET_PROVIDERS",
    key: KEY,
    closer: [PEER],
    providers: [],
    clusterLevel: 5,
  });
});

Deno.test("a message without a type is a PUT_VALUE, as protobuf leaves zeros out", () => {
  assert.deepEqual(decodeDhtMessage(new Uint8Array()), {
    type: "PUT_VALUE",
    closer: [],
    providers: [],
  });
});

Deno.test("decodeDhtMessage() skips fields that it does not know, of every wire type", () => {
  const message = decodeDhtMessage(bytesOf([
    "78 ac02", // 15 varint
    "79 0102030405060708", // 15 fixed64
    "7a 03 aabbcc", // 15 bytes
    "7d 01020304", // 15 fixed32
    "08 05", // 1 type: PING
  ].join("")));
  assert.equal(message.type, "PING");
});

Deno.test("decodeDhtMessage() refuses malformed messages", () => {
  const malformed = {
    "a field that reaches over the end": "12 22 1220",
    "a number that does not end": "08" + "ff".repeat(12),
    "a number that is cut off": "08 80",
    "an unknown type": "08 06",
    "a group": "7b",
    "a peer that is cut off": "42 03 0a 26 00",
    "an endless length": "12 ffffffffffffffff7f",
  };
  for (const [what, hex] of Object.entries(malformed)) {
    assert.throws(() => decodeDhtMessage(bytesOf(hex)), { name: "InvalidMessageError" }, what);
  }
});

Deno.test("what encodeDhtMessage() writes, decodeDhtMessage() reads", () => {
  const messages: DhtMessage[] = [
    { type: "PING", closer: [], providers: [] },
    { type: "FIND_NODE", key: KEY, closer: Array(40).fill(PEER), providers: [] },
    { type: "GET_PROVIDERS", key: KEY, closer: [PEER], providers: [PEER, PEER], clusterLevel: 300 },
    { type: "GET_VALUE", key: KEY, record: new Uint8Array(1000), closer: [PEER], providers: [] },
    { type: "PUT_VALUE", closer: [], providers: [{ id: PEER.id, multiaddrs: [] }] },
  ];
  for (const message of messages) assert.deepEqual(decodeDhtMessage(bodyOf(message)), message);
});

Deno.test("encodeDhtMessage() writes the length of the message before it", () => {
  const long = encodeDhtMessage({
    type: "FIND_NODE",
    key: new Uint8Array(300),
    closer: [],
    providers: [],
  });
  assert.deepEqual([...long.subarray(0, 2)], [
    0x80 | (long.length - 2) % 128,
    (long.length - 2) >> 7,
  ]);
  assert.equal(
    encodeDhtMessage({ type: "PING", closer: [], providers: [] }).toHex(),
    "020805",
  );
});
