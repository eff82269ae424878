/**
 * Keys of the routing in the forms the DHT needs them.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { base32 } from "multiformats/bases/base32";
import { CID } from "multiformats/cid";
import * as raw from "multiformats/codecs/raw";
import * as Digest from "multiformats/hashes/digest";

/** Multihash code of sha2-256. */
const SHA2_256 = 0x12;

/** A key, its identifier in the DHT, and its place in the keyspace. */
export interface ProviderKey {
  /** What is looked up: a digest or a full tag reference. */
  readonly text: string;
  /** CIDv1, codec raw, sha2-256 of the text, as Spegel makes it. */
  readonly cid: CID;
  /** Bytes of the multihash; what messages of the DHT carry. */
  readonly multihash: Uint8Array<ArrayBuffer>;
  /** Name of the key in provider records. */
  readonly recordName: string;
  /** Place in the keyspace: sha2-256 of the multihash's bytes. */
  readonly position: Uint8Array;
}

/**
 * Computes the forms of a key.
 *
 * @param text Digest or full tag reference.
 * @returns Its forms.
 */
export function providerKey(text: string): ProviderKey {
  const digest = Digest.create(SHA2_256, sha256(new TextEncoder().encode(text)));
  const multihash = Uint8Array.from(digest.bytes);
  return {
    text,
    cid: CID.createV1(raw.code, digest),
    multihash,
    recordName: base32.baseEncode(multihash),
    position: sha256(multihash),
  };
}

/**
 * Place in the keyspace of a multihash: of a key, or of a peer ID.
 *
 * @param bytes Bytes of the multihash.
 * @returns 32 bytes.
 */
export function keyspacePosition(bytes: Uint8Array): Uint8Array {
  return sha256(bytes);
}

function sha256(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(createHash("sha256").update(bytes).digest());
}
