/**
 * Messages of the DHT between bytes and the objects that kad-dht's handlers take and give: protobuf `Message` of
 * go-libp2p-kad-dht.
 *
 * @see https://github.com/libp2p/specs/blob/master/kad-dht/README.md#rpc-messages
 * @module
 */
import { InvalidMessageError } from "@libp2p/interface";
import { varint } from "./provider_message.ts";

/** Types by their number. */
const TYPES = [
  "PUT_VALUE",
  "GET_VALUE",
  "ADD_PROVIDER",
  "GET_PROVIDERS",
  "FIND_NODE",
  "PING",
] as const;

/** Type of a message. */
export type DhtMessageType = typeof TYPES[number];

/** A peer in a message. */
export interface DhtPeer {
  /** Multihash of the peer ID. */
  readonly id: Uint8Array;
  readonly multiaddrs: readonly Uint8Array[];
}

/** A message. */
export interface DhtMessage {
  readonly type: DhtMessageType;
  readonly key?: Uint8Array;
  readonly record?: Uint8Array;
  readonly closer: readonly DhtPeer[];
  readonly providers: readonly DhtPeer[];
  readonly clusterLevel?: number;
}

const WIRE_VARINT = 0;
const WIRE_FIXED64 = 1;
const WIRE_BYTES = 2;
const WIRE_FIXED32 = 5;

/** Reads protobuf fields one after the other. */
class FieldReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): number {
    let value = 0;
    // Multiplications, for bit operators of JavaScript end at 32 bits. Ten bytes are the most that protobuf writes.
    for (let count = 0; count < 10; count++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * 128 ** count;
      if (byte < 0x80) return value;
    }
    throw new InvalidMessageError("a number does not end");
  }

  /** A view of the message's bytes. */
  bytes(): Uint8Array {
    const length = this.varint();
    return this.#take(length);
  }

  skip(wireType: number): void {
    if (wireType === WIRE_VARINT) this.varint();
    else if (wireType === WIRE_BYTES) this.bytes();
    else if (wireType === WIRE_FIXED64) this.#take(8);
    else if (wireType === WIRE_FIXED32) this.#take(4);
    else throw new InvalidMessageError(`unknown wire type ${wireType}`);
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new InvalidMessageError("a field reaches over the end");
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }
}

/** Calls back for each field; what the callback does not read is skipped. */
function eachField(bytes: Uint8Array, read: (tag: number, reader: FieldReader) => boolean): void {
  const reader = new FieldReader(bytes);
  while (!reader.isAtEnd) {
    const tag = reader.varint();
    if (!read(tag, reader)) reader.skip(tag & 7);
  }
}

/** Number and wire type of a field, as they stand before it. */
const TAG = {
  type: 1 << 3 | WIRE_VARINT,
  key: 2 << 3 | WIRE_BYTES,
  record: 3 << 3 | WIRE_BYTES,
  closer: 8 << 3 | WIRE_BYTES,
  providers: 9 << 3 | WIRE_BYTES,
  clusterLevel: 10 << 3 | WIRE_VARINT,
  peerId: 1 << 3 | WIRE_BYTES,
  peerAddress: 2 << 3 | WIRE_BYTES,
} as const;

/**
 * Decodes a message.
 *
 * @param bytes The message, without its length.
 * @returns The message. Its parts are views of the bytes.
 * @throws {InvalidMessageError} If it is malformed, or of an unknown type.
 */
export function decodeDhtMessage(bytes: Uint8Array): DhtMessage {
  let type = 0;
  let clusterLevel: number | undefined;
  const parts: { key?: Uint8Array; record?: Uint8Array } = {};
  const closer: DhtPeer[] = [];
  const providers: DhtPeer[] = [];
  eachField(bytes, (tag, reader) => {
    if (tag === TAG.type) type = reader.varint();
    else if (tag === TAG.key) parts.key = reader.bytes();
    else if (tag === TAG.record) parts.record = reader.bytes();
    else if (tag === TAG.closer) closer.push(decodePeer(reader.bytes()));
    else if (tag === TAG.providers) providers.push(decodePeer(reader.bytes()));
    else if (tag === TAG.clusterLevel) clusterLevel = reader.varint();
    else return false;
    return true;
  });
  const name = TYPES[type];
  if (name === undefined) throw new InvalidMessageError(`unknown message type ${type}`);
  return {
    type: name,
    ...parts,
    closer,
    providers,
    ...(clusterLevel === undefined ? {} : { clusterLevel }),
  };
}

function decodePeer(bytes: Uint8Array): DhtPeer {
  let id = new Uint8Array();
  const multiaddrs: Uint8Array[] = [];
  eachField(bytes, (tag, reader) => {
    if (tag === TAG.peerId) id = reader.bytes() as Uint8Array<ArrayBuffer>;
    else if (tag === TAG.peerAddress) multiaddrs.push(reader.bytes());
    else return false;
    return true;
  });
  return { id, multiaddrs };
}

/**
 * Encodes a message, with its length before it.
 *
 * @param message The message.
 * @returns The bytes.
 */
export function encodeDhtMessage(message: DhtMessage): Uint8Array<ArrayBuffer> {
  const { type, key, record, closer, providers, clusterLevel } = message;
  const body = [
    [TAG.type, ...varint(TYPES.indexOf(type))],
    ...(key === undefined ? [] : [field(TAG.key, key)]),
    ...(record === undefined ? [] : [field(TAG.record, record)]),
    ...closer.map((peer) => field(TAG.closer, encodePeer(peer))),
    ...providers.map((peer) => field(TAG.providers, encodePeer(peer))),
    ...(clusterLevel ? [[TAG.clusterLevel, ...varint(clusterLevel)]] : []),
  ].flat();
  return Uint8Array.from([...varint(body.length), ...body]);
}

function encodePeer({ id, multiaddrs }: DhtPeer): number[] {
  return [
    ...field(TAG.peerId, id),
    ...multiaddrs.flatMap((address) => field(TAG.peerAddress, address)),
  ];
}

function field(tag: number, bytes: ArrayLike<number>): number[] {
  return [tag, ...varint(bytes.length), ...Array.from(bytes)];
}
