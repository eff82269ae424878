/**
 * Distances in Kademlia's keyspace.
 *
 * @module
 */

/** Something with a place in the keyspace. */
export interface Positioned {
  /** Name of it: a peer ID. */
  readonly id: string;
  /** 32 bytes. */
  readonly position: Uint8Array;
}

/**
 * Compares two places by their XOR distance to a target.
 *
 * @param target The place that distances are measured from.
 * @param a First place.
 * @param b Second place.
 * @returns Negative if a is closer, positive if b is, 0 if they are the same place.
 */
export function compareDistance(target: Uint8Array, a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < target.length; i++) {
    const difference = ((target[i]! ^ a[i]!) & 0xff) - ((target[i]! ^ b[i]!) & 0xff);
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * The places closest to a target, closest first.
 *
 * @param target The place that distances are measured from.
 * @param candidates Places to choose from.
 * @param count How many are wanted.
 * @returns Up to `count` of the candidates.
 */
export function closest<T extends Positioned>(
  target: Uint8Array,
  candidates: readonly T[],
  count: number,
): T[] {
  return [...candidates]
    .sort((a, b) => compareDistance(target, a.position, b.position))
    .slice(0, count);
}

/**
 * Says whether a place is one of the closest to a target.
 *
 * @param target The place that distances are measured from.
 * @param place The place in question.
 * @param others Other places; may hold the one in question.
 * @param count How many are the closest.
 * @returns True if fewer than `count` of the others are closer.
 */
export function isAmongClosest(
  target: Uint8Array,
  place: Uint8Array,
  others: readonly Positioned[],
  count: number,
): boolean {
  let closer = 0;
  for (const { position } of others) {
    if (compareDistance(target, position, place) < 0 && ++closer === count) return false;
  }
  return true;
}

/**
 * Number of leading bits that two places have in common.
 *
 * @param a First place.
 * @param b Second place.
 * @returns 0 to 256.
 */
export function commonPrefixLength(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) {
    const difference = a[i]! ^ b[i]!;
    if (difference !== 0) return i * 8 + Math.clz32(difference) - 24;
  }
  return a.length * 8;
}
