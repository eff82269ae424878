import assert from "node:assert/strict";
import {
  encodeAddProvider,
  encodePing,
  encodeProvider,
  varint,
} from "../../../../lib/routing/libp2p/provider_message.ts";

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.fromHex(hex.replace(/\s+/g, ""));
}

Deno.test("varint() encodes as protobuf does, also beyond 32 bits", () => {
  const cases: [number, string][] = [
    [0, "00"],
    [127, "7f"],
    [128, "8001"],
    [300, "ac02"],
    [2 ** 32, "8080808010"],
    [Number.MAX_SAFE_INTEGER, "ffffffffffffff0f"],
  ];
  for (const [value, hex] of cases) {
    assert.equal(Uint8Array.from(varint(value)).toHex(), hex, `${value}`);
  }
});

Deno.test("encodeAddProvider() writes the message that kad-dht reads", () => {
  const id = bytesOf("0024 0801 1220" + "11".repeat(32));
  const address = bytesOf("04 7f000001 06 a829"); // /ip4/127.0.0.1/tcp/43049
  const multihash = bytesOf("1220" + "22".repeat(32));
  const message = encodeAddProvider(multihash, encodeProvider(id, [address, address]));
  assert.equal(
    message.toHex(),
    bytesOf([
      "66", // Length of the message: 102
      "08 02", // 1 type: ADD_PROVIDER
      "12 22 1220" + "22".repeat(32), // 2 key: the multihash
      "4a 3e", // 9 providers, 62 bytes:
      "0a 26 0024 0801 1220" + "11".repeat(32), // 1 id
      "12 08 04 7f000001 06 a829", // 2 addresses
      "12 08 04 7f000001 06 a829",
      "18 01", // 3 connection: CONNECTED
    ].join("")).toHex(),
  );
});

Deno.test("encodeAddProvider() writes lengths of more than one byte", () => {
  const address = new Uint8Array(200);
  const provider = encodeProvider(new Uint8Array(38), [address]);
  const message = encodeAddProvider(new Uint8Array(34), provider);
  // 2 type + 36 key + provider: tag, 2 bytes of length, 40 id + 203 address + 2 connection.
  assert.equal(provider.length, 1 + 2 + 245);
  assert.equal(message.length, 2 + 2 + 36 + provider.length);
  assert.deepEqual([...message.subarray(0, 2)], varint(message.length - 2));
  assert.deepEqual([...provider.subarray(0, 3)], [0x4a, ...varint(245)]);
});

Deno.test("encodePing() writes a PING", () => {
  assert.equal(encodePing().toHex(), "020805");
});
