/**
 * Bytes put together.
 *
 * @module
 */

/**
 * Puts parts one after the other.
 *
 * @param parts The parts, in their order.
 * @returns All of their bytes.
 */
export function concatenate(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
