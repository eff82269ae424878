/**
 * Messages of the DHT that Kagami writes itself, as go-libp2p-kad-dht and `@libp2p/kad-dht` read them
 * (protobuf `Message`, each with its length before it): ADD_PROVIDER, and PING to learn that the messages
 * before it were handled.
 *
 * @module
 */

/** Values of the protobuf enumeration `MessageType`. */
const ADD_PROVIDER = 2;
const PING = 5;

/** Value `CONNECTED` of the protobuf enumeration `ConnectionType`. */
const CONNECTED = 1;

/**
 * Encodes a number as an unsigned varint.
 *
 * @param value Integer of at least 0.
 * @returns The bytes.
 */
export function varint(value: number): number[] {
  const bytes: number[] = [];
  // Divisions, for bit operators of JavaScript end at 32 bits.
  while (value >= 0x80) {
    bytes.push((value % 0x80) | 0x80);
    value = Math.floor(value / 0x80);
  }
  bytes.push(value);
  return bytes;
}

function lengthDelimited(field: number, bytes: ArrayLike<number>): number[] {
  return [(field << 3) | 2, ...varint(bytes.length), ...Array.from(bytes)];
}

function number(field: number, value: number): number[] {
  return [field << 3, ...varint(value)];
}

function framed(message: number[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...varint(message.length), ...message]);
}

/** Field 9 of ADD_PROVIDER: this node as the provider; the same for all keys. */
export type ProviderField = Uint8Array<ArrayBuffer>;

/**
 * Encodes who provides.
 *
 * @param peerId Bytes of the peer ID's multihash. Must be the sender, or receivers ignore the record.
 * @param multiaddrs Bytes of the multiaddrs, without `/p2p`.
 * @returns The field, for {@linkcode encodeAddProvider}.
 */
export function encodeProvider(
  peerId: Uint8Array,
  multiaddrs: readonly Uint8Array[],
): ProviderField {
  return Uint8Array.from(lengthDelimited(9, [
    ...lengthDelimited(1, peerId),
    ...multiaddrs.flatMap((address) => lengthDelimited(2, address)),
    ...number(3, CONNECTED),
  ]));
}

/**
 * Encodes an announcement, with its length before it.
 *
 * @param multihash Bytes of the key's multihash.
 * @param provider Who provides it, from {@linkcode encodeProvider}.
 * @returns The message.
 */
export function encodeAddProvider(
  multihash: Uint8Array,
  provider: ProviderField,
): Uint8Array<ArrayBuffer> {
  const body = [...number(1, ADD_PROVIDER), ...lengthDelimited(2, multihash)];
  const length = varint(body.length + provider.length);
  const message = new Uint8Array(length.length + body.length + provider.length);
  message.set(length);
  message.set(body, length.length);
  message.set(provider, length.length + body.length);
  return message;
}

/**
 * Encodes who provides no longer: a provider without addresses. Kagami takes it for a withdrawal; go-libp2p-kad-dht and
 * `@libp2p/kad-dht` ignore it.
 *
 * @param peerId Bytes of the peer ID's multihash. Must be the sender.
 * @returns The field, for {@linkcode encodeAddProvider}.
 */
export function encodeFormerProvider(peerId: Uint8Array): ProviderField {
  return encodeProvider(peerId, []);
}

/**
 * Encodes a PING, with its length before it. Receivers answer it after the messages before it on the stream.
 *
 * @returns The message.
 */
export function encodePing(): Uint8Array<ArrayBuffer> {
  return framed(number(1, PING));
}
