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
 * @returns Its forms. They are computed anew each time, for thousands of keys are kept and seldom looked at: kept as
 * well, they would take 2 KiB a key.
 */
export function providerKey(text: string): ProviderKey {
  return new ComputedKey(text);
}

class ComputedKey implements ProviderKey {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  get cid(): CID {
    return CID.createV1(raw.code, Digest.decode(this.multihash));
  }

  get multihash(): Uint8Array<ArrayBuffer> {
    return multihashOf(sha256(new TextEncoder().encode(this.text)));
  }

  get recordName(): string {
    return base32.baseEncode(this.multihash);
  }

  get position(): Uint8Array {
    return sha256(this.multihash);
  }
}

/** A multihash of sha2-256 begins with its code and the length of the digest. */
const MULTIHASH_PREFIX = [SHA2_256, 32] as const;

/**
 * Makes a multihash of sha2-256.
 *
 * @param digest Its 32 bytes.
 * @returns The multihash.
 */
export function multihashOf(digest: Uint8Array): Uint8Array<ArrayBuffer> {
  const multihash = new Uint8Array(MULTIHASH_PREFIX.length + digest.length);
  multihash.set(MULTIHASH_PREFIX);
  multihash.set(digest, MULTIHASH_PREFIX.length);
  return multihash;
}

/**
 * Takes the digest out of a multihash.
 *
 * @param multihash The multihash.
 * @returns Its 32 bytes, or undefined if it is not one of sha2-256, as all keys of Kagami and Spegel are.
 */
export function digestOf(multihash: Uint8Array): Uint8Array | undefined {
  const isSha256 = multihash.length === MULTIHASH_PREFIX.length + 32 &&
    MULTIHASH_PREFIX.every((byte, index) => multihash[index] === byte);
  return isSha256 ? multihash.subarray(MULTIHASH_PREFIX.length) : undefined;
}

/**
 * Reads the name of a provider record.
 *
 * @param recordName Name, as in {@linkcode ProviderKey.recordName}.
 * @returns The digest in it, or undefined if it is not one of sha2-256.
 */
export function digestOfRecordName(recordName: string): Uint8Array | undefined {
  try {
    return digestOf(base32.decode(`${base32.prefix}${recordName}`));
  } catch {
    return undefined; // Not base32.
  }
}

/**
 * Makes the name of a provider record.
 *
 * @param digest Digest of the key's text.
 * @returns The name, as in {@linkcode ProviderKey.recordName}.
 */
export function recordNameOf(digest: Uint8Array): string {
  return base32.baseEncode(multihashOf(digest));
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
