/**
 * Identities of nodes.
 *
 * @module
 */
import { generateKeyPairFromSeed } from "@libp2p/crypto/keys";
import type { PeerId } from "@libp2p/interface";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";

/**
 * Makes an identity.
 *
 * @param number Other numbers make other identities, the same number the same one.
 * @returns The identity.
 */
export async function makePeerId(number: number): Promise<PeerId> {
  const seed = new Uint8Array(32);
  new DataView(seed.buffer).setUint32(0, number);
  return peerIdFromPrivateKey(await generateKeyPairFromSeed("Ed25519", seed));
}
