/**
 * Makes odd inputs from good ones.
 *
 * @module
 */
import type { Random } from "./random.ts";

/** Texts that have broken parsers. */
const ODD = [
  "",
  "\0",
  "\r",
  "\n",
  "\r\n",
  "\r\n\r\n",
  "\t",
  " ",
  "%",
  "%00",
  "%2e%2e%2f",
  "%25",
  "..",
  "../",
  "/",
  "//",
  "\\",
  ":",
  "::",
  "@",
  "#",
  "?",
  "&",
  "=",
  "-",
  "--",
  ",",
  ";",
  "*",
  "+",
  "'",
  '"',
  "[",
  "]",
  "{",
  "}",
  "(",
  ")",
  "0",
  "-1",
  "1e9",
  "0x10",
  "2147483648",
  "9007199254740993",
  "18446744073709551616",
  "NaN",
  "null",
  "true",
  "__proto__",
  "constructor",
  "\u00e9",
  "\u0130",
  "\u212a",
  "\u2028",
  "\ufeff",
  "\ud800",
  "\u{1f600}",
  "\x7f",
  "\x80",
  "\xff",
];

const MAX_LENGTH = 20_000;

/**
 * Changes a text in a few places.
 *
 * @param random Choices.
 * @param seeds Good inputs.
 * @returns One of them, changed, or parts of two.
 */
export function mutate(random: Random, seeds: readonly string[]): string {
  let text = random.pick(seeds);
  for (let left = random.below(5); left >= 0; left--) text = change(random, text, seeds);
  return text.slice(0, MAX_LENGTH);
}

function change(random: Random, text: string, seeds: readonly string[]): string {
  const at = random.below(text.length + 1);
  const end = Math.min(text.length, at + random.below(12));
  const [before, part, after] = [text.slice(0, at), text.slice(at, end), text.slice(end)];
  switch (random.below(9)) {
    case 0:
      return before + after;
    case 1:
      return before + random.pick(ODD) + part + after;
    case 2:
      return before + random.pick(ODD) + after;
    case 3:
      return before + part.repeat(2 + random.below(random.oneIn(20) ? 2000 : 4)) + after;
    case 4:
      return before + String.fromCharCode(random.below(256)) + part + after;
    case 5: {
      const other = random.pick(seeds);
      return before + other.slice(random.below(other.length + 1));
    }
    case 6:
      return before + part.toUpperCase() + after;
    case 7:
      return before;
    default: {
      const digits = /[0-9]+/.exec(after);
      if (digits === null) return before + part + after + random.pick(ODD);
      const number = random.pick([
        "0",
        "1",
        "-1",
        "255",
        "256",
        "65536",
        "4294967296",
        "1".repeat(25),
      ]);
      return before + part + after.replace(digits[0], number);
    }
  }
}

/** @returns The lower byte of each character: how inputs stand for bytes. */
export function toBytes(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index) & 0xff;
  return bytes;
}

/** @returns Bytes as an input. */
export function fromBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}
