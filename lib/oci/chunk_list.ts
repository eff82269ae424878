/**
 * What tells whether a part of a content is right, before the whole of it is there.
 *
 * For each chunk of {@linkcode CHUNK_SIZE} bytes a list holds the chunk's CRC-32, and the content's digest as it stands
 * at the end of the chunk: the digest of everything up to there. Whoever hashes a content anyway gets both for next to
 * nothing (a copy of the hash's state a chunk), and whoever receives it in order can check the digests as exactly as the
 * content's own. The CRC-32 tells of a damaged chunk that comes out of order, or in a part of the content.
 *
 * Encoded, a list is its entries one after the other: four bytes of CRC-32, most significant first, and the digest.
 *
 * @module
 */
import type { Hash } from "node:crypto";
import { crc32 } from "node:zlib";
import { concatenate } from "../concatenate.ts";
import { type Digest, hasherFor, splitDigest } from "./digest.ts";

/** Bytes in a chunk; the last one of a content may have fewer. */
export const CHUNK_SIZE = 1024 * 1024;

const CRC_BYTES = 4;

/** Chunks of one content. */
export class ChunkList {
  /** The list in its encoded form. */
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #entryBytes: number;

  private constructor(bytes: Uint8Array, entryBytes: number) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#entryBytes = entryBytes;
  }

  /**
   * Reads an encoded list.
   *
   * @param bytes The list.
   * @param digest Digest of the content.
   * @param size Size of the content in bytes.
   * @returns The list; undefined if it cannot be one of that content: a wrong length, or another digest at its end.
   */
  static parse(bytes: Uint8Array, digest: Digest, size: number): ChunkList | undefined {
    const { hex } = splitDigest(digest);
    const entryBytes = CRC_BYTES + hex.length / 2;
    if (size === 0 || bytes.length !== Math.ceil(size / CHUNK_SIZE) * entryBytes) return undefined;
    const list = new ChunkList(bytes, entryBytes);
    return list.prefixOf(list.count - 1) === hex ? list : undefined;
  }

  /** Number of chunks. */
  get count(): number {
    return this.bytes.length / this.#entryBytes;
  }

  /**
   * @param index Number of a chunk, from 0.
   * @returns Its CRC-32.
   */
  crcOf(index: number): number {
    return this.#view.getUint32(index * this.#entryBytes);
  }

  /**
   * @param index Number of a chunk, from 0.
   * @returns Hex digits of the digest of everything up to the end of the chunk.
   */
  prefixOf(index: number): string {
    const start = index * this.#entryBytes + CRC_BYTES;
    return this.bytes.subarray(start, start + this.#entryBytes - CRC_BYTES).toHex();
  }

  /**
   * @param index Number of a chunk.
   * @param bytes All bytes of the chunk.
   * @returns True if they agree with its CRC-32.
   */
  matches(index: number, bytes: Uint8Array): boolean {
    return crc32(bytes) === this.crcOf(index);
  }

  /** @returns True if both lists say the same. */
  equals(other: ChunkList): boolean {
    return this.bytes.length === other.bytes.length &&
      this.bytes.every((byte, index) => byte === other.bytes[index]);
  }
}

/** Makes a content's digest and its list in one pass. */
export class ChunkListBuilder {
  readonly #digest: Digest;
  readonly #hash: Hash;
  readonly #entries: Uint8Array[] = [];
  #size = 0;
  #crc = 0;

  /**
   * @param digest Digest that the content is to have; its algorithm is the one that is used.
   */
  constructor(digest: Digest) {
    this.#digest = digest;
    this.#hash = hasherFor(digest);
  }

  /**
   * Adds the next bytes.
   *
   * @param bytes Any number of bytes.
   */
  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const room = CHUNK_SIZE - this.#size % CHUNK_SIZE;
      const part = bytes.subarray(at, at + room);
      this.#hash.update(part);
      this.#crc = crc32(part, this.#crc);
      this.#size += part.length;
      at += part.length;
      if (this.#size % CHUNK_SIZE === 0) this.#endChunk();
    }
  }

  #endChunk(): void {
    const prefix = this.#hash.copy().digest();
    const entry = new Uint8Array(CRC_BYTES + prefix.length);
    new DataView(entry.buffer).setUint32(0, this.#crc);
    entry.set(prefix, CRC_BYTES);
    this.#entries.push(entry);
    this.#crc = 0;
  }

  /**
   * Ends the content.
   *
   * @returns Whether it matches the digest; its list, which only content that matches and is not empty has.
   */
  finish(): { readonly matches: boolean; readonly list: ChunkList | undefined } {
    if (this.#size % CHUNK_SIZE !== 0) this.#endChunk();
    const matches = this.#hash.digest("hex") === splitDigest(this.#digest).hex;
    const bytes = concatenate(this.#entries);
    return {
      matches,
      list: matches ? ChunkList.parse(bytes, this.#digest, this.#size) : undefined,
    };
  }
}
